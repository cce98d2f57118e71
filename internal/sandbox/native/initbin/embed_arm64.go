package initbin

import "embed"

//go:embed all:arm64
var files embed.FS
