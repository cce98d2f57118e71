//go:build !linux

package agent

import (
	"context"
	"errors"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

func nativeDriver(context.Context, Options) (sandbox.Driver, error) {
	return nil, errors.New("functions can be isolated on Linux only")
}
