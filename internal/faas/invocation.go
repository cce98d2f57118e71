package faas

import "time"

// Invocation is one call of a function version, whatever its source.
type Invocation struct {
	ID       string // request id, UUID
	Source   string // SourceAPI, ...
	Event    []byte // JSON text handed to the handler
	Deadline time.Time
	// QueueBy is when a call that waits for an instance gives up, unless one is being started then; it is before Deadline.
	QueueBy time.Time
	// MemoryMB, when not 0, is the instance size asked for by this call instead of Spec.MemoryMB.
	MemoryMB int
	// Alias the call came through, without "!"; "" for none.
	Alias string
	// Timeout, when not 0, bounds the run of this call beside Spec.Timeout; QueueWait likewise bounds the wait for an instance.
	Timeout, QueueWait time.Duration
	// Gateway, when not zero, is where the call runs instead of on this server. Product may be "" where SN tells which.
	Gateway GatewayID
	// Async tells that nobody waits for the result.
	Async bool
	// Depth counts the calls above this one that functions made of each other.
	Depth int
	// Origin is what the caller's dialect tells the function of the call, as a JSON object; "" for nothing.
	Origin string
	// Kill, when not nil, ends the instance that has the call once it is closed.
	Kill <-chan struct{}

	Flow *FlowOrigin // the step of a workflow that makes the call; nil for none

	Parent   string    // id of the call that this one replays or follows; "" for none
	Attempt  int       // at an asynchronous call; 0 and 1 are the first
	Accepted time.Time // when an asynchronous call was queued; zero for now
}

// RunLimit is how long this call may run in a function.
func (c *Invocation) RunLimit(s *Spec) time.Duration {
	if c.Timeout > 0 && c.Timeout < s.Timeout {
		return c.Timeout
	}
	return s.Timeout
}

// LoadLimit is how long the code of a function may load.
func (s *Spec) LoadLimit() time.Duration {
	switch {
	case s.InitHandler != "":
		return InitAttempts * s.InitTimeout
	case s.Contract == ContractCallback:
		return min(s.Timeout, MaxCallbackLoad)
	}
	return s.Timeout // code without an initializer may load as long as it may run
}

// The sources of calls: a dialect's invoke operation, or what a trigger has seen.
const (
	SourceAPI         = "api"
	SourceDestination = "destination"
	SourceTimer       = "timer"
	SourceAPIG        = "apig"
	SourceKafka       = "kafka"
	SourceRabbitMQ    = "rabbitmq"
	SourceOBS         = "obs"
	SourceSMN         = "smn"
	SourceMQTT        = "mqtt"
	SourceOpenAPI     = "open_api"
	SourceDashboard   = "user_dash"
	SourceSDK         = "sdk"
	SourceFunction    = "cloud_function"
	SourceFlow        = "workflow"
	SourceReplay      = "replay" // somebody had a recorded call run again
)

// What an instance does outside calls is recorded like a call, with one of these as its source.
const (
	SourcePreStop   = "pre-stop"  // its pre-stop handler, before it ended
	SourceHeartbeat = "heartbeat" // its heartbeat handler, when that ended it
)

// Result is how a call ended when the function was reached: with Output, or with the function's own Failure.
// Failures of the platform or the caller are returned as *Error beside it, not in it.
type Result struct {
	Output  []byte   // JSON text; nil when Failure is set
	Failure *Failure // nil on success
	Logs    []LogLine
	Dropped int64 // bytes of log beyond the limit of one call, not in Logs

	Cold       bool          // an instance was started for this call
	Queued     time.Duration // waiting for an instance, start included
	Init       time.Duration // loading the code and running the initializer; 0 when warm
	Run        time.Duration // in the handler
	MemoryPeak int64         // bytes, of the instance so far
	MemoryMB   int           // size of the instance that ran it
	Version    string        // that ran; an alias leads to one of several
	Digest     string        // of the package that ran
}

// Failure is an error of the function's own making, as its language reports it.
type Failure struct {
	Code    Code     // CodeLoad, CodeException, CodeInit, CodeInitTimeout, CodeTimeout, CodeMemory, CodeExit, CodeResult, CodeResultTooLarge
	Type    string   // e.g. "ZeroDivisionError"
	Message string   // one or more lines
	Stack   []string // innermost last, as the language prints it; nil when there is none
}

// LogLine is one line that a function wrote.
type LogLine struct {
	Time  time.Time
	Level string // LevelInfo, ...
	Text  string // without line end
}

// Levels of log lines, as FunctionGraph's logger names them. What a function prints is LevelInfo.
const (
	LevelDebug = "DEBUG"
	LevelInfo  = "INFO"
	LevelLog   = "LOG" // console.log of a function of ContractCallback
	LevelWarn  = "WARN"
	LevelError = "ERROR"
)
