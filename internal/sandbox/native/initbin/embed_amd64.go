package initbin

import "embed"

//go:embed all:amd64
var files embed.FS
