package faas

import "time"

// Limits of asynchronous calls (FunctionGraph reference, sections 3.2 and 3.3).
const (
	MaxAsyncEventBytes = 256 << 10
	MaxAsyncRetries    = 8
	MaxAsyncAge        = 24 * time.Hour
	DefaultAsyncRetry  = 1
	DefaultAsyncAge    = time.Hour
)

// AsyncConfig says how the asynchronous calls of a function are made, for those that come through one version or alias.
type AsyncConfig struct {
	Key       FunctionKey // Version is "" for an alias
	Alias     string      // without "!"; "" for a version
	MaxAge    time.Duration
	Retries   int // attempts after the first one
	OnSuccess *Destination
	OnFailure *Destination
	StatusLog bool // each change of a call's state is told in the server's log
	CreatedAt time.Time
	ChangedAt time.Time
}

// Qualifier is the version, or the alias behind "!".
func (c *AsyncConfig) Qualifier() string {
	if c.Alias != "" {
		return "!" + c.Alias
	}
	return c.Key.Version
}

// DefaultAsyncConfig is that of calls for which nobody has set one.
func DefaultAsyncConfig(key FunctionKey, alias string) AsyncConfig {
	return AsyncConfig{Key: key, Alias: alias, MaxAge: DefaultAsyncAge, Retries: DefaultAsyncRetry}
}

// DestinationKind is a kind of place where the record of an asynchronous call goes.
type DestinationKind string

// The kinds of destinations. A topic and a stream are reached by the webhook that their project has set for them.
const (
	DestinationFunction DestinationKind = "function"
	DestinationBucket   DestinationKind = "bucket"
	DestinationTopic    DestinationKind = "topic"
	DestinationStream   DestinationKind = "stream"
)

// Destination is one place where the record of an asynchronous call goes.
type Destination struct {
	Kind     DestinationKind
	Function FunctionKey // DestinationFunction; Version "" for Latest
	Alias    string      // of the function, without "!"
	Name     string      // of the bucket, topic or stream
	Prefix   string      // of the objects in a bucket
	Days     int         // until an object in a bucket may go; 0 for never
}

// Edge is a function whose results go to another one.
type Edge struct{ From, To FunctionKey } // Version is "": a ring of versions is one of functions

// Webhook is where the messages for a kind of destination are posted.
type Webhook struct {
	URL          string
	SealedSecret []byte // signs each message; nil for none
}

// AsyncSettings are those of a project.
type AsyncSettings struct {
	StatusLog bool                        // the project's status log is switched on
	Webhooks  map[DestinationKind]Webhook // of topics and streams
}
