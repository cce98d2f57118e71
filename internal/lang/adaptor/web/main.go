//go:build linux

// Command web is the worker of functions that speak HTTP: "web custom" gives a bootstrap the runtime API (FunctionGraph
// reference 5.4), "web http PORT" runs a web server (5.5) and hands out connections to it, "web image PORT" does so with a
// container image (5.6).
//
// It must not know what runs beside it, nor who is behind a connection that it hands out: what is said there is said
// between the server and the function.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/adaptor"
)

// bootstrap is the executable of both runtimes, at the root of the package.
const bootstrap = "bootstrap"

// contract is how a function takes calls.
type contract interface {
	// start starts the function and waits until it can take calls. A failure is the function's; an error ends the worker.
	start(load lang.Load) (kind byte, failure lang.Failure, err error)
	// call takes one call, in the order in which the server sent them, and returns at once: several may be under way. Each is
	// answered when it is done.
	call(f lang.Frame)
	// dial answers a FrameDial; nil where there is nothing to dial.
	dial() func(seq uint32)
}

func main() {
	debug.SetGCPercent(50) // an adaptor holds little, and there may be a thousand
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "adaptor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	control, err := adaptor.Open()
	if err != nil {
		return err
	}
	w := &worker{control: control, waiting: map[uint32]struct{}{}}
	switch {
	case len(args) == 1 && args[0] == "custom":
		w.contract, err = newCustom(w)
	case len(args) == 2 && args[0] == "http":
		var port int
		if port, err = strconv.Atoi(args[1]); err == nil {
			w.contract = newSite(w, port)
		}
	case len(args) == 2 && args[0] == "image":
		var port int
		if port, err = strconv.Atoi(args[1]); err == nil {
			w.contract = &image{newSite(w, port)}
		}
	default:
		err = fmt.Errorf("arguments %q: want custom, or http or image and a port", args)
	}
	if err != nil {
		return err
	}
	return w.serve()
}
