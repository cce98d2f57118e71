// Package initbin holds the sandbox's init as built by `make build` (never committed): <GOARCH>/hanshu-init.gz. A program carries
// that of its own processor only.
//
// It must not know what the init does.
package initbin

import (
	"bytes"
	"compress/gzip"
	"io"
	"runtime"
)

// Binary gives the init for this machine's processor, or nil when the program was built without it.
func Binary() []byte {
	packed, err := files.ReadFile(runtime.GOARCH + "/hanshu-init.gz")
	if err != nil {
		return nil
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil
	}
	return b
}
