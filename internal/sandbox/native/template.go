//go:build linux

package native

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// template is a process that makes sandboxes of copies of itself. It is made by the init like a sandbox, in namespaces and
// under a view of its own, but keeps what it needs to make namespaces; see templateCaps.
type template struct {
	*instance
	conn  *net.UnixConn
	hello sandbox.TemplateHello

	mu      sync.Mutex // orders requests as their answers come
	waiting []chan<- copyAnswer
	ended   bool
	starts  sync.WaitGroup // under way
}

type copyAnswer struct {
	pid int
	err error
}

// copyTimeout is how long a template may take for a copy before it is taken to be stuck, and ended. A copy takes a
// millisecond, and up to a hundred may be asked for at once.
const copyTimeout = 20 * time.Second

var errTemplateGone = errors.New("the template has ended")

// Template implements sandbox.Templater. Only root may give a copy a user of its own and show it a package.
func (d *Driver) Template(ctx context.Context, spec sandbox.Spec) (sandbox.Template, error) {
	if !d.privileged {
		return nil, errors.ErrUnsupported
	}
	if err := d.groups.letJoin(templateUID); err != nil {
		return nil, fmt.Errorf("start template: %w", err)
	}
	// On cgroup v1 a copy is born in the template's group, and what it takes before it joins its own stays counted there.
	spec.MemoryBytes, spec.Processes = 0, 0
	in, err := d.begin(ctx, spec, true, d.launch)
	if err != nil {
		return nil, err
	}
	t := &template{instance: in, conn: in.Control().(*net.UnixConn)}
	stop := context.AfterFunc(ctx, in.Kill)
	err = binary.Read(t.conn, binary.NativeEndian, &t.hello)
	if !stop() || err != nil {
		in.Kill()
		<-in.done
		_ = in.Output().SetReadDeadline(time.Now().Add(time.Second)) // whatever else may hold the other end
		said, _ := io.ReadAll(io.LimitReader(in.Output(), 4096))
		t.conn.Close()
		in.Output().Close()
		return nil, errors.Join(ctx.Err(), fmt.Errorf("the template did not come up: %w; it said %q", err, said))
	}
	if t.hello.FirstFD != firstFD {
		in.Kill()
		err = fmt.Errorf("the template has descriptors open below %d", t.hello.FirstFD)
	}
	d.answers.Go(t.read)
	if err != nil {
		<-in.done
		return nil, err
	}
	return t, nil
}

// read hands out answers until the template ends.
func (t *template) read() {
	defer t.conn.Close()
	defer t.Output().Close()
	for {
		var a sandbox.TemplateAnswer
		err := binary.Read(t.conn, binary.NativeEndian, &a)
		t.mu.Lock()
		if err != nil || len(t.waiting) == 0 { // it ended, or speaks out of turn
			t.ended = true
			untold := len(t.waiting) > 0
			for _, w := range t.waiting {
				w <- copyAnswer{err: errTemplateGone}
			}
			t.waiting = nil
			t.mu.Unlock()
			t.Kill()
			if untold {
				<-t.Done()
				t.starts.Wait() // the copies that are known have left the group then
				endGroup(t.process.Pid)
			}
			return
		}
		w := t.waiting[0]
		t.waiting = t.waiting[1:]
		t.mu.Unlock()
		if a.PID < 0 {
			w <- copyAnswer{err: fmt.Errorf("copy: %w", unix.Errno(a.Errno))}
		} else {
			w <- copyAnswer{pid: int(a.PID)}
		}
	}
}

// endGroup ends and reaps the children of this process that are in a process group: copies that a template made and did not live
// to tell of.
func endGroup(group int) {
	_ = unix.Kill(-group, unix.SIGKILL) // it fails where there are none
	for {
		if _, err := unix.Wait4(-group, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// Close implements sandbox.Template.
func (t *template) Close() {
	t.Kill()
	<-t.Done()
}

// Start implements sandbox.Template.
func (t *template) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	if spec.Root != "" || spec.UID != 0 || spec.GID != 0 {
		return nil, fmt.Errorf("start sandbox %s in another root, by copying: %w", spec.Name, errors.ErrUnsupported)
	}
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return nil, fmt.Errorf("start sandbox %s: %w", spec.Name, errTemplateGone)
	}
	t.starts.Add(1)
	t.mu.Unlock()
	defer t.starts.Done()
	in, err := t.driver.begin(ctx, spec, false, t.copy)
	if err != nil {
		return nil, err
	}
	return in, nil
}

// copy has the template make the process of an instance. While it does, the rest is made that the process is to have.
func (t *template) copy(in *instance, spec sandbox.Spec) (*os.File, error) {
	if in.slot >= maxSlots {
		return nil, fmt.Errorf("more than %d sandboxes", maxSlots)
	}
	if err := in.group.letJoin(templateUID); err != nil {
		return nil, err
	}
	ours, status, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer status.Close()
	answer, err := t.request(in, spec, status)
	if err == nil {
		err = t.meet(in, answer, t.tell(in, spec))
	}
	if err != nil {
		ours.Close()
		return nil, err
	}
	return ours, nil
}

// request asks for a copy. It does not wait for it.
func (t *template) request(in *instance, spec sandbox.Spec, status *os.File) (<-chan copyAnswer, error) {
	files := []*os.File{status, in.channels.InnerControl, in.channels.InnerOutput}
	if in.group.dir != nil { // a copy is born in it
		files = append(files, in.group.dir)
	}
	message := t.driver.copyRequest(t.hello, in.slot, spec, in.plan(spec))
	answer := make(chan copyAnswer, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return nil, errTemplateGone
	}
	t.waiting = append(t.waiting, answer)
	if send(t.conn, message, files) != nil {
		t.Kill() // half a request is of no use; the reader tells all who wait
	}
	return answer, nil
}

// tell makes the rest of what a copy is to have, and tells it over its own socket what to become. The copy need not be there yet.
func (t *template) tell(in *instance, spec sandbox.Spec) error {
	if err := errors.Join(in.limit(spec), in.ownOutput()); err != nil {
		return err
	}
	files, err := in.group.joinFiles()
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for _, m := range spec.Mounts {
		if err != nil {
			break
		}
		var tree *os.File
		if tree, err = t.driver.tree(m.Source); err == nil {
			files = append(files, tree)
		}
	}
	if err != nil {
		return err
	}
	p := t.driver.copyProgram(t.hello, spec, in.plan(spec))
	in.steps = p.names
	message := p.bytes()
	if len(message) > int(t.hello.ArenaSize) {
		return fmt.Errorf("a program of %d bytes, over %d", len(message), t.hello.ArenaSize)
	}
	return send(in.channels.Control.(*net.UnixConn), message, files)
}

// tree opens a folder to be shown to a copy.
func (d *Driver) tree(source string) (*os.File, error) {
	if shows(realPath(source), d.private) {
		return nil, fmt.Errorf("%s is above what no sandbox may see", source)
	}
	fd, err := cloneTree(source, d.mountAttributes())
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), source), nil
}

func send(to *net.UnixConn, message []byte, files []*os.File) error {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	sent, _, err := to.WriteMsgUnix(message, unix.UnixRights(fds...), nil)
	if err == nil && sent < len(message) {
		err = io.ErrShortWrite
	}
	return err
}

// meet waits for the process that came of a request. One that could not be told what to become is of no use, and ended.
func (t *template) meet(in *instance, answer <-chan copyAnswer, untold error) error {
	stuck := time.AfterFunc(copyTimeout, t.Kill)
	a := <-answer
	stuck.Stop()
	if a.err != nil {
		return errors.Join(untold, a.err)
	}
	err := untold
	if err == nil {
		err = t.find(in, a.pid)
	}
	if err != nil { // nobody else would reap it
		_ = unix.Kill(a.pid, unix.SIGKILL)
		_, _ = unix.Wait4(a.pid, nil, 0, nil)
		return err
	}
	t.driver.sacrifice(a.pid)
	return nil
}

// find makes a copy the process of an instance. It fails where descriptors have run out.
func (t *template) find(in *instance, pid int) (err error) {
	if in.process, err = os.FindProcess(pid); err == nil {
		in.pidfd, err = t.driver.openProcess(pid)
	}
	if err != nil {
		return fmt.Errorf("find copy: %w", err)
	}
	return nil
}

// lastCapability asks the kernel for its highest capability.
func lastCapability() int {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return n
		}
	}
	return unix.CAP_LAST_CAP
}
