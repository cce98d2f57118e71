package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHelpIsNoMistake(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"enroll", "run", "status", "apply", "unit"} {
		var out bytes.Buffer
		require.NoError(t, dispatch(t.Context(), []string{command, "--help"}, &out), command)
		require.Contains(t, out.String(), "-data-dir string\n", command)
		require.NotContains(t, out.String(), "hanshu-edge enroll\n", "a word of the text stands for the value of a flag")

		var bad usageError
		require.ErrorAs(t, dispatch(t.Context(), []string{command, "--colour"}, &out), &bad, command)
		require.ErrorContains(t, bad, "hanshu-edge "+command+" --help")
	}
}
