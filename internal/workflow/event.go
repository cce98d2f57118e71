package workflow

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// EventKind is what happened to a run.
type EventKind string

// The kinds of events. They stand in the database: a kind is never given another meaning.
const (
	EventReturn   EventKind = "return"   // a call has ended
	EventTimer    EventKind = "timer"    // a time has come
	EventCallback EventKind = "callback" // somebody outside has answered
	EventChild    EventKind = "child"    // a run that this one waits for has ended
	EventCancel   EventKind = "cancel"   // somebody called the run off
	EventRetry    EventKind = "retry"    // somebody wants the run to go on where it ended
)

// Event is one thing that happened to a run, as it stands on disk. Its tags are the format: a field may be added, but a tag is never
// changed.
type Event struct {
	Kind   EventKind       `json:"k"`
	Task   string          `json:"t,omitempty"` // what was waited for; of a callback, the path of the state
	At     int64           `json:"a"`           // microseconds since 1970; never less than that of the event before
	Output json.RawMessage `json:"o,omitempty"`
	Fault  *Fault          `json:"f,omitempty"`
	Began  int64           `json:"b,omitempty"` // of a call: when it was handed over
	Call   string          `json:"c,omitempty"` // of a call: its request id
}

// Fault is why a step, or a run, did not end well. Conditions of on_errors see it with its names in JSON.
type Fault struct {
	Code    int    `json:"errorCode"` // as an HTTP status
	Type    string `json:"errorType"` // faas.Code, or what the function or the caller of a callback calls it
	Message string `json:"errorMessage"`
	State   string `json:"state,omitempty"` // the path of the state that it began in
}

// value is what conditions and the state that catches see.
func (f *Fault) value() map[string]any {
	return map[string]any{"errorCode": int64(f.Code), "errorType": f.Type, "errorMessage": f.Message}
}

func faultf(code int, kind, format string, args ...any) *Fault {
	return &Fault{Code: code, Type: kind, Message: faas.Clip(fmt.Sprintf(format, args...), maxMessage)}
}

const maxMessage = 2048

// FaultOf tells of a failure in the words of a workflow.
func FaultOf(code faas.Code, kind, message string) *Fault {
	if kind == "" {
		kind = string(code)
	}
	return faultf(faultCode(code), kind, "%s", message)
}

func faultCode(code faas.Code) int {
	switch code {
	case faas.CodeInvalid, faas.CodeUnsupported, faas.CodeTooLarge:
		return 400
	case faas.CodeForbidden, faas.CodeUnauthenticated, faas.CodeDisabled, faas.CodeQuota:
		return 403
	case faas.CodeNotFound:
		return 404
	case faas.CodeTimeout, faas.CodeInitTimeout:
		return 504
	case faas.CodeOverload, faas.CodeQueueTimeout:
		return 429
	case faas.CodeCancelled:
		return 499
	case faas.CodeStart, faas.CodeUnavailable:
		return 503
	}
	return 500
}

// Encode writes an event as it stands on disk.
func (e *Event) Encode() []byte { return Encode(e) }

// DecodeEvent reads it back.
func DecodeEvent(text []byte) (Event, error) {
	var e Event
	err := json.Unmarshal(text, &e)
	return e, err
}

// Effect is something that a Machine wants to happen once the events that led to it are on disk.
type Effect struct {
	Call  *Call
	Child *Child
	Drop  string // the task of a call or child that nobody waits for any more
}

// Call is a function to be called. It is answered by an EventReturn of its task.
type Call struct {
	Task     string
	Function faas.URN
	Path     string // of the state
	Attempt  int
	Detached bool // accepted is enough
	data     any
	args     *template
	consts   any
}

// Event makes what the function is given.
func (c *Call) Event() []byte {
	if c.args == nil {
		return Encode(c.data)
	}
	return Encode(c.args.of(c.data, c.consts))
}

// Child is a run to be started. Unless it is Detached it is answered by an EventChild of its task.
type Child struct {
	Task     string
	Flow     string // id, name or URN
	Input    []byte
	Detached bool
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
