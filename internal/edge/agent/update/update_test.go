package update_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/update"
)

// write writes a program that says of itself that it is a version, and gives its digest.
func write(t *testing.T, path, version string) string {
	text := fmt.Sprintf("#!/bin/sh\necho %s\n", version)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o700))
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func open(t *testing.T, dir, self string) *update.Releases {
	r, err := update.Open(dir, self)
	require.NoError(t, err)
	return r
}

func choose(t *testing.T, r *update.Releases) string {
	path, err := r.Choose()
	require.NoError(t, err)
	return filepath.Base(path)
}

// A version on trial that shows itself stays; one that does not gives way after two starts; one that was touched never runs.
func TestTrial(t *testing.T) {
	dir, self, next := t.TempDir(), filepath.Join(t.TempDir(), "self"), filepath.Join(t.TempDir(), "next")
	write(t, self, "v1")
	r := open(t, dir, self)
	require.Equal(t, ".", choose(t, r), "the one that was installed by hand")

	two := write(t, next, "v2")
	require.ErrorContains(t, r.Install(t.Context(), two, "v3", next), `says that it is "v2"`)
	require.Error(t, r.Install(t.Context(), two[1:]+"0", "v2", next))
	require.NoError(t, r.Install(t.Context(), two, "v2", next))
	require.NoError(t, r.Try(two, "v2"))
	require.False(t, r.OnTrial())
	r = open(t, dir, self)
	require.Equal(t, two, choose(t, r))
	require.True(t, r.OnTrial())
	require.NoError(t, open(t, dir, filepath.Join(dir, two)).Passed())
	r = open(t, dir, self)
	require.Equal(t, two, choose(t, r))
	require.False(t, r.OnTrial())

	three := write(t, next, "v3")
	require.NoError(t, r.Install(t.Context(), three, "v3", next))
	require.NoError(t, r.Try(three, "v3"))
	require.Equal(t, three, choose(t, r))
	require.Equal(t, three, choose(t, open(t, dir, self)))
	r = open(t, dir, self)
	require.Equal(t, two, choose(t, r), "it did not show itself")
	require.True(t, r.Failed(three))

	require.NoError(t, os.WriteFile(filepath.Join(dir, two), []byte("#!/bin/sh\nevil"), 0o700))
	require.Equal(t, ".", choose(t, r), "it is not what was verified")
	write(t, next, "v4")
	r = open(t, dir, next)
	require.Equal(t, ".", choose(t, r))
	require.False(t, r.Failed(three), "another program was installed by hand, and all is void")
}
