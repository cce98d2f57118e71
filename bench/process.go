package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stopTime is how long a process has to end when it is asked to.
const stopTime = 20 * time.Second

// process is a child of the bench. Its standard input stays open for as long as the bench lives.
type process struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	input  io.WriteCloser
	lines  *bufio.Reader
}

// start starts a program in a process group of its own, so that Ctrl-C reaches the bench alone, which ends its children in
// their order.
func start(ctx context.Context, env []string, name string, args ...string) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	input, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	return &process{cmd: cmd, cancel: cancel, input: input, lines: bufio.NewReader(output)}, nil
}

// startSelf starts one of the bench's own programs.
func startSelf(ctx context.Context, env []string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(ctx, env, self, args...)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// line reads the next line that the process prints.
func (p *process) line() (string, error) {
	line, err := p.lines.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(p.cmd.Args[:min(2, len(p.cmd.Args))], " "), err)
	}
	return strings.TrimSpace(line), nil
}

// stop asks the process to end, and makes it after stopTime.
func (p *process) stop() {
	p.cancel()
	p.input.Close()
	_ = p.cmd.Wait() // it was told to end: how does not matter
}

// startFloor starts a floor's server and gives the place where it answers.
func startFloor(ctx context.Context, args ...string) (*process, target, error) {
	p, err := startSelf(ctx, os.Environ(), args...)
	if err != nil {
		return nil, target{}, err
	}
	address, err := p.line()
	if err != nil {
		p.stop()
		return nil, target{}, err
	}
	return p, target{Address: address, Path: "/"}, nil
}

// sample is one measured load on one target.
type sample struct {
	PerSecond float64
	P50, P99  float64 // ms
	CPU       float64 // us of processor time of the server and everything below it, for each request
	Foreign   float64 // processors used by others than the server and the load generator
	Requests  int64
	Wrong     int64
	Errors    int64
	First     string `json:",omitempty"`
}

// load measures a server, whose process is pid, under a number of clients.
func load(ctx context.Context, pid int, spec loadSpec) (sample, error) {
	p, err := startSelf(ctx, append(os.Environ(), "GOMAXPROCS=1"), commandLoad)
	if err != nil {
		return sample{}, err
	}
	defer p.stop()
	if err := json.NewEncoder(p.input).Encode(spec); err != nil {
		return sample{}, err
	}
	before, err := readClocks(p, lineBegin, pid)
	if err != nil {
		return sample{}, err
	}
	after, err := readClocks(p, lineEnd, pid)
	if err != nil {
		return sample{}, err
	}
	line, err := p.line()
	if err != nil {
		return sample{}, err
	}
	var r loadResult
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return sample{}, err
	}
	used := after.server - before.server
	foreign := after.machine - before.machine - used - (after.load - before.load)
	s := sample{Requests: r.Requests, Wrong: r.Wrong, Errors: r.Errors, First: r.First,
		PerSecond: float64(r.Requests) / spec.Run.Seconds(), P50: ms(r.P50), P99: ms(r.P99),
		Foreign: max(0, foreign.Seconds()/spec.Run.Seconds())}
	if r.Requests > 0 {
		s.CPU = float64(used.Microseconds()) / float64(r.Requests)
	}
	return s, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// clocks are processor times at one moment.
type clocks struct {
	server, load, machine time.Duration
}

// readClocks reads them when the load generator prints a line.
func readClocks(p *process, want string, pid int) (c clocks, err error) {
	line, err := p.line()
	if err != nil {
		return c, err
	}
	if line != want {
		return c, fmt.Errorf("the load generator printed %.60q, not %s", line, want)
	}
	if c.server, err = treeCPU(pid); err != nil {
		return c, err
	}
	if c.load, err = treeCPU(p.pid()); err != nil {
		return c, err
	}
	c.machine, err = machineCPU()
	return c, err
}
