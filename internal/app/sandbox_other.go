//go:build !linux

package app

import (
	"context"
	"errors"

	"github.com/hanshu-faas/hanshu/internal/config"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/none"
)

func newDriver(_ context.Context, cfg config.Config, _ string) (sandbox.Driver, error) {
	if cfg.Sandbox != config.SandboxNone {
		return nil, errors.New("only Linux can isolate functions; --sandbox=none runs them without any protection")
	}
	return none.New(), nil
}
