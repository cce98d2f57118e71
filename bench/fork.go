package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Sizes of what is measured of fresh functions.
const (
	forkCalls  = 60   // one after the other
	forkBurst  = 100  // at once
	forkFresh  = 1000 // by forkAtOnce clients
	forkAtOnce = 8
)

// Lines of fresh functions.
const (
	lineMissP50   = "Python fresh, nothing prepared, p50"
	lineMissP99   = "Python fresh, nothing prepared, p99"
	lineReadyP50  = "Python fresh, prepared, p50"
	lineReadyP99  = "Python fresh, prepared, p99"
	lineBurst     = "Python, 100 fresh at once, nothing prepared, slowest"
	lineReady     = "Python, 100 fresh at once, prepared, slowest"
	lineSustained = "Python fresh, sustained"
	lineForkPSS   = "Python idle instance PSS" // among dozens; a single one shares its template's memory with nobody else
	lineThousand  = "1,000 Python instances, PSS together"
	lineTaken     = "1,000 Python instances, memory taken"
)

// forkAims are the targets of these lines.
func forkAims() map[string]aim {
	return map[string]aim{
		lineMissP50: {bound: 6}, lineMissP99: {bound: 12}, lineReadyP50: {bound: 2.5}, lineReadyP99: {bound: 6},
		lineBurst: {bound: 250}, lineReady: {bound: 120}, lineSustained: {atLeast: true, bound: 250},
		lineForkPSS: {bound: 3}, lineThousand: {bound: 3584}, lineTaken: {bound: 3584},
	}
}

// forkTimes are the figures of fresh functions: times in ms, memory in MiB.
type forkTimes struct {
	Miss, Ready     coldTimes
	BurstMiss       []float64
	BurstReady      []float64
	PerSecond       float64
	CPU             float64 // us of the server and all below it, for one fresh function
	TemplateCPU     float64 // of that, the template's
	WorkerCPU       float64 // and the instance's own
	PSS             []float64
	Template        []float64
	Together, Taken float64
	Spawn, Fork     []float64 // the floors: python3 to a first answer, and a bare fork
	Instances       int
}

// runFresh is a run that measures fresh functions only.
func runFresh(ctx context.Context, opts options, out, log io.Writer) error {
	dir, err := os.MkdirTemp("", "hanshu-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{opts: opts, log: log}
	if err := b.forks(ctx, dir); err != nil {
		return err
	}
	rows := b.forkRows()
	judge(rows, aims())
	fmt.Fprintf(out, "\n%s\n\n", describe())
	return writeTable(out, rows)
}

// forks measures fresh functions, on servers of their own: with workers prepared, and without.
func (b *bench) forks(ctx context.Context, dir string) (err error) {
	python := languages()[0]
	for range 200 {
		began := time.Now()
		if err := bareFork(); err != nil {
			return err
		}
		b.fork.Fork = append(b.fork.Fork, ms(time.Since(began)))
	}
	for _, prepared := range []bool{true, false} {
		args := []string{"--max-instances", "1200", "--quota-functions", "5000", "--prepared", "0"}
		if prepared {
			args[len(args)-1] = "110"
		}
		s, err := startServer(ctx, os.Environ(), b.opts.binary, filepath.Join(dir, fmt.Sprint("fork-", prepared)), args...)
		if err != nil {
			return err
		}
		err = b.forksOf(ctx, s, python, prepared)
		s.stop()
		if err != nil {
			return fmt.Errorf("fresh functions: %w", err)
		}
	}
	return nil
}

func (b *bench) forksOf(ctx context.Context, s *server, l language, prepared bool) error {
	runtime, err := s.runtime(ctx, l.Prefix)
	if err != nil {
		return err
	}
	m := &measured{language: l, runtime: runtime}
	total := forkCalls + 2*forkBurst + 10
	if !prepared {
		total += forkFresh
	}
	fresh, err := freshFunctions(ctx, s, m, total)
	if err != nil {
		return err
	}
	take := func(n int) []target {
		some := fresh[:n]
		fresh = fresh[n:]
		return some
	}
	c, err := dial(ctx, s.address)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, to := range take(10) { // until the template is up, and workers wait
		if err := new(coldTimes).call(c, to); err != nil {
			return err
		}
		rest(ctx, 100*time.Millisecond)
	}
	times := &b.fork.Miss
	if prepared {
		times = &b.fork.Ready
	}
	for _, to := range take(forkCalls) {
		rest(ctx, 20*time.Millisecond)
		if err := times.call(c, to); err != nil {
			return err
		}
		if !prepared {
			if err := times.spawn(ctx, m.floorWorker(runtime.Path)); err != nil {
				return err
			}
		}
	}
	if !prepared {
		burst, err := atOnce(ctx, take(forkBurst), forkBurst)
		if err != nil {
			return err
		}
		b.fork.BurstMiss = burst
		return b.sustained(ctx, s, take(forkFresh))
	}
	if _, err := atOnce(ctx, take(forkBurst), forkBurst); err != nil { // raises the number that waits
		return err
	}
	rest(ctx, 5*time.Second)
	if b.fork.PSS, b.fork.Template, err = copies(s.pid()); err != nil {
		return err
	}
	b.fork.BurstReady, err = atOnce(ctx, take(forkBurst), forkBurst)
	return err
}

// sustained calls functions for the first time, and weighs the instances that come of it.
func (b *bench) sustained(ctx context.Context, s *server, fresh []target) error {
	before, err := available()
	if err != nil {
		return err
	}
	cpu, err := treeCPU(s.pid())
	if err != nil {
		return err
	}
	templateCPU, workerCPU, err := copiesCPU(s.pid())
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := atOnce(ctx, fresh, forkAtOnce); err != nil {
		return err
	}
	b.fork.PerSecond = float64(len(fresh)) / time.Since(began).Seconds()
	after, err := treeCPU(s.pid())
	if err != nil {
		return err
	}
	b.fork.CPU = float64((after - cpu).Microseconds()) / float64(len(fresh))
	templateAfter, workerAfter, err := copiesCPU(s.pid())
	if err != nil {
		return err
	}
	b.fork.TemplateCPU = float64((templateAfter - templateCPU).Microseconds()) / float64(len(fresh))
	b.fork.WorkerCPU = float64((workerAfter - workerCPU).Microseconds()) / float64(len(fresh))
	each, templates, err := copies(s.pid())
	if err != nil {
		return err
	}
	for _, pss := range append(each, templates...) {
		b.fork.Together += pss
	}
	b.fork.Instances = len(each)
	now, err := available()
	b.fork.Taken = before - now
	return err
}

// atOnce calls each function once, by a number of clients, and gives the times of the calls.
func atOnce(ctx context.Context, fresh []target, clients int) ([]float64, error) {
	queue := make(chan target, len(fresh))
	for _, to := range fresh {
		queue <- to
	}
	close(queue)
	all, errs := make([]coldTimes, clients), make([]error, clients)
	conns := make([]*conn, clients)
	for i := range conns {
		var err error
		if conns[i], err = dial(ctx, fresh[0].Address); err != nil {
			return nil, err
		}
		defer conns[i].Close()
	}
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			for to := range queue {
				if errs[i] = all[i].call(conns[i], to); errs[i] != nil {
					return
				}
			}
		})
	}
	running.Wait()
	var times []float64
	for i := range all {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if all[i].Wrong > 0 {
			return nil, fmt.Errorf("%s", all[i].First)
		}
		times = append(times, all[i].Call...)
	}
	return times, nil
}

// copies gives the PSS of a server's Python workers, and of the templates that they are copies of.
func copies(server int) (workers, templates []float64, err error) {
	err = eachCopy(server, func(p procStat, template bool) {
		m, err := memoryOf(p.PID)
		switch {
		case err != nil: // it has ended
		case template:
			templates = append(templates, m.PSS)
		default:
			workers = append(workers, m.PSS)
		}
	})
	return workers, templates, err
}

// copiesCPU is the processor time that templates and their copies have used.
func copiesCPU(server int) (template, workers time.Duration, err error) {
	err = eachCopy(server, func(p procStat, isTemplate bool) {
		if isTemplate {
			template += p.CPU
		} else {
			workers += p.CPU
		}
	})
	return template, workers, err
}

// eachCopy calls do for each of a server's Python processes. Copies have the command line of their template; their users
// differ.
func eachCopy(server int, do func(p procStat, template bool)) error {
	processes, err := tree(server)
	if err != nil {
		return err
	}
	for _, p := range processes[1:] {
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
		if err != nil || !strings.Contains(string(command), "python") {
			continue
		}
		info, err := os.Stat(fmt.Sprintf("/proc/%d", p.PID))
		do(p, err == nil && info.Sys().(*syscall.Stat_t).Uid == templateUser)
	}
	return nil
}

// templateUser is the user of templates.
const templateUser = 1_899_999_999

// available is the memory that the host has left, in MiB.
func available() (float64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "MemAvailable:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0, fmt.Errorf("/proc/meminfo: %w", err)
	}
	return kib / 1024, nil
}

// bareFork is the least that a new process costs here: the smallest program, started and waited for.
func bareFork() error {
	p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		return err
	}
	_, err = p.Wait()
	return err
}

// rest waits, so that what goes on in the background comes to its end.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// forkRows are the lines of fresh functions.
func (b *bench) forkRows() []row {
	f := &b.fork
	timed := func(line string, values, floors []float64, q float64) row {
		value, floor := quantile(values, q), quantile(floors, q)
		return row{Line: line, Unit: millisecond, Value: value, Floor: floor, Ratio: over(value, floor)}
	}
	rows := []row{
		{Line: "bare start of /bin/true, p50", Unit: millisecond, Floor: quantile(f.Fork, 0.5)},
		timed(lineReadyP50, f.Ready.Call, f.Miss.Spawn, 0.5), timed(lineReadyP99, f.Ready.Call, f.Miss.Spawn, 0.99),
		timed(lineMissP50, f.Miss.Call, f.Miss.Spawn, 0.5), timed(lineMissP99, f.Miss.Call, f.Miss.Spawn, 0.99),
		timed(lineReady, f.BurstReady, nil, 1), timed(lineBurst, f.BurstMiss, nil, 1),
		{Line: lineSustained, Unit: perSecond, Value: f.PerSecond},
		{Line: lineSustained + ", CPU each", Unit: microsecond, Value: f.CPU},
		{Line: lineSustained + ", of that the template", Unit: microsecond, Value: f.TemplateCPU},
		{Line: lineSustained + ", of that the instance", Unit: microsecond, Value: f.WorkerCPU},
		{Line: lineForkPSS, Unit: mebibyte, Value: median(f.PSS)},
		{Line: "Python template PSS", Unit: mebibyte, Value: median(f.Template)},
		{Line: lineThousand, Unit: mebibyte, Value: f.Together},
		{Line: lineTaken, Unit: mebibyte, Value: f.Taken},
	}
	return rows
}
