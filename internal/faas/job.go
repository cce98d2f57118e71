package faas

import "time"

// Job is a call to be made later, apart from who asked for it: an asynchronous invocation, a timer's occurrence, an event.
type Job struct {
	ID     string      // request id of the call that it becomes, UUID
	Key    FunctionKey // Version "" means Latest
	Alias  string      // without "!"; "" for none
	Source string      // SourceAPI, ...
	Event  []byte      // JSON text handed to the handler
	// Dedup, when not "", makes a second job of the same function with the same text be the first one, accepted again.
	Dedup     string
	NotBefore time.Time // zero for at once
}
