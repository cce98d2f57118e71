package wire

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
)

// HelloMessage opens a session.
type HelloMessage struct {
	Boot    string `json:"boot"` // made anew whenever the agent starts
	Agent   Agent  `json:"agent"`
	Version uint64 `json:"version"` // of the document that was accepted last; 0 for none
	CmdSeq  uint64 `json:"cmd_seq"` // of the last command that was carried out; 0 for none
}

// Agent describes the agent's program.
type Agent struct {
	Version string `json:"version"`
	OS      string `json:"os"`   // GOOS
	Arch    string `json:"arch"` // GOARCH
	// Reverted is the version that the document wants, where it was tried and given up; in reports only.
	Reverted string `json:"reverted,omitempty"`
}

// WillMessage is left with the broker for the time when the gateway is lost.
type WillMessage struct {
	Boot string `json:"boot"`
}

// GetMessage asks for the document, also for fresh URLs of the one that the gateway has.
type GetMessage struct {
	Version uint64 `json:"version"` // that was accepted last
}

// ReportedMessage tells what a gateway is: on change, and every minute or so.
type ReportedMessage struct {
	Boot      string          `json:"boot"`
	Version   uint64          `json:"version"` // of the document that was accepted last
	Good      uint64          `json:"good"`    // of the one that passed its health window last
	State     string          `json:"state"`   // StateApplied, ...
	Message   string          `json:"message,omitempty"`
	Agent     Agent           `json:"agent"`
	StartedAt int64           `json:"started_at"` // of the agent, ms since 1970
	At        int64           `json:"at"`
	Functions []FunctionState `json:"functions"`
	Routes    []RouteState    `json:"routes,omitempty"`
	Refused   []Refusal       `json:"refused,omitempty"` // the last few
	CmdSeq    uint64          `json:"cmd_seq"`
	Host      HostState       `json:"host"`
}

// The states of a document on a gateway.
const (
	StateApplied    = "applied"     // it stands, and has passed its health window
	StatePending    = "pending"     // it is being fetched, or is in its health window
	StateFailed     = "failed"      // it could not be applied, and nothing older was there
	StateRolledBack = "rolled_back" // it could not be applied or kept, and Good stands again
)

// FunctionState is a function as it is on the gateway.
type FunctionState struct {
	Name     string `json:"name"`
	Hash     string `json:"hash"`  // Function.Hash of what stands
	State    string `json:"state"` // FunctionPending, ...
	Message  string `json:"message,omitempty"`
	Calls    int64  `json:"calls"`
	Errors   int64  `json:"errors"`
	Restarts int64  `json:"restarts,omitempty"`
	LastRun  int64  `json:"last_run,omitempty"`  // ms since 1970
	NextCron int64  `json:"next_cron,omitempty"` // likewise
}

// The states of a function on a gateway.
const (
	FunctionPending = "pending"
	FunctionRunning = "running" // it can be called, whether or not an instance is warm
	FunctionFailed  = "failed"
)

// RouteState counts what went through a route since the agent started, but for Queued.
type RouteState struct {
	ID      int64 `json:"id"`
	Hits    int64 `json:"hits"`
	Dropped int64 `json:"dropped"`
	Queued  int64 `json:"queued"` // kept for the cloud, now
}

// Refusal is a document that was not accepted.
type Refusal struct {
	Version uint64 `json:"version"` // 0 where it could not be read
	Reason  string `json:"reason"`
	At      int64  `json:"at"` // ms since 1970
}

// HostState is what the gateway has left. 0 is unknown.
type HostState struct {
	RSS      int64 `json:"rss"`       // bytes, of the agent
	MemFree  int64 `json:"mem_free"`  // bytes
	DiskFree int64 `json:"disk_free"` // bytes, where the agent keeps its data
}

// Command asks a gateway to do something once. A gateway carries commands out in the order of Seq, keeps the last Seq on disk
// before it answers, and answers a command that comes again with the answer it gave.
type Command struct {
	Seq     uint64          `json:"seq"` // per gateway, from 1, without gaps but for commands that expired
	ID      string          `json:"id"`  // UUID
	Kind    string          `json:"kind"`
	Body    json.RawMessage `json:"body"`       // InvokeBody, LogsBody or {}
	Expires int64           `json:"expires_at"` // ms since 1970, by the cloud's clock; for a gateway whose clock can be trusted
}

// The kinds of commands. Any other is acknowledged with CodeUnsupported.
const (
	KindInvoke   = "invoke"
	KindLogs     = "logs"
	KindDiagnose = "diagnose" // Result is TextResult: what `hanshu-edge run --once` prints
	// KindRetryRelease has the gateway forget which versions of the agent it gave up, and try the one that its document names. Result
	// is TextResult.
	KindRetryRelease = "retry_release"
)

// Ack answers a Command.
type Ack struct {
	Seq    uint64          `json:"seq"`
	ID     string          `json:"id"`
	OK     bool            `json:"ok"`
	Result json.RawMessage `json:"result,omitempty"` // InvokeResult or TextResult
	Code   string          `json:"code,omitempty"`   // of a failure: a faas.Code
	Error  string          `json:"error,omitempty"`
}

// The codes of failures beside those that a function's call ends with.
const (
	CodeUnsupported = "unsupported"
	CodeNotFound    = "not_found"
	CodeExpired     = "queue_timeout"
	CodeInternal    = "internal"
)

// InvokeBody calls a function.
type InvokeBody struct {
	Function string          `json:"function"` // name
	Call     string          `json:"call"`     // id of the call
	Event    json.RawMessage `json:"event"`    // JSON, at most MaxEvent
	Timeout  int64           `json:"timeout_ms,omitempty"`
}

// InvokeResult is how the call ended: with Output or with the function's own Failure. An Ack that is not OK says that it never ran.
type InvokeResult struct {
	Output  json.RawMessage `json:"output,omitempty"`
	Failure *Failure        `json:"failure,omitempty"`
	Logs    []LogLine       `json:"logs,omitempty"`
	Cold    bool            `json:"cold,omitempty"`
	Init    int64           `json:"init_us,omitempty"` // microseconds
	Run     int64           `json:"run_us"`            // microseconds
	Memory  int64           `json:"memory,omitempty"`  // bytes, peak of the instance
}

// Failure is an error of the function's own making.
type Failure struct {
	Code    string   `json:"code"` // a faas.Code
	Type    string   `json:"type"`
	Message string   `json:"message"`
	Stack   []string `json:"stack,omitempty"`
}

// LogLine is one line that a function wrote.
type LogLine struct {
	At    int64  `json:"at"` // ms since 1970
	Level string `json:"level"`
	Text  string `json:"text"`
}

// LogsBody asks for the last lines of a function's log, or of the agent's own.
type LogsBody struct {
	Function string `json:"function,omitempty"` // "" for the agent
	Lines    int    `json:"lines"`
}

// TextResult is text for people.
type TextResult struct {
	Text string `json:"text"`
}

// UpBatch carries messages of routes that lead to the cloud, in the order of Seq. The gateway keeps them until UpAckMessage, and
// sends them again when none comes: each arrives at least once and counts once.
type UpBatch struct {
	// Stream names the gateway's store of messages; another one begins anew with Seq 1.
	Stream   string      `json:"stream"`
	Messages []UpMessage `json:"messages"`
}

// UpMessage is one of them.
type UpMessage struct {
	Seq     uint64 `json:"seq"` // from 1, growing; gaps are messages that the bounds of a cache dropped
	Route   int64  `json:"route"`
	Topic   string `json:"topic"`
	Payload []byte `json:"payload"`
	At      int64  `json:"at"` // ms since 1970, by the gateway's clock
}

// UpAckMessage tells that everything up to Seq is kept by the cloud.
type UpAckMessage struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
}

// Enrollment is the file with which a gateway starts: who it is, and whom it trusts. It holds a secret: mode 0600.
type Enrollment struct {
	BrokerURL    string       `json:"broker_url"` // mqtt://, mqtts://, ws:// or wss:// with host and port
	HTTPURL      string       `json:"http_url"`   // of the platform, with which relative Envelope.URLs are completed
	ProductSN    string       `json:"product_sn"`
	GatewaySN    string       `json:"gateway_sn"`
	DeviceSecret string       `json:"device_secret"`
	CAPEM        string       `json:"ca_pem,omitempty"` // that signed the certificates of both; "" for those of the system
	SigningKeys  []SigningKey `json:"signing_keys"`
	DataDir      string       `json:"data_dir"` // default of --data-dir
}

// SigningKey is a key that desired documents are signed with.
type SigningKey struct {
	ID     string `json:"id"`
	Public []byte `json:"public_key"` // ed25519, base64
}

// Identity names the gateway of the file.
func (e *Enrollment) Identity() ID { return ID{Product: e.ProductSN, Gateway: e.GatewaySN} }

// Keys gives the signing keys by id, for Envelope.Open.
func (e *Enrollment) Keys() map[string]ed25519.PublicKey {
	keys := map[string]ed25519.PublicKey{}
	for _, k := range e.SigningKeys {
		keys[k.ID] = k.Public
	}
	return keys
}

// Check tells what the file lacks.
func (e *Enrollment) Check() error {
	switch {
	case !e.Identity().Valid():
		return errors.New("product_sn and gateway_sn must be 1 to 32 letters, digits, '-', '_' or ':'")
	case e.BrokerURL == "":
		return errors.New("broker_url is missing")
	case e.DeviceSecret == "":
		return errors.New("device_secret is missing")
	case len(e.SigningKeys) == 0:
		return errors.New("signing_keys is empty, so no desired document could be trusted")
	}
	for _, k := range e.SigningKeys {
		if k.ID == "" || len(k.Public) != ed25519.PublicKeySize {
			return fmt.Errorf("signing key %.40q is no ed25519 key", k.ID)
		}
	}
	return nil
}
