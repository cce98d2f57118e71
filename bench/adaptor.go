package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Lines of executables that have targets.
const (
	lineGoWarm     = "Go warm, c=16, throughput by Go echo"
	lineGoCold     = "Go cold, p50"
	lineCustomCold = "Custom cold, p50"
	lineGoIdle     = "Go instance PSS, idle, one of many"
)

// executables are functions that bring a program: the same echo as a function of Go1.x and as one of Custom.
type executables struct {
	program  []byte
	together int    // calls that an instance takes at a time; 1 for 0
	warm     *place // of Go
	echo     *place // the floor, measured in turn with it
	goCold   coldTimes
	custom   coldTimes
	single   float64 // PSS of the only Go instance, MiB
	idle     float64 // and of one of many
	many     int
}

// executablesOf builds the function.
func executablesOf(ctx context.Context, dir string) (*executables, error) {
	out := filepath.Join(dir, "function")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "github.com/hanshu-faas/hanshu/bench/function")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the function: %w: %s", err, said)
	}
	program, err := os.ReadFile(out)
	return &executables{program: program}, err
}

// create makes a function of the program.
func (e *executables) create(ctx context.Context, s *server, runtime, handler, name string) (target, error) {
	var pkg bytes.Buffer
	w := zip.NewWriter(&pkg)
	head := &zip.FileHeader{Name: handler, Method: zip.Deflate}
	head.SetMode(0o755)
	f, err := w.CreateHeader(head)
	if err == nil {
		_, err = f.Write(e.program)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return target{}, err
	}
	var made struct {
		URN string `json:"func_urn"`
	}
	err = s.api(ctx, http.MethodPost, "/v2/"+s.ProjectID+"/fgs/functions", map[string]any{
		"func_name": name, "package": "default", "runtime": runtime, "handler": handler, "timeout": functionTime,
		"memory_size": memorySize, "code_type": "zip", "func_code": map[string]any{"file": pkg.Bytes()},
		"strategy_config": map[string]int{"concurrent_num": max(1, e.together)},
	}, &made)
	return target{
		Address: s.address, Path: "/v2/" + s.ProjectID + "/fgs/functions/" + made.URN + "/invocations",
		Header: []string{"X-Auth-Token: " + s.token},
	}, err
}

// measureExecutables measures warm calls beside the echo, first calls, and what an idle instance holds.
func (b *bench) measureExecutables(ctx context.Context, dir string) error {
	e, err := executablesOf(ctx, dir)
	if err != nil {
		return err
	}
	to, err := e.create(ctx, b.server, "Go1.x", "main", "echo-go")
	if err != nil {
		return err
	}
	e.warm, e.echo = newPlace(to, b.server.pid()), newPlace(b.echo.target, b.echo.PID)
	if err := b.callOnce(ctx, to); err != nil {
		return err
	}
	if e.single, _, err = goMemory(b.server.pid()); err != nil {
		return err
	}
	for range b.opts.rounds {
		for _, p := range []*place{e.echo, e.warm} {
			s, err := load(ctx, p.PID, loadSpec{Target: p.target, Clients: 16, Warm: againWarm, Run: b.opts.run})
			if err != nil {
				return fmt.Errorf("executables: %w", err)
			}
			p.Samples[16] = append(p.Samples[16], s)
		}
	}
	if err := e.firstCalls(ctx, b.server, b.opts.cold); err != nil {
		return err
	}
	if e.idle, e.many, err = goMemory(b.server.pid()); err != nil {
		return err
	}
	b.executables = e
	return nil
}

// firstCalls calls n functions of each kind that were never called before.
func (e *executables) firstCalls(ctx context.Context, s *server, n int) error {
	c, err := dial(ctx, s.address)
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range n + 1 {
		for _, kind := range []struct {
			times            *coldTimes
			runtime, handler string
		}{{&e.goCold, "Go1.x", "main"}, {&e.custom, "Custom", "bootstrap"}} {
			to, err := e.create(ctx, s, kind.runtime, kind.handler, fmt.Sprintf("fresh-%s-%d", kind.handler, i))
			if err != nil {
				return err
			}
			times := kind.times
			if i == 0 {
				times = new(coldTimes) // so that the package is unpacked, as for every function but the first of its kind
			}
			if err := times.call(c, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// goMemory is the PSS of an instance of a Go function, of all that runs in its sandbox, as the mean over all instances below a
// process, and their number. It is 0 where they cannot be looked at, as those of another user.
func goMemory(pid int) (mean float64, instances int, err error) {
	processes, err := tree(pid)
	if err != nil {
		return 0, 0, err
	}
	held := map[string]float64{} // PSS by sandbox, which is a namespace of processes
	functions := map[string]bool{}
	for _, p := range processes[1:] {
		of := fmt.Sprintf("/proc/%d/", p.PID)
		program, err := os.Readlink(of + "exe")
		if err != nil {
			continue // it has ended, or may not be looked at
		}
		sandbox, err := os.Readlink(of + "ns/pid")
		if err != nil {
			continue
		}
		m, err := memoryOf(p.PID)
		if err != nil {
			continue
		}
		held[sandbox] += m.PSS
		if strings.HasSuffix(program, "/main") {
			functions[sandbox] = true
		}
	}
	var total float64
	for sandbox := range functions {
		total += held[sandbox]
	}
	return over(total, float64(len(functions))), len(functions), nil
}

// rows are the lines of executables; bare is the start of a bare Go process until its first answer, in ms.
func (e *executables) rows(bare []float64) []row {
	rows := []row{pair(lineGoWarm, figures()[0], 16, e.warm, e.echo), pair("Go warm, c=16, CPU per call by Go echo", figures()[3], 16, e.warm, e.echo)}
	floor := quantile(bare, 0.5)
	for _, c := range []struct {
		line  string
		part  float64
		times coldTimes
	}{{lineGoCold, 0.5, e.goCold}, {"Go cold, p99", 0.99, e.goCold}, {lineCustomCold, 0.5, e.custom}, {"Custom cold, p99", 0.99, e.custom}} {
		value := quantile(c.times.Call, c.part)
		rows = append(rows, row{Line: c.line, Unit: millisecond, Value: value, Floor: floor, Ratio: over(value, floor)})
	}
	return append(rows,
		row{Line: "Go instance PSS, the only one", Unit: mebibyte, Value: e.single},
		row{Line: lineGoIdle, Unit: mebibyte, Value: e.idle},
		row{Line: "Go instances at that time", Unit: count, Value: float64(e.many)})
}
