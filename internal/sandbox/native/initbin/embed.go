// Package initbin holds the sandbox's init as built by `make build` (never committed): hanshu-init-<GOARCH>.
//
// It must not know what the init does.
package initbin

import (
	"embed"
	"runtime"
)

//go:embed *
var files embed.FS

// Binary gives the init for this machine's processor, or nil when hanshu was built without it.
func Binary() []byte {
	b, err := files.ReadFile("hanshu-init-" + runtime.GOARCH)
	if err != nil {
		return nil
	}
	return b
}
