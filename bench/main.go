// Package main measures hanshu beside floors in the same run, and prints one table of figures and ratios.
//
// A floor is the least that could do the same work: a net/http server that answers what it was sent, a net/http server in
// front of one persistent worker on a Unix socket, and a plain start of an interpreter. All of them, and the load
// generator, are processes of their own. hanshu is the program that was built, under its fixed interfaces; this package must
// not know any package under internal.
//
// A missed target is a result, and the run succeeds. Wrong answers and errors fail it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The bench's own programs, by the first argument.
const (
	commandLoad   = "run-load"
	commandEcho   = "run-echo"
	commandFront  = "run-front"
	commandWorker = "run-worker"
	commandKeep   = "run-keep"
)

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func dispatch(args []string) error {
	ctx, in, name := context.Background(), bufio.NewReader(os.Stdin), ""
	if len(args) > 0 {
		name = args[0]
	}
	if isFake() && name != commandWorker {
		return runFake(args, os.Stdout)
	}
	switch name {
	case commandLoad:
		return runLoad(ctx, in, os.Stdout)
	case commandEcho:
		return runEcho(ctx, in, os.Stdout)
	case commandKeep:
		return runKeep(ctx, in, os.Stdout)
	case commandFront:
		return runFront(ctx, in, os.Stdout, args[1:])
	case commandWorker:
		return runWorker()
	}
	opts, err := parseFlags(args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, opts, os.Stdout, os.Stderr)
}

func parseFlags(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.DurationVar(&o.run, "d", 3*time.Second, "measured `time` of each server under each number of clients")
	flags.DurationVar(&o.warm, "warm", time.Second, "warm-up before it; at most 0.5 s after the first round")
	flags.IntVar(&o.rounds, "rounds", 3, "`number` of rounds; ratios are medians over them")
	flags.IntVar(&o.cold, "cold", 30, "`number` of functions that are called for the first time")
	flags.Int64Var(&o.queued, "queued", 200_000, "`number` of jobs that wait when the server is weighed")
	flags.IntVar(&o.sessions, "sessions", defaultSessions, "`number` of sessions of gateways")
	flags.IntVar(&o.functions, "functions", 100_000, "`number` of functions among which operations on them are measured, with -only control")
	flags.StringVar(&o.only, "only", "", "measure this `part` alone: "+strings.Join(parts, ", "))
	flags.StringVar(&o.binary, "bin", "bin/hanshu", "the `program` that is measured")
	flags.BoolVar(&o.fresh, "fresh", false, "measure fresh functions only")
	flags.StringVar(&o.json, "json", "", "write all figures to a `file` too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.only != "" && !slices.Contains(parts, o.only) {
		return o, fmt.Errorf("-only can be %s", strings.Join(parts, ", "))
	}
	if o.run <= 0 || o.warm < 0 || o.rounds < 1 || o.cold < 1 || o.functions < 1000 || o.sessions < 1 || flags.NArg() > 0 {
		return o, errors.New("-d, -rounds, -cold and -sessions must be positive, -functions at least 1000, -warm not negative, and there are no arguments")
	}
	return o, nil
}

func run(ctx context.Context, opts options, out, log io.Writer) error {
	if opts.fresh {
		return runFresh(ctx, opts, out, log)
	}
	began := time.Now()
	b, err := measure(ctx, opts, log)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	rows := b.rows()
	machine := describe()
	fmt.Fprintf(out, "\n%s\n%d rounds of %v at each number of clients c, %v in all; other programs used %.1f processors meanwhile\n\n",
		machine, opts.rounds, opts.run, time.Since(began).Round(time.Second), b.foreign())
	if err := writeTable(out, rows); err != nil {
		return err
	}
	if opts.json != "" {
		if err := b.writeJSON(opts.json, machine, rows); err != nil {
			return err
		}
	}
	if wrong, failed, first := b.faults(); wrong+failed > 0 {
		return fmt.Errorf("%d wrong answers and %d errors, such as: %s", wrong, failed, first)
	}
	return nil
}

// describe tells about the machine in one line.
func describe() string {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	return fmt.Sprintf("%d processors, %s/%s, kernel %s, %s",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, strings.TrimSpace(string(kernel)), runtime.Version())
}

// writeJSON writes the table and every sample behind it.
func (b *bench) writeJSON(name, machine string, rows []row) error {
	samples := map[string]map[int][]sample{}
	if b.echo != nil {
		samples["Go echo"] = b.echo.Samples
	}
	if b.queue != nil {
		samples["queue"], samples["queue floor"] = b.queue.api, b.queue.keep
	}
	cold := map[string]coldTimes{"Go": b.goCold}
	for _, m := range b.langs {
		cold[m.Title] = m.cold
		samples[m.Title+" floor"], samples[m.Title+" hanshu"] = m.floor.Samples, m.hanshu.Samples
	}
	text, err := json.MarshalIndent(map[string]any{
		"machine": machine, "foreign": b.foreign(), "at": time.Now().UTC().Format(time.RFC3339), "table": rows, "samples": samples, "cold": cold,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
