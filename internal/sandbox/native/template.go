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
	for _, m := range spec.Mounts {
		if shows(realPath(m.Source), t.driver.private) {
			return nil, fmt.Errorf("start sandbox %s: %s is above what no sandbox may see", spec.Name, m.Source)
		}
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

// copy has the template make the process of an instance.
func (t *template) copy(in *instance, spec sandbox.Spec) (*os.File, error) {
	if in.slot >= maxSlots {
		return nil, fmt.Errorf("more than %d sandboxes", maxSlots)
	}
	if err := in.ownOutput(); err != nil {
		return nil, err
	}
	ours, status, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	own := []*os.File{status} // closed here; the others stay with who made them
	files := []*os.File{status, in.channels.InnerControl, in.channels.InnerOutput}
	join, err := in.group.joinFiles()
	own, files = append(own, join...), append(files, join...)
	for _, m := range spec.Mounts {
		if err != nil {
			break
		}
		var fd int
		if fd, err = cloneTree(m.Source, t.driver.mountAttributes()); err == nil {
			tree := os.NewFile(uintptr(fd), m.Source)
			own, files = append(own, tree), append(files, tree)
		}
	}
	plan := fdPlan{joins: len(join), trees: len(spec.Mounts)}
	if err == nil && in.group.dir != nil {
		plan.group, files = 1, append(files, in.group.dir)
		err = in.group.letJoin(templateUID)
	}
	if err == nil {
		r := t.driver.copyProgram(t.hello, in.slot, spec, plan)
		in.steps = r.names
		err = t.request(in, r.bytes(), files)
	}
	for _, f := range own {
		f.Close()
	}
	if err != nil {
		ours.Close()
		return nil, err
	}
	return ours, nil
}

// request sends a request and waits for the process that came of it.
func (t *template) request(in *instance, message []byte, files []*os.File) error {
	if len(message) > int(t.hello.ArenaSize) {
		return fmt.Errorf("a request of %d bytes, over %d", len(message), t.hello.ArenaSize)
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	answer := make(chan copyAnswer, 1)
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return errTemplateGone
	}
	t.waiting = append(t.waiting, answer)
	sent, _, err := t.conn.WriteMsgUnix(message, unix.UnixRights(fds...), nil)
	t.mu.Unlock()
	if err != nil || sent < len(message) {
		t.Kill() // half a request is of no use; the reader tells all who wait
	}
	stuck := time.AfterFunc(copyTimeout, t.Kill)
	a := <-answer
	stuck.Stop()
	if a.err != nil {
		return a.err
	}
	if in.process, err = os.FindProcess(a.pid); err == nil {
		in.pidfd, err = t.driver.openProcess(a.pid)
	}
	if err != nil { // out of descriptors; nobody else would reap it
		_ = unix.Kill(a.pid, unix.SIGKILL)
		_, _ = unix.Wait4(a.pid, nil, 0, nil)
		return fmt.Errorf("find copy: %w", err)
	}
	t.driver.sacrifice(a.pid)
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
