package agent

import (
	"context"
	"path/filepath"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initbin"
)

func nativeDriver(ctx context.Context, o Options) (sandbox.Driver, error) {
	return native.New(ctx, native.Config{Init: initbin.Binary(), Token: o.Token, Private: o.DataDir, Record: filepath.Join(o.DataDir, "groups")})
}
