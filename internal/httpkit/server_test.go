package httpkit

import (
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestGuardedWrites holds each write to its time, however long the connection was quiet before and whoever set a deadline.
func TestGuardedWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		const stall = time.Minute
		c := &guardedConn{Conn: far, stall: stall, made: time.Now()}
		read := func() {
			go func() { _, _ = io.ReadFull(near, make([]byte, 2)) }()
			_, err := c.Write([]byte("hi"))
			require.NoError(t, err)
		}
		cut := func() {
			begun := time.Now()
			_, err := c.Write([]byte("hi"))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.LessOrEqual(t, time.Since(begun), stall)
			require.GreaterOrEqual(t, time.Since(begun), stall*7/8)
		}
		read()
		time.Sleep(time.Hour) // the deadline of the first write has long passed
		read()
		time.Sleep(stall / 10)
		cut()
		read()
		require.NoError(t, c.SetDeadline(time.Time{}))
		cut()
		read()
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Hour)))
		cut()
	})
}
