package lang

import (
	"encoding/json"
	"maps"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// The worker protocol: what the server and a bootstrap say to each other over the inherited stream socket, file
// descriptor ControlFD. Every message is a frame:
//
//	u32  size of meta and body together, big endian
//	u8   type
//	u8   zero
//	u16  size of meta
//	u32  sequence number of the call; 0 outside a call
//	meta, body
//
// A worker speaks first: FrameReady. The server sends FrameLoad once, which may lie there before that, and the worker answers FrameLoaded or
// FrameFailed (meta: FailLoad or FailInit). After that the server sends FrameCall, one at a time, and the worker answers
// each with FrameResult or FrameFailed under the same sequence number. Where Load.Concurrency is over 1 the server sends
// further calls before answers have come, up to that number, and answers come in any order. End of file on the socket means: end. A worker
// that is sent anything else ends with exit code 1.
//
// Between calls, or beside them where there are several, the server may send FrameBeat, answered by FrameBeaten (meta: one
// byte, 1 when all is well) under the same sequence number. FrameStop comes last: the worker calls the pre-stop handler, answers
// FrameStopped, or FrameFailed under the same number, and is ended.
//
// While a call of faas.ContractCallback or faas.ContractEdge runs, the worker may ask the platform: FrameAsk under the number of the call, answered
// in any order by FrameTold, as long as the call is not answered itself. Body is a Question, and an Answer.
//
// A worker may end at any time, and does so by itself: after FailLast, when the function asked for it (sys.exit) or left an
// error uncaught, and without an answer when the function ended the process or closed the socket.
//
// A worker whose language says HTTP also takes FrameDial once it is loaded, with a sequence number of its own, and answers
// it under that number: FrameDialed, whose first byte carries one file descriptor (SCM_RIGHTS), a connection to the port that
// the function listens on; or FrameFailed. Dials may come while a call runs, and are answered in any order.
//
// A worker that supervises a process of the function's answers FailExit when that has ended, and then waits for its own end.
//
// A worker whose language has a Wire does not stand before the function but becomes it, by execve. It answers the load with FrameLoaded whose
// meta is a u16, the port of 127.0.0.1 at which the function is to listen, and whose first byte carries a TCP socket of the sandbox
// that is bound and connected to nothing. FrameFailed may follow, where the function's program cannot be run; else the worker's end
// of this socket closes as it becomes the function. The server connects the socket as soon as somebody listens, and goes on there.
//
// Standard output and error of the worker are one pipe, file descriptors 1 and 2. Lines there are log lines of the call
// that runs; what was written before an answer is in the pipe before it. LogMark begins a line that carries its own
// level: LogMark, one level letter (D, L, I, W, E), the text with line ends inside it written as LogBreak. Where calls run side by
// side the letter is followed by LogCall, the decimal sequence number of the call, and LogCall again. It can stand
// behind text that the function left without a line end. AppendLogLines reads all this.
const (
	ControlFD = 3

	FrameReady   = 1  // worker: booted; no meta, no body
	FrameLoad    = 2  // server: body is a Load as JSON
	FrameLoaded  = 3  // worker: code loaded, initializer done; no meta but that of one with a Wire
	FrameCall    = 4  // server: meta is a call head, body the event
	FrameResult  = 5  // worker: meta is a u32 with the peak resident memory in KiB, body the result as JSON text
	FrameFailed  = 6  // worker: meta is one Fail byte, body a Failure as JSON
	FrameBeat    = 7  // server: ask the heartbeat handler
	FrameBeaten  = 8  // worker: meta is 1 when the handler said that all is well, 0 when not or when it threw
	FrameStop    = 9  // server: call the pre-stop handler
	FrameStopped = 10 // worker: it has returned

	FrameDial   = 20 // server: a connection to the function is wanted; no meta, no body
	FrameDialed = 21 // worker: here it is, beside the first byte; no meta, no body

	FrameAsk  = 30 // worker: asks the platform for something on behalf of a call; meta is a u32 that numbers the question, body JSON
	FrameTold = 31 // server: the answer; the same meta, body JSON

	FrameHead     = 12       // bytes before meta
	MaxFrameBytes = 64 << 20 // a larger size is a broken worker

	FailLoad      = 'l' // the module or handler could not be loaded
	FailInit      = 'i' // the initializer threw
	FailException = 'x' // the handler threw
	FailLast      = 'e' // the same, and the worker takes no further call: it ends behind this answer, or when its other calls have ended
	FailExit      = 'q' // the function's own process has ended; Message says how. The worker waits to be ended
	FailResult    = 'r' // the result cannot be written as JSON
	FailTooLarge  = 't' // the result is over Load.MaxResult

	LogMark  = '\x1e'
	LogBreak = '\x1f'
	LogCall  = '\x1d'
)

// The head of a call, meta of FrameCall: u64 deadline (Unix milliseconds), then the request id (ASCII) up to the end of
// meta, or up to a zero byte that is followed by JSON of a CallExtra.

// CallExtra carries what most calls lack.
type CallExtra struct {
	Alias           string `json:"alias,omitempty"`
	WorkflowID      string `json:"workflow_id,omitempty"`
	WorkflowRunID   string `json:"workflow_run_id,omitempty"`
	WorkflowStateID string `json:"workflow_state_id,omitempty"`
	WorkflowAttempt int    `json:"workflow_attempt,omitempty"` // at the state, from 1
	// For faas.ContractCallback and faas.ContractEdge: where the call comes from, how long it may run, and what its origin says of it.
	Source  string `json:"source,omitempty"`
	LimitMS int64  `json:"limit_ms,omitempty"`
	Origin  string `json:"origin,omitempty"` // a JSON object as text
	// Credentials take the place of those in the load, for this call and all that follow; nil while those are good.
	Credentials *Credentials `json:"credentials,omitempty"`
}

// Credentials are those of a function's agency, under the names that they have in the load.
type Credentials struct {
	AccessKey     string `json:"access_key"`
	SecretKey     string `json:"secret_key"`
	SecurityToken string `json:"security_token"`
	AuthToken     string `json:"auth_token"`
}

// Load tells a worker which function it becomes. It is the only way secrets reach a sandbox.
type Load struct {
	CodeRoot    string            `json:"code_root"`
	Region      string            `json:"region"`
	Handler     string            `json:"handler"`
	Contract    string            `json:"contract,omitempty"` // faas.ContractCallback, faas.ContractEdge, or "" for handler(event, context)
	InitHandler string            `json:"init_handler,omitempty"`
	StopHandler string            `json:"stop_handler,omitempty"`
	BeatHandler string            `json:"beat_handler,omitempty"`
	Concurrency int               `json:"concurrency,omitempty"` // calls at a time; 0 and 1 are one
	ProjectID   string            `json:"project_id"`
	Package     string            `json:"package"`
	Function    string            `json:"function"`
	Version     string            `json:"version"`
	MemoryMB    int               `json:"memory_mb"`
	CPUMillis   int               `json:"cpu_millis"`
	TimeoutSec  int               `json:"timeout_s"`
	InitSec     int               `json:"init_timeout_s"`
	StopSec     int               `json:"stop_timeout_s"`
	UserData    map[string]string `json:"user_data"`  // plain and unsealed variables together
	Env         map[string]string `json:"env"`        // process variables to set before the code is loaded (RUNTIME_*, user data)
	MaxResult   int               `json:"max_result"` // bytes
	// Compile asks for the faster form of the code and no function: a worker that has answered FrameLoaded then answers each
	// call, whatever its event, with a piece of a tar archive of the files that it made, and with an empty body when all
	// has been told. Code that does not compile is a FailLoad.
	Compile bool `json:"compile,omitempty"`
	// Compiled is the folder with those files, in a later load of the same package; "" where there are none. A worker for
	// which they do not fit does without.
	Compiled string `json:"compiled,omitempty"`
	// Command is what a container image runs, in WorkingDir of its root; nil for every other function.
	Command    []string `json:"command,omitempty"`
	WorkingDir string   `json:"working_dir,omitempty"`
	// Place tells a function of faas.ContractEdge where it is: a JSON object of product_sn, device_sn and config; nil for others.
	Place json.RawMessage `json:"place,omitempty"`
	// AuthInHeader has events that reach a function which serves HTTP carry its credentials, see faas.CredentialHeader.
	AuthInHeader bool `json:"auth_in_header,omitempty"`
	// Credentials of the function's agency; empty without one. They end, and are replaced by those of a CallExtra before.
	Credentials
}

// Question is what a worker asks of the platform: to call another function of the same owner or, of faas.ContractEdge, what
// Ask says of Data.
type Question struct {
	Ask    string          `json:"ask,omitempty"`
	Invoke string          `json:"invoke"` // what people call the function
	Data   json.RawMessage `json:"data"`
	Sync   bool            `json:"sync"`
}

// Answer is what the platform says: Result, or why not.
type Answer struct {
	Result json.RawMessage `json:"result,omitempty"`
	Status int             `json:"status,omitempty"` // of the refusal, 400 to 599; 0 for none
	Reason string          `json:"reason,omitempty"`
}

// Failure is the body of FrameFailed (FunctionGraph reference 3.1).
type Failure struct {
	Message string   `json:"errorMessage"`
	Type    string   `json:"errorType"`
	Stack   []string `json:"stackTrace"`
}

// Header is what a request of a call carries for a function that serves HTTP: see faas.CallHeader and faas.CredentialHeader.
func (l Load) Header(requestID string) map[string]string {
	h := faas.CallHeader(l.Region, l.ProjectID, l.Package, l.Function, l.Version, l.MemoryMB, l.TimeoutSec, requestID)
	if l.AuthInHeader {
		maps.Copy(h, faas.CredentialHeader(faas.Credentials{AccessKey: l.AccessKey, SecretKey: l.SecretKey, SecurityToken: l.SecurityToken, AuthToken: l.AuthToken}))
	}
	return h
}
