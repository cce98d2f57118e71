package invoke

import "github.com/hanshu-faas/hanshu/internal/faas"

// Request asks for one call.
type Request struct {
	Key   faas.FunctionKey
	Alias string // the call came through, without "!"; "" for none
	Call  faas.Invocation
}
