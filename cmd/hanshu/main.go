// Command hanshu is the server and its command line: one file per command.
//
// A command reads flags, calls one thing and prints. It must not know how anything is done.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second signal ends the process at once
	c := newCLI()
	return c.report(newRootCommand(c).ExecuteContext(ctx))
}
