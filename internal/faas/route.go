package faas

import "time"

// Route is where HTTP requests from outside lead: what a trigger of the API gateway's kind says, ready for use.
type Route struct {
	Trigger string // id
	Name    string
	Key     FunctionKey // Version "" where Alias is set
	Alias   string
	Path    string        // as its owner wrote it
	Stage   string        // name of the environment
	Auth    string        // AuthNone, AuthApp or AuthIAM
	AppCode string        // of AuthApp
	Timeout time.Duration // for the whole answer
	Async   bool          // the answer is the id of a call that is made later
}

// How a Route proves who calls.
const (
	AuthNone = "NONE"
	AuthApp  = "APP" // by the route's own code
	AuthIAM  = "IAM" // as every operation of the platform
)
