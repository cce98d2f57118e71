package sandboxtest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// testFreeze stops a tree with a child in a session of its own, asks it something, has it go on, and kills it frozen.
func testFreeze(t *testing.T, d sandbox.Driver) {
	in, err := d.Start(t.Context(), spec("(setsid sh -c 'while read l; do echo $l; done' <&3 >&3 &); echo up >&3; sleep 1000"))
	require.NoError(t, err)
	defer in.Control().Close()
	defer in.Output().Close()
	defer in.Kill()
	answers := bufio.NewReader(in.Control())
	line, err := answers.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "up\n", line)
	if !d.Capabilities().Freeze {
		require.ErrorIs(t, in.Freeze(), errors.ErrUnsupported)
		require.ErrorIs(t, in.Thaw(), errors.ErrUnsupported)
		return
	}
	ask := func(text string) error {
		require.NoError(t, in.Control().SetDeadline(time.Now().Add(10*time.Second)))
		_, err := io.WriteString(in.Control(), text)
		require.NoError(t, err)
		line, err = answers.ReadString('\n')
		return err
	}
	require.NoError(t, ask("one\n"))
	require.Equal(t, "one\n", line)
	require.NoError(t, in.Thaw(), "of what is not frozen")
	for range 3 {
		require.NoError(t, in.Freeze())
		require.NoError(t, in.Freeze(), "twice")
		_, err = io.WriteString(in.Control(), "two\n")
		require.NoError(t, err)
		require.NoError(t, in.Control().(*net.UnixConn).SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		_, err = answers.ReadString('\n')
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it runs although it is frozen")
		require.NoError(t, in.Control().SetDeadline(time.Now().Add(10*time.Second)))
		require.NoError(t, in.Thaw())
		line, err = answers.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "two\n", line)
	}
	require.NoError(t, in.Freeze())
	in.Kill()
	select {
	case <-in.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("a frozen tree does not die")
	}
	require.Equal(t, "killed", in.Exit().Signal)
	require.Error(t, in.Freeze(), "it is gone")
}
