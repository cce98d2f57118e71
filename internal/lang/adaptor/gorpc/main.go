//go:build linux

// Command gorpc is the worker of Go1.x functions: it starts the function's executable and calls it by Go's net/rpc over the
// address in RUNTIME_API_ADDR, as FunctionGraph does (reference 5.3), so that executables run unchanged.
//
// The bytes are written here with encoding/gob: net/rpc brings all of net/http along, which would be most of the memory of
// an idle instance. It must not know what runs beside it.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/adaptor"
)

func main() {
	debug.SetGCPercent(50) // an adaptor holds little, and there may be a thousand
	control, err := adaptor.Open()
	if err == nil {
		warm()
		err = serve(control)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "adaptor:", err)
		os.Exit(1)
	}
}

// serve is the worker's life. An error is a fault of the protocol.
func serve(control *adaptor.Control) error {
	load, ok, err := control.Ready()
	if !ok {
		return err
	}
	port, err := adaptor.FreePort()
	if err != nil {
		return err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	process, err := adaptor.Start(load, load.Handler, adaptor.BaseEnvironment(), "RUNTIME_API_ADDR="+address)
	if err != nil {
		control.GiveUp(lang.FailLoad, lang.Failure{Type: "HandlerNotFound", Message: err.Error()})
		return nil
	}
	fd, ok := process.Await(port)
	if !ok {
		failure := process.Exit()
		failure.Message += " before it listened at RUNTIME_API_ADDR (" + address + ")"
		control.GiveUp(lang.FailExit, failure)
		return nil
	}
	c, err := dialRPC(fd)
	if err != nil {
		control.GiveUp(lang.FailLoad, lang.Failure{Type: "ProtocolError", Message: err.Error()})
		return nil
	}
	w := newWorker(control, process, c, load)
	go w.receive()
	go w.supervise()
	if err := control.Loaded(); err != nil {
		return nil
	}
	return w.take()
}
