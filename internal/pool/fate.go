package pool

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// broken ends a worker that does not keep to the protocol.
func (in *instance) broken(why error) *faas.Failure {
	in.box.Kill()
	return &faas.Failure{Code: faas.CodeExit, Type: "ProtocolError", Message: "the function disturbed its control channel: " + why.Error()}
}

// fate finds out why a worker's channel broke, and ends the worker.
func (in *instance) fate(err error) *faas.Failure {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		return in.broken(err)
	}
	late := false
	select {
	case <-in.box.Done():
	case <-time.After(exitGrace):
		late = true
		in.box.Kill()
		<-in.box.Done()
	}
	exit, how := in.box.Exit(), hangup(err)
	failure := &faas.Failure{Code: faas.CodeExit, Type: "RuntimeExit"}
	switch {
	case exit.OOM:
		return in.outOfMemory()
	case late && (exit.Signal == syscall.SIGKILL.String() || exit.Code == 128+int(syscall.SIGKILL)): // or it had ended, and only its end was told late
		failure.Message = how.Closed
	case exit.Signal != "":
		failure.Message = "the function's process was ended by a signal: " + exit.Signal + how.Before
	default:
		failure.Message = fmt.Sprintf("the function's process exited with code %d%s", exit.Code, how.Before)
	}
	return failure
}

// hangup says what is to be told of the end of a channel.
func hangup(err error) lang.Hangup {
	var how *lang.Hangup
	if errors.As(err, &how) {
		return *how
	}
	return lang.Hangup{Closed: "the function closed its control channel"}
}

func (in *instance) outOfMemory() *faas.Failure {
	return &faas.Failure{
		Code: faas.CodeMemory, Type: "OutOfMemory",
		Message: fmt.Sprintf("the function was ended because it used more memory than its %d MB", in.memoryMB),
	}
}

func timedOut(what string, limit time.Duration) *faas.Failure {
	return &faas.Failure{
		Code: faas.CodeTimeout, Type: "FunctionTimeout",
		Message: fmt.Sprintf("%s did not finish within %d seconds and was ended", what, int(limit/time.Second)),
	}
}
