//go:build linux

package adaptor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

var errEnd = io.EOF

// Process is a process of the function's.
type Process struct {
	Name string // of its file in the package
	pid  int

	ended  chan struct{}
	status syscall.WaitStatus // after ended

	peakLock sync.Mutex
	peak     uint32
	peakAt   time.Time
	file     *os.File // its /proc/<pid>/status
}

// Start runs an executable of the package in the folder of the package. Its variables are those of base, of the load and of
// more, the later above the earlier; base and more are NAME=value. Standard output and error are the worker's own, so that what it prints is in the pipe before the answer is.
//
// An error says what its owner can mend; it is the function's fault.
func Start(load lang.Load, name string, base []string, more ...string) (*Process, error) {
	path := filepath.Join(load.CodeRoot, name)
	if err := check(path, name); err != nil {
		return nil, err
	}
	return run(path, name, []string{path}, load.CodeRoot, environment(base, load, more))
}

// Become runs an executable as Start does, in the place of this process; it returns only when that cannot be. The caller is the first
// thread of the process, whose tie to the server is kept. What is not closed by it must be so when another program is executed.
func Become(load lang.Load, name string, more ...string) error {
	path := filepath.Join(load.CodeRoot, name)
	if err := check(path, name); err != nil {
		return err
	}
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	if err := errors.Join(unix.Dup3(null, 0, 0), unix.Chdir(load.CodeRoot)); err != nil {
		return fmt.Errorf("%s cannot be started: %w", name, err)
	}
	return startFault(path, name, syscall.Exec(path, []string{path}, environment(BaseEnvironment(), load, more)))
}

// StartImage runs the command line of a container image in its working folder, as Start does. A program without a slash is looked up
// in the PATH that it is to have.
func StartImage(load lang.Load, base []string) (*Process, error) {
	if len(load.Command) == 0 {
		return nil, errors.New("the image says no command, and custom_image gives none")
	}
	if info, err := os.Stat(load.WorkingDir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("the image has no folder %s to work in", load.WorkingDir)
	}
	env := environment(base, load, nil)
	name := load.Command[0]
	path, err := lookUp(name, load.WorkingDir, env)
	if err != nil {
		return nil, err
	}
	return run(path, name, load.Command, load.WorkingDir, env)
}

// lookUp finds a program as a shell would.
func lookUp(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, checkProgram(name)
	}
	for _, pair := range env {
		folders, ok := strings.CutPrefix(pair, "PATH=")
		if !ok {
			continue
		}
		for _, folder := range filepath.SplitList(folders) {
			if path := filepath.Join(dir, folder, name); !filepath.IsAbs(folder) && checkProgram(path) == nil {
				return path, nil
			}
			if path := filepath.Join(folder, name); filepath.IsAbs(folder) && checkProgram(path) == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("there is no program %s in the image's PATH", name)
}

// checkProgram tells the faults of a program that can be named before the start.
func checkProgram(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("the image has no file %s", path)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s in the image is not a program", path)
	}
	return nil
}

func run(path, name string, argv []string, dir string, env []string) (*Process, error) {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer unix.Close(null)
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{Dir: dir, Env: env, Files: []uintptr{uintptr(null), 1, 2}})
	if err != nil {
		return nil, startFault(path, name, err)
	}
	p := &Process{Name: name, pid: pid, ended: make(chan struct{})}
	go p.reap()
	return p, nil
}

// check tells the faults of a package that can be named before the start.
func check(path, name string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no file %s at the root of the package", name)
	case err != nil:
		return fmt.Errorf("%s cannot be read: %w", name, errors.Unwrap(err))
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", name)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable; set its mode to 755 in the package (chmod +x)", name)
	}
	return nil
}

// startFault says why the kernel would not run a file that is there and executable.
func startFault(path, name string, err error) error {
	head := make([]byte, 256)
	if f, err := os.Open(path); err == nil {
		n, _ := io.ReadFull(f, head) // a short file is no fault here
		head = head[:n]
		f.Close()
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%s cannot be started: it is neither a Linux executable for this machine nor a script whose first line is #! and an interpreter", name)
	case errors.Is(err, syscall.ENOENT) && bytes.HasPrefix(line, []byte("#!")):
		return fmt.Errorf("%s cannot be started: its interpreter, %q, is not there", name, strings.TrimPrefix(string(line), "#!"))
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%s cannot be started: the loader or a library that it is linked with is not there; link it statically", name)
	}
	return fmt.Errorf("%s cannot be started: %w", name, err)
}

// BaseEnvironment is what every executable of a package gets beside the load's variables: what workers get themselves.
func BaseEnvironment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"}
}

// environment leaves out names and values that no process can be given.
func environment(base []string, load lang.Load, more []string) []string {
	all := map[string]string{}
	for _, pair := range base {
		name, value, _ := strings.Cut(pair, "=")
		all[name] = value
	}
	for name, value := range load.Env {
		if name != "" && !strings.ContainsAny(name, "=\x00") && !strings.Contains(value, "\x00") {
			all[name] = value
		}
	}
	for _, pair := range more {
		name, value, _ := strings.Cut(pair, "=")
		all[name] = value
	}
	env := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env
}

// reap waits for every process that is this one's child: in a sandbox the worker is the first process, to which all come
// whose parents have ended.
func (p *Process) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return // no child is left, and none comes once the function's process is gone
		case pid == p.pid:
			p.status = status
			close(p.ended)
		}
	}
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Kill ends the process.
func (p *Process) Kill() { _ = syscall.Kill(p.pid, syscall.SIGKILL) } // fails only when it has ended

// Exit says how the process ended, once it has.
func (p *Process) Exit() lang.Failure {
	<-p.ended
	how := "exited with code " + strconv.Itoa(p.status.ExitStatus())
	if p.status.Signaled() {
		how = "was ended by a signal: " + p.status.Signal().String()
	}
	return lang.Failure{Type: "RuntimeExit", Message: "the function's process " + how}
}

// Code is the exit code of a worker that has nothing left to supervise, as a shell would give it.
func (p *Process) Code() int {
	<-p.ended
	if p.status.Signaled() {
		return 128 + int(p.status.Signal())
	}
	return p.status.ExitStatus()
}

// peakAge is how old a known peak may be for a call that took no time.
const peakAge = 100 * time.Millisecond

// PeakKiB is the highest resident memory of the process so far, 0 where the kernel does not tell. A call that took less
// than a millisecond may be told a peak that is a little old: reading costs more than such a call.
func (p *Process) PeakKiB(took time.Duration) uint32 {
	p.peakLock.Lock()
	defer p.peakLock.Unlock()
	if took < time.Millisecond && time.Since(p.peakAt) < peakAge {
		return p.peak
	}
	if p.file == nil {
		f, err := os.Open("/proc/" + strconv.Itoa(p.pid) + "/status")
		if err != nil {
			return p.peak
		}
		p.file = f
	}
	text := make([]byte, 2<<10)
	n, _ := p.file.ReadAt(text, 0) // its end is always an error
	p.peakAt = time.Now()
	if _, rest, ok := strings.Cut(string(text[:n]), "VmHWM:"); ok {
		if fields := strings.Fields(rest); len(fields) > 0 {
			if kib, err := strconv.ParseUint(fields[0], 10, 32); err == nil {
				p.peak = uint32(kib)
			}
		}
	}
	return p.peak
}
