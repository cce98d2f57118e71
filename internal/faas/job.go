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

	MemoryMB int    // instance size asked for by this call; 0 for the function's own
	Parent   string // id of the job whose end caused this one; "" for none
	// Target, when not nil, makes this a delivery: Event is handed to the target, outside the platform, and no function runs.
	Target *Destination
}

// JobState is where a job stands.
type JobState string

// The states of jobs. The first two are active, the others final but for a redrive.
const (
	JobWaiting   JobState = "waiting"   // for its time, its turn or its next attempt
	JobRunning   JobState = "running"   // an attempt is under way
	JobDone      JobState = "done"      // an attempt succeeded
	JobDead      JobState = "dead"      // all attempts failed
	JobExpired   JobState = "expired"   // it grew too old before an attempt succeeded; counted among the dead
	JobCancelled JobState = "cancelled" // somebody called it off
)

// JobStates lists every state.
var JobStates = []JobState{JobWaiting, JobRunning, JobDone, JobDead, JobExpired, JobCancelled}

// Ended tells whether the state is final.
func (s JobState) Ended() bool { return s != JobWaiting && s != JobRunning }

// JobStatus is a job with what has become of it.
type JobStatus struct {
	Job
	Seq   int64 // order of acceptance among all jobs: microseconds since 1970 at which it was accepted, made unique
	Lane  int64 // the line it waits in; each function has one, and one more for its deliveries
	State JobState
	Since time.Time // its age counts from here: acceptance, NotBefore or the last redrive, whichever is latest
	Due   time.Time // when it is to be tried (again), while it waits
	Began time.Time // the latest attempt; zero before the first
	Ended time.Time // zero while active

	Attempts    int // begun
	Interrupted int // of those: cut off by the end of the server
	Postponed   int // of those: the function was not reached, for want of room or of the platform's doing
	Cancel      CancelMode
	Code        Code   // of the failure that ended it, or the latest one; "" for none
	Message     string // of the same
}

// Failures counts the attempts that the function itself failed.
func (s *JobStatus) Failures() int { return s.Attempts - s.Interrupted - s.Postponed }

// Accepted is when the job was accepted.
func (s *JobStatus) Accepted() time.Time { return time.UnixMicro(s.Seq).UTC() }

// CancelMode is how a job is called off.
type CancelMode int

// The ways of calling off. A job that waits is cancelled at once by each of them.
const (
	CancelNone    CancelMode = iota
	CancelRetries            // an attempt under way goes to its end, and no other follows
	CancelForce              // an attempt under way is ended with its instance
)

// JobBooks counts the jobs of a server's whole life. Accepted = Done + Dead + Cancelled + Waiting + Running, always.
type JobBooks struct {
	Accepted, Done, Dead, Cancelled, Waiting, Running int64
	Kept                                              int64 // bytes of jobs that have ended and are still kept
}

// Balanced tells whether the books balance.
func (b JobBooks) Balanced() bool {
	return b.Accepted == b.Done+b.Dead+b.Cancelled+b.Waiting+b.Running
}

// JobPlace is where a job waits from now on.
type JobPlace struct {
	Lane int64
	Due  time.Time
}

// LaneHead is the first job of a lane.
type LaneHead struct {
	Lane     int64
	Function FunctionKey // Version is ""
	Delivery bool        // the lane holds deliveries of the function's results
	Due      time.Time   // of its first job
}

// LaneClaim asks for the first jobs of a lane that are due.
type LaneClaim struct {
	Lane int64
	Most int
}

// LaneClaimed is what a claim gave: the jobs in order, and when the lane's next one is due; the zero time when none waits.
type LaneClaimed struct {
	Lane int64
	Jobs []JobStatus
	Next time.Time
}

// JobEnd is how an attempt ended, and what shall become of the job.
type JobEnd struct {
	Seq     int64
	Attempt int      // which one; an end of an attempt that was taken away in the meantime counts for nothing
	State   JobState // JobWaiting for another attempt, or a final one
	Due     time.Time
	Code    Code
	Message string
	// Interrupted and Postponed say what the attempt did not do: come to an end, or reach the function.
	Interrupted, Postponed bool
	Drop                   bool  // the event is not needed any more
	Next                   []Job // accepted together with the end, when the end counts
}

// JobEnded is what became of an end.
type JobEnded struct {
	State  JobState // may be JobCancelled instead of the one asked for; "" when the end counts for nothing
	Due    time.Time
	Places []JobPlace // of Next
}

// JobFilter chooses jobs of one function for a listing, the youngest first.
type JobFilter struct {
	Project, Package, Name string     // Package and Name "" for all of the project's functions
	Deliveries             bool       // also deliveries of results
	States                 []JobState // nil for all
	IDs                    []string   // nil for all
	From, To               time.Time  // acceptance; zero for no bound
	Before                 int64      // Seq of the last job of the page before; 0 for the first page
	Skip                   int        // so many of the youngest are left out; Before pages better
	Limit                  int
}

// Clip cuts a text to at most n bytes, and never through a character.
func Clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xc0 == 0x80 {
		n--
	}
	return text[:n]
}
