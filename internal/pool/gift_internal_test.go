package pool

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// What comes over a control socket is one connection or nothing, and nothing of it stays open.
func TestGifts(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	dial := func() *os.File {
		conn, err := net.Dial("tcp4", listener.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		f, err := conn.(*net.TCPConn).File()
		require.NoError(t, err)
		return f
	}
	listening := func() *os.File {
		f, err := listener.(*net.TCPListener).File()
		require.NoError(t, err)
		return f
	}
	ordinary := func() *os.File {
		f, err := os.Create(t.TempDir() + "/file")
		require.NoError(t, err)
		return f
	}
	unixSocket := func() *os.File {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		require.NoError(t, err)
		syscall.Close(pair[1])
		return os.NewFile(uintptr(pair[0]), "pair")
	}
	for name, c := range map[string]struct {
		gifts []func() *os.File
		reads bool // the bytes beside them are read
		taken bool
	}{
		"a connection":          {[]func() *os.File{dial}, true, true},
		"none":                  {nil, true, false},
		"two":                   {[]func() *os.File{dial, dial}, false, false},
		"many":                  {[]func() *os.File{dial, dial, dial, dial, dial, dial}, false, false},
		"a file":                {[]func() *os.File{ordinary}, true, false},
		"a socket that listens": {[]func() *os.File{listening}, true, false},
		"a Unix socket":         {[]func() *os.File{unixSocket}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			channels, err := sandbox.NewChannels()
			require.NoError(t, err)
			defer channels.Close()
			reader := &lang.Gifts{Socket: channels.Control.(*net.UnixConn), Most: 1}
			defer reader.Discard()
			var fds []int
			for _, make := range c.gifts {
				f := make()
				defer f.Close()
				fds = append(fds, int(f.Fd()))
			}
			require.NoError(t, syscall.Sendmsg(int(channels.InnerControl.Fd()), []byte("x"), syscall.UnixRights(fds...), nil, 0))
			require.NoError(t, channels.Control.SetDeadline(time.Now().Add(10*time.Second)))
			before := openFiles(t)
			n, err := reader.Read(make([]byte, 10))
			if !c.reads {
				require.ErrorIs(t, err, lang.ErrGift)
				require.Equal(t, before, openFiles(t), "a descriptor was left open")
				return
			}
			require.NoError(t, err)
			require.Equal(t, 1, n)
			conn, err := connectionOf(reader)
			require.Equal(t, c.taken, err == nil, "%v", err)
			if err == nil {
				require.NoError(t, conn.Close())
			}
			require.Equal(t, before, openFiles(t), "a descriptor was left open")

			if len(fds) == 1 { // one that was not taken is one too many with the next
				for range 2 {
					require.NoError(t, syscall.Sendmsg(int(channels.InnerControl.Fd()), []byte("x"), syscall.UnixRights(fds...), nil, 0))
				}
				_, err = reader.Read(make([]byte, 1))
				require.NoError(t, err)
				_, err = reader.Read(make([]byte, 1))
				require.ErrorIs(t, err, lang.ErrGift)
			}
			channels.InnerControl.Close()
			_, err = reader.Read(make([]byte, 1))
			require.True(t, errors.Is(err, io.EOF), "%v", err)
		})
	}
}

// openFiles counts this process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
