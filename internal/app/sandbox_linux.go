package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/hanshu-faas/hanshu/internal/config"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native"
	"github.com/hanshu-faas/hanshu/internal/sandbox/native/initbin"
	"github.com/hanshu-faas/hanshu/internal/sandbox/none"
	"github.com/hanshu-faas/hanshu/internal/sandbox/oci"
)

// newDriver makes the driver that the configuration names; record is the file that remembers where its groups are, "" for none. No level is taken below what was asked for: a host that gives
// none is an error that says what is missing.
func newDriver(ctx context.Context, cfg config.Config, record string) (sandbox.Driver, error) {
	if cfg.Sandbox == config.SandboxNone {
		return none.New(), nil
	}
	if cfg.Sandbox == config.SandboxOCI {
		token := hostToken(cfg.DataDir)
		// The root of a sandbox must be able to walk there, which it could not below the data directory.
		return oci.New(ctx, oci.Config{Runtime: cfg.OCIRuntime, Dir: "/run/hanshu-" + token, Private: cfg.DataDir, Token: token})
	}
	d, err := native.New(ctx, native.Config{Init: initbin.Binary(), Token: hostToken(cfg.DataDir), Private: cfg.DataDir, Record: record})
	if err != nil {
		return nil, fmt.Errorf("%w\n`hanshu doctor` tells more; --sandbox=none runs functions without any protection", err)
	}
	return d, nil
}

// hostToken names what this data directory's server makes on the host, so that its next start can remove what a kill left.
func hostToken(dataDir string) string {
	if real, err := filepath.EvalSymlinks(dataDir); err == nil {
		dataDir = real
	}
	if abs, err := filepath.Abs(dataDir); err == nil {
		dataDir = abs
	}
	sum := sha256.Sum256([]byte(dataDir))
	return hex.EncodeToString(sum[:6])
}
