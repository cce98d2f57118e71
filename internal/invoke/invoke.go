// Package invoke is the use case on what runs: find the version, admit the call, hand it to a Runner, keep its record.
//
// It must not know HTTP, SQL, processes or any dialect's words.
package invoke

import (
	"context"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Runner runs one call of a resolved function version. A pool of local instances is one; a remote node or an edge gateway
// is another. The answer's Failure is the function's own doing; an error is everyone else's: CodeOverload,
// CodeQueueTimeout, CodeStart, CodeDisabled, CodeCancelled, CodeUnavailable.
type Runner interface {
	Run(ctx context.Context, f *faas.Function, call faas.Invocation) (*faas.Result, error)
	// Exchange is Run where talk speaks HTTP with the instance that has the call, in place of an event and a result: the
	// Result has no Output. When the time of the call is over the instance is ended, which breaks talk's connections. An error of
	// talk is the function's failure unless ctx has ended (CodeCancelled). Error beside those of Run: CodeUnsupported, field
	// "runtime", for a function that does not serve HTTP.
	Exchange(ctx context.Context, f *faas.Function, call faas.Invocation, talk func(faas.Backend) error) (*faas.Result, error)
}

// Functions finds versions and aliases; the store is one. Errors as control.FunctionStore has them.
type Functions interface {
	Function(ctx context.Context, key faas.FunctionKey) (*faas.Function, error)
	Alias(ctx context.Context, key faas.FunctionKey, name string) (*faas.Alias, error)
}
