// Command hanshu-edge is the agent of a gateway: it runs the functions that are bound there, with or without a network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version is set by the build.
var version = "dev"

// Memory that the agent itself may take before it collects garbage all the time, in bytes. Functions are processes of their own.
const memoryLimit = 24 << 20

const usage = `hanshu-edge runs functions on a gateway.

  hanshu-edge enroll --file FILE [--data-dir DIR] [--product-secret SECRET]
        make this machine the gateway that FILE is for (FILE is from: hanshu gateway enroll --out FILE)
  hanshu-edge run [--config FILE] [--data-dir DIR] [--once]
        run the gateway; with --once say how everything is, and end
  hanshu-edge status [--data-dir DIR] [--json]
        say how the gateway that runs here is
  hanshu-edge apply BUNDLE [--data-dir DIR]
        bring a bundle to a gateway without a network (BUNDLE is from: hanshu gateway bundle)
  hanshu-edge unit [--data-dir DIR]
        print a systemd unit, for /etc/systemd/system/hanshu-edge.service
  hanshu-edge version
`

// exitUsage is the exit code of a command line that makes no sense.
const exitUsage = 2

func main() {
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(50)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := 0
	if err := dispatch(ctx, os.Args[1:], os.Stdout); err != nil {
		code = 1
		var bad usageError
		if errors.As(err, &bad) {
			code = exitUsage
		}
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "hanshu-edge:", err)
		}
	}
	os.Exit(code)
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func dispatch(ctx context.Context, args []string, out io.Writer) error {
	commands := map[string]func(context.Context, []string, io.Writer) error{
		"enroll": enroll, "run": run, "status": status, "apply": apply, "unit": unit,
		"version": func(_ context.Context, _ []string, out io.Writer) error {
			_, err := fmt.Fprintln(out, version)
			return err
		},
	}
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		_, err := io.WriteString(out, usage)
		return err
	}
	command := commands[args[0]]
	if command == nil {
		return usageError{fmt.Errorf("there is no command %q; `hanshu-edge help` lists them", args[0])}
	}
	return command(ctx, args[1:], out)
}

// flags begins the flags of a command.
func flags(name string) (*flag.FlagSet, *string) {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	return set, set.String("data-dir", "", "where the gateway keeps its data (default: as the enrollment says, or "+defaultDir+")")
}

// parse reads flags, and wants as many other words as are named. Flags may stand behind words.
func parse(set *flag.FlagSet, args []string, names ...string) ([]string, error) {
	var words []string
	for {
		if err := set.Parse(args); err != nil {
			return nil, usageError{err}
		}
		rest := set.Args()
		if len(rest) == 0 {
			break
		}
		words, args = append(words, rest[0]), rest[1:]
	}
	if len(words) != len(names) {
		return nil, usageError{fmt.Errorf("%s wants %d words %v beside its flags", set.Name(), len(names), names)}
	}
	return words, nil
}
