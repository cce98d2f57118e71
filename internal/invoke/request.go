package invoke

import "github.com/hanshu-faas/hanshu/internal/faas"

// Request is one call of a function, as a face hands it in.
type Request struct {
	Key   faas.FunctionKey // Version "" or faas.Latest unless one is named
	Alias string           // without "!"; excludes Key.Version
	Call  faas.Invocation  // Deadline is set by Invoke
}
