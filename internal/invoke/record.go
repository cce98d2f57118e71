package invoke

import (
	"errors"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Records keeps what has become of calls. Add must not wait.
type Records interface {
	Add(r faas.Record)
}

// Record tells what became of a call. res is nil when err is set. What the record refers to is the call's and the result's own.
func Record(key faas.FunctionKey, call *faas.Invocation, begun time.Time, took time.Duration, res *faas.Result, err error) faas.Record {
	r := faas.Record{
		ID: call.ID, Key: key, Alias: call.Alias, Source: call.Source, Parent: call.Parent, Attempt: max(call.Attempt, 1),
		Accepted: call.Accepted, Begun: begun, Took: took, Event: call.Event, EventSize: int64(len(call.Event)),
	}
	if r.Accepted.IsZero() {
		r.Accepted = begun
	}
	if err != nil {
		r.Code = faas.CodeOf(err)
		var expected *faas.Error
		if errors.As(err, &expected) {
			r.Message = expected.Message
		} else {
			r.Message = "a fault of the platform; its log says more"
		}
		return r
	}
	r.Queued, r.Init, r.Run, r.Cold = res.Queued, res.Init, res.Run, res.Cold
	r.MemoryPeak, r.MemoryMB, r.Digest = res.MemoryPeak, res.MemoryMB, res.Digest
	r.ResultSize, r.Logs, r.Dropped = int64(len(res.Output)), res.Logs, res.Dropped
	if f := res.Failure; f != nil {
		r.Code, r.Type, r.Message, r.Stack = f.Code, f.Type, f.Message, f.Stack
	}
	return r
}
