//go:build !amd64 && !arm64

package initbin

import "embed"

var files embed.FS
