package server

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPick(t *testing.T) {
	list := []byte(`[{"name":"Python2.7","status":"missing"},{"name":"Python3.6","status":"served"},{"name":"Python3.9","status":"served"},
		{"name":"Python3.11","status":"exact"},{"name":"Node.js20.15","status":"missing"}]`)
	require.Equal(t, "Python3.9", pick(list, "Python3", "Python3.9"))
	require.Equal(t, "Python3.11", pick(list, "Python3", "Python3.12"))
	require.Equal(t, "Node.js20.15", pick(list, "Node.js", "Node.js20.15"), "nothing served: the preferred one, so that the test fails by name")
	require.Equal(t, "Python3.9", pick([]byte("no list"), "Python3", "Python3.9"))
}
