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
	"strings"
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
		fmt.Fprintln(os.Stderr, "hanshu-edge:", err)
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
	err := command(ctx, args[1:], out)
	var help helpAsked
	if errors.As(err, &help) {
		_, err = io.WriteString(out, string(help))
	}
	return err
}

// flags begins the flags of a command.
func flags(name string) (*flag.FlagSet, *string) {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard) // parse says what is wrong, once
	return set, set.String("data-dir", "", "where the gateway keeps its data (default: as the enrollment says, or "+defaultDir+")")
}

// helpAsked is the answer to --help behind a command.
type helpAsked string

func (h helpAsked) Error() string { return string(h) }

// parse reads flags, and wants as many other words as are named. Flags may stand behind words. Asked for help it gives helpAsked.
func parse(set *flag.FlagSet, args []string, names ...string) ([]string, error) {
	var words []string
	for {
		err := set.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			var text strings.Builder
			_, _ = fmt.Fprintf(&text, "Flags of hanshu-edge %s:\n", set.Name()) // a builder takes all
			set.SetOutput(&text)
			set.PrintDefaults()
			return nil, helpAsked(text.String())
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("%w; see hanshu-edge %s --help", err, set.Name())}
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
