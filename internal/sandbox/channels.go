package sandbox

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// Channels are the two ways in and out of a sandboxed process: the control socket and the output pipe. Drivers make one
// for each start, hand Inner* to the process and close them once it runs.
type Channels struct {
	Control      net.Conn
	Output       *os.File
	InnerControl *os.File
	InnerOutput  *os.File
}

// NewChannels makes a socket pair and a pipe, all close-on-exec.
func NewChannels() (*Channels, error) {
	syscall.ForkLock.RLock() // no process may start before the pair is close-on-exec
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	outer, inner := os.NewFile(uintptr(pair[0]), "control"), os.NewFile(uintptr(pair[1]), "control")
	defer outer.Close() // FileConn has a copy of its own
	conn, err := net.FileConn(outer)
	if err != nil {
		inner.Close()
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		conn.Close()
		inner.Close()
		return nil, fmt.Errorf("make output pipe: %w", err)
	}
	return &Channels{Control: conn, Output: r, InnerControl: inner, InnerOutput: w}, nil
}

// CloseInner closes the process's ends on this side, so that its end shows as end of file here.
func (c *Channels) CloseInner() {
	c.InnerControl.Close()
	c.InnerOutput.Close()
}

// Close closes everything.
func (c *Channels) Close() {
	c.CloseInner()
	c.Control.Close()
	c.Output.Close()
}

// ExitOf reads an Exit from a process that was waited for.
func ExitOf(state *os.ProcessState) Exit {
	ws, ok := state.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return Exit{Code: -1, Signal: ws.Signal().String()}
	}
	return Exit{Code: state.ExitCode()}
}
