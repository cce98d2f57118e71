//go:build linux

// Command gorpc is the worker of Go1.x functions: it becomes the function's executable, which serves Go's net/rpc at the address in
// RUNTIME_API_ADDR, as in FunctionGraph (reference 5.3), so that executables run unchanged.
//
// What is left of it is a socket from which the server reaches the function: nothing stands between them, and nothing runs beside an
// idle function. It must not know what is said there.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/adaptor"
)

func main() {
	runtime.LockOSThread() // the first thread alone is tied to the server, and exec keeps the tie of the thread that calls it
	control, err := adaptor.Open()
	if err == nil {
		err = serve(control)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "adaptor:", err)
		os.Exit(1)
	}
}

// serve is the worker's life. An error is a fault of the protocol, or of the platform.
func serve(control *adaptor.Control) error {
	if unix.Gettid() != unix.Getpid() {
		return fmt.Errorf("not the first thread")
	}
	load, ok, err := control.Ready()
	if !ok {
		return err
	}
	port, socket, err := adaptor.FreePort()
	if err != nil {
		return err
	}
	loaded := lang.Frame{Type: lang.FrameLoaded, Meta: binary.BigEndian.AppendUint16(nil, uint16(port))}
	if err := control.SendFD(loaded, socket); err != nil {
		return nil // the server has gone
	}
	err = adaptor.Become(load, load.Handler, "RUNTIME_API_ADDR=127.0.0.1:"+strconv.Itoa(port))
	control.GiveUp(lang.FailLoad, lang.Failure{Type: "HandlerNotFound", Message: err.Error()})
	return nil
}
