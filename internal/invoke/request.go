package invoke

import "github.com/hanshu-faas/hanshu/internal/faas"

// Request is one call of a function, as a face hands it in.
type Request struct {
	Key   faas.FunctionKey // Version "" or faas.Latest unless one is named
	Alias string           // without "!"; with a Key.Version it has chosen that one already
	Asked faas.Asked       // what came with the call, for the rules of an alias; nil for nothing
	Call  faas.Invocation  // Deadline is set by Invoke
}
