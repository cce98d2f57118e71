package faas

import "time"

// CallState is where a recorded call stands. A record never goes back to a smaller one.
type CallState int

// The states of recorded calls.
const (
	CallWaiting     CallState = iota // accepted, and not begun
	CallRunning                      // under way
	CallDone                         // the function answered
	CallFailed                       // the function failed: it threw, could not be loaded, ended its process
	CallTimedOut                     // the function was over its time
	CallUnscheduled                  // no room was found for it in time, so it never ran
	CallRejected                     // refused or called off before it ran
)

// CallStates lists every state.
var CallStates = []CallState{CallWaiting, CallRunning, CallDone, CallFailed, CallTimedOut, CallUnscheduled, CallRejected}

// Ended tells whether the state is final.
func (s CallState) Ended() bool { return s > CallRunning }

// CallRecord is what is kept of a call for its owner to see.
type CallRecord struct {
	ID         string      // request id, UUID
	Number     int64       // order of acceptance: microseconds since 1970, made unique within a server
	Function   FunctionKey // Version is ""
	Source     string
	Async      bool
	State      CallState
	CreatedAt  time.Time
	StartedAt  time.Time // zero before
	EndedAt    time.Time // zero before
	MemoryPeak int64     // bytes
	Code       Code      // of the failure; "" for none
	Log        string    // lines that end with "\n", each with its time and level
}

// CallFilter chooses recorded calls of one function, the youngest first.
type CallFilter struct {
	Function FunctionKey // Version is ignored
	Sources  []string    // nil for all
	States   []CallState // nil for all
	Async    *bool       // nil for both
	From, To time.Time   // acceptance; zero for no bound
	Offset   int64
	Limit    int
}

// MaxCallLog is how much of a call's log is kept with its record, in bytes.
const MaxCallLog = 64 << 10
