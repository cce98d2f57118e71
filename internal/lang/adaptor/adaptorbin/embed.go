// Package adaptorbin holds the adaptors as built by `make build` (never committed): <name>-<GOARCH>/adaptor.
//
// It must not know what they do.
package adaptorbin

import (
	"embed"
	"io/fs"
	"runtime"
)

//go:embed *
var files embed.FS

// The adaptors.
const (
	Go  = "gorpc" // for executables that serve net/rpc
	Web = "web"   // for executables that ask for their requests by HTTP, or serve HTTP; container images too
	// WASM is the worker of the WASM runtime, which has the engine in it.
	WASM = "wasm"
)

// Files gives an adaptor for this machine's processor as a folder with one file, adaptor; nil when hanshu was built
// without it.
func Files(name string) fs.FS {
	folder := name + "-" + runtime.GOARCH
	if _, err := fs.Stat(files, folder+"/adaptor"); err != nil {
		return nil
	}
	sub, err := fs.Sub(files, folder)
	if err != nil {
		return nil
	}
	return sub
}
