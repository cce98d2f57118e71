package faas

import (
	"strings"
	"time"
)

// Limits of workflows (FunctionGraph reference, section 2, where it names one; docs/WORKFLOWS.md lists them all).
const (
	MaxFlows           = 512                  // of a project
	MaxFlowStates      = 100                  // of a workflow, those inside others included
	MaxFlowDefinition  = 1 << 20              // bytes
	MaxFlowInput       = 256 << 10            // bytes
	MaxFlowResult      = 1 << 20              // bytes that one step may give
	MaxFlowHistory     = 32 << 20             // bytes of the results of one run
	MaxFlowEvents      = 25_000               // results, timers and callbacks of one run
	MaxFlowItems       = 10_000               // that a foreach goes over
	MaxFlowDepth       = 8                    // runs that start each other
	MaxFlowStep        = 15 * time.Minute     // of one call that is waited for
	MaxFlowTime        = 365 * 24 * time.Hour // of a run of FlowNormal
	MaxExpressFlowTime = 5 * time.Minute      // of a run of FlowExpress
)

// The modes of workflows.
const (
	FlowNormal  = "NORMAL"  // each step's result is on disk before the next begins, and its history is kept
	FlowExpress = "EXPRESS" // short; begins anew when the server ends in its middle, and only its end is kept
)

// Flow is a workflow: a state machine over functions. What its states are is the business of the interpreter.
type Flow struct {
	ID           string // UUID
	Project      string
	Name         string
	Description  string
	Mode         string // FlowNormal or FlowExpress
	EnterpriseID string
	Streaming    bool   // kept for the owner
	Definition   string // JSON, as the owner set it
	Revision     int64  // of the definition; a run keeps to the one that it began with
	CreatedBy    string
	CreatedAt    time.Time
	ModifiedAt   time.Time
}

// FlowURN is the URN of a workflow (FunctionGraph reference, "Conventions that hold everywhere").
func FlowURN(region, project, name string) string {
	return "urn:fss:" + region + ":" + project + ":workflow:default:" + name + ":latest"
}

// ParseFlowURN gives the project and the name of a workflow's URN, with or without its version; ok is false for any other text.
func ParseFlowURN(text string) (project, name string, ok bool) {
	parts := strings.Split(text, ":")
	if len(parts) < 7 || len(parts) > 8 || parts[0] != "urn" || parts[1] != "fss" || parts[4] != "workflow" || parts[5] != "default" || parts[6] == "" {
		return "", "", false
	}
	return parts[3], parts[6], len(parts) == 7 || parts[7] == Latest
}

// FlowFilter chooses workflows of a project, the oldest first.
type FlowFilter struct {
	Project    string
	Name       string // part of the name; "" for all
	Mode       string // "" for all
	Enterprise string // "" for all
	Offset     int
	Limit      int
}

// FlowStatus is where a run stands.
type FlowStatus string

// The states of runs. All but the first are ends.
const (
	FlowRunning   FlowStatus = "running"
	FlowDone      FlowStatus = "success"
	FlowFailed    FlowStatus = "fail"
	FlowTimedOut  FlowStatus = "timeout"
	FlowCancelled FlowStatus = "cancel"
)

// FlowStatuses lists every state of a run.
var FlowStatuses = []FlowStatus{FlowRunning, FlowDone, FlowFailed, FlowTimedOut, FlowCancelled}

// FlowRun is one run of a workflow. What happened in it is kept apart, as events.
type FlowRun struct {
	Seq      int64  // names the run on this database; grows with the time of the start
	ID       string // unique within the workflow; its caller may choose it
	Flow     string // id of the workflow
	Project  string
	Revision int64 // of the definition
	Mode     string
	Status   FlowStatus
	Source   string // SourceAPI, ...
	Merge    bool   // the input of a step is that of the one before, merged with its output
	Input    []byte // JSON
	Headers  []byte // JSON object that the caller gave; nil for none
	Output   []byte // JSON; nil while it runs
	Fault    []byte // JSON, as the interpreter writes it; nil for none

	CreatedBy string
	BeganAt   time.Time
	EndedAt   time.Time // zero while it runs
	UpdatedAt time.Time

	Parent     int64  // Seq of the run that started this one and waits for it; 0 for none
	ParentTask string // what waits there
	Depth      int    // runs above it
	Events     int    // recorded so far
	// Asleep says that no server holds the run: it comes back at WakeAt, or when something happens to it; the zero time for that alone.
	Asleep bool
	WakeAt time.Time
}

// Ended tells whether the run is over.
func (s FlowStatus) Ended() bool { return s != FlowRunning }

// FlowNote is something that happens to a run from outside: it waits on disk until the run takes it in.
type FlowNote struct {
	ID  int64 // set by the store
	Run int64 // Seq of the run; 0 where Parent and Task name it
	Doc []byte
	// Parent and Task name a run by what started it.
	Parent int64
	Task   string
}

// FlowWrite is what one transaction adds to a run. It counts only while this server holds the run, and when From is the number of
// events recorded so far.
type FlowWrite struct {
	Run      int64
	From     int
	Events   [][]byte
	Status   FlowStatus
	Output   []byte
	Fault    []byte
	At       time.Time
	EndedAt  time.Time // zero while it runs
	Release  bool      // no server holds the run from now on
	WakeAt   time.Time // with Release
	Taken    []int64   // ids of notes that are taken in
	Children []FlowRun // runs that begin
	Notes    []FlowNote
}

// FlowLog is all that is recorded of a run.
type FlowLog struct {
	Run        FlowRun
	Definition string
	Events     [][]byte
	Notes      []FlowNote // not taken in yet
}

// FlowRunFilter chooses runs of one workflow, the youngest first.
type FlowRunFilter struct {
	Flow     string
	Status   FlowStatus // "" for all
	From, To time.Time  // start; zero for no bound
	Offset   int
	Limit    int
}

// FlowSum counts the runs of a workflow in one minute.
type FlowSum struct {
	Minute   int64 // minutes since 1970
	Started  int64
	Ended    int64
	Failed   int64         // of the ended: all but those that succeeded
	Duration time.Duration // of the ended, together
}

// FlowOrigin tells a function which step of which run calls it. A step that is done again after a crash has the same ids.
type FlowOrigin struct {
	Workflow string // id
	Run      string // id
	State    string // path of the state within the run
	Attempt  int    // at the state, from 1
}

// FlowView is a run as a person wants to see it.
type FlowView struct {
	Run      FlowRun
	Attempts []FlowAttempt // in the order of their beginning; none of FlowExpress
	Waits    []FlowWait    // what it waits for now; none of FlowExpress
}

// FlowAttempt is one attempt at a state.
type FlowAttempt struct {
	State, Name, Type string // State is its path: the id, behind "<foreach>[<item>]/" inside a foreach
	Number            int
	Status            FlowStatus
	Input, Output     []byte // JSON
	Fault             []byte // JSON; nil for none
	BeganAt, EndedAt  time.Time
	Calls             []FlowCall
}

// FlowCall is a call that an attempt has made, and that has ended.
type FlowCall struct {
	Function         string // name in the definition
	RequestID        string
	Fault            []byte // JSON; nil for none
	BeganAt, EndedAt time.Time
}

// FlowWait is something that a run waits for.
type FlowWait struct {
	State   string // "" for the run as a whole
	Attempt int
	What    string // call, callback, subflow, or a timer: sleep, retry, interval, timeout, run
	Detail  string // the function or the workflow
	Since   time.Time
	Until   time.Time // zero for no end by itself
}

// FlowStart describes a run to be started.
type FlowStart struct {
	ID        string // unique within the workflow: a second start with it is the first, accepted again; "" for a new one
	Input     []byte // JSON
	Headers   []byte // JSON object; nil for none
	Merge     bool   // the data of a state stays beneath its output
	Source    string
	CreatedBy string
}

// FlowPackage stands in the package of a trigger's key where the trigger starts a workflow, whose id is the name. It is no name that a
// group of functions can have.
const FlowPackage = ":workflow"
