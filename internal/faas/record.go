package faas

import "time"

// Record is what is kept of a call once it has ended.
type Record struct {
	Seq    int64       // order of ending among all records of a server: microseconds since 1970 at the end, made unique
	ID     string      // request id; the attempts at one asynchronous call share it
	Key    FunctionKey // Version is the one that ran
	Alias  string      // the call came through, without "!"; "" for none
	Source string      // SourceAPI, ...
	Parent string      // id of the call that this one replays or follows; "" for none

	Attempt  int       // from 1
	Accepted time.Time // by the platform; for an asynchronous call when it was queued
	Begun    time.Time // of this attempt
	Took     time.Duration
	Queued   time.Duration // of that, waiting for an instance, start included
	Init     time.Duration // loading the code and running the initializer; 0 when warm
	Run      time.Duration // in the handler
	Cold     bool          // an instance was started for this call

	MemoryPeak int64 // bytes, of the instance so far
	MemoryMB   int   // size of the instance
	Code       Code  // of the failure; "" for none
	Type       string
	Message    string
	Stack      []string
	Digest     string // of the package that ran; "" when none did

	EventSize   int64
	EventDigest string // SHA-256 in hex; "" without an event
	Event       []byte // nil where it is over the bound, or not kept at all
	ResultSize  int64

	Logs    []LogLine
	Dropped int64 // bytes of log beyond the limit of one call, not in Logs
}

// Ended is when the call ended.
func (r *Record) Ended() time.Time { return r.Begun.Add(r.Took) }

// RecordFilter chooses records for a listing. Without From and After it reaches back to the oldest one kept.
type RecordFilter struct {
	Project, Package, Name string // Package and Name "" for all of the project's functions
	Version                string // "" for all; the name of an alias behind "!" for the calls that came through it
	Source                 string // "" for all
	Failed                 bool   // only those with a Code
	Succeeded              bool   // only those without
	Code                   Code   // "" for all
	From, To               time.Time
	After, Before          int64 // Seq; 0 for no bound
	Limit                  int
	Oldest                 bool // the oldest first, from After on; the newest first otherwise
	Whole                  bool // with stack, event and log
}

// RecordPage is a part of a listing.
type RecordPage struct {
	Records []Record
	// Next is where the listing goes on: the Before (or After, with Oldest) of the next page; 0 at its end. A page may hold fewer
	// records than asked for, and yet not be the last, where a filter passes few.
	Next int64
}

// Tally sums what calls did in a span of time.
type Tally struct {
	Count          int64
	FunctionErrors int64
	SystemErrors   int64
	Rejects        int64         // refused before they reached the function: overload, no instance in time, switched off
	Run            time.Duration // in the handlers, all together
	MaxRun, MinRun time.Duration
	Took           time.Duration // from the requests to their ends, all together
	MBMillis       int64         // size of the instance times billed milliseconds
}

// Failed counts the calls that failed, whoever's doing it was.
func (u *Tally) Failed() int64 { return u.FunctionErrors + u.SystemErrors + u.Rejects }

// Add adds the calls of another span or function.
func (u *Tally) Add(o Tally) {
	if u.Count == 0 || o.Count > 0 && o.MinRun < u.MinRun {
		u.MinRun = o.MinRun
	}
	u.MaxRun = max(u.MaxRun, o.MaxRun)
	u.Count += o.Count
	u.FunctionErrors += o.FunctionErrors
	u.SystemErrors += o.SystemErrors
	u.Rejects += o.Rejects
	u.Run += o.Run
	u.Took += o.Took
	u.MBMillis += o.MBMillis
}

// TallyOf gives what one call counts for. What instances do outside calls counts for nothing.
func TallyOf(r *Record) Tally {
	if r.Source == SourcePreStop || r.Source == SourceHeartbeat {
		return Tally{}
	}
	u := Tally{Count: 1, Run: r.Run, MaxRun: r.Run, MinRun: r.Run, Took: r.Took}
	u.MBMillis = int64(r.MemoryMB) * int64((r.Run+time.Millisecond-1)/time.Millisecond)
	switch {
	case r.Code == "":
	case r.Code == CodeOverload, r.Code == CodeQueueTimeout, r.Code == CodeDisabled, r.Code == CodeCancelled:
		u.Rejects = 1
	case r.Code.Fault() == FaultFunction:
		u.FunctionErrors = 1
	default:
		u.SystemErrors = 1
	}
	return u
}

// TallyPoint is the tally of a span that begins at At.
type TallyPoint struct {
	At time.Time
	Tally
}

// TallyFilter chooses whose calls are meant, and when.
type TallyFilter struct {
	// Name is "" for all of the project's functions. Version is "" for all of them, or the name of an alias behind "!" for the calls
	// that came through it.
	Project, Package, Name, Version string
	From, To                        time.Time
	Hours                           bool // a point for each hour, and not for each minute
}
