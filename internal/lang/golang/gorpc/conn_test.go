package gorpc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// worker is a connection with a worker on its other end that is played by the test.
type worker struct {
	*Conn
	in       *bufio.Reader
	channels *sandbox.Channels
	ended    chan struct{}
	listener *net.TCPListener // at which the function is to listen
	seq      uint32
}

// loading gives a connection whose load has been answered by what a worker does before it becomes the function.
func loading(t *testing.T) *worker {
	t.Helper()
	channels, err := sandbox.NewChannels()
	require.NoError(t, err)
	w := &worker{channels: channels, ended: make(chan struct{})}
	w.Conn = New(channels.Control, w.ended).(*Conn)
	w.in = bufio.NewReader(w.Conn)
	t.Cleanup(func() { w.Close(); channels.Close() })
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	w.listener = listener.(*net.TCPListener)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer syscall.Close(fd)
	loaded := lang.Frame{Type: lang.FrameLoaded, Meta: binary.BigEndian.AppendUint16(nil, uint16(listener.Addr().(*net.TCPAddr).Port))}
	inner := int(channels.InnerControl.Fd())
	require.NoError(t, syscall.Sendmsg(inner, lang.AppendFrame(nil, lang.Frame{Type: lang.FrameReady}), nil, nil, 0))
	require.NoError(t, syscall.Sendmsg(inner, lang.AppendFrame(nil, loaded), syscall.UnixRights(fd), nil, 0))

	require.NoError(t, w.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = w.Write(lang.AppendLoad(nil, lang.Load{MaxResult: 1 << 20, Credentials: lang.Credentials{AccessKey: "key-1"}}))
	require.NoError(t, err)
	f, err := lang.ReadFrame(w.in, nil, lang.MaxFrameBytes)
	require.NoError(t, err)
	require.Equal(t, byte(lang.FrameReady), f.Type)
	return w
}

// exec is what the server sees of a worker that becomes the function.
func (w *worker) exec() { w.channels.CloseInner() }

// loaded gives a connection to a function, which serve is.
func loaded(t *testing.T, serve func(net.Conn)) *worker {
	t.Helper()
	w := loading(t)
	w.exec()
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { w.Close() })
	all.Go(func() {
		conn, err := w.listener.Accept()
		if err == nil {
			defer conn.Close()
			serve(conn)
		}
	})
	f, err := w.next()
	require.NoError(t, err)
	require.Equal(t, lang.Frame{Type: lang.FrameLoaded, Meta: []byte{}, Body: []byte{}}, f)
	return w
}

func (w *worker) next() (lang.Frame, error) { return lang.ReadFrame(w.in, nil, lang.MaxFrameBytes) }

// send makes calls in one piece.
func (w *worker) send(t *testing.T, events ...string) {
	t.Helper()
	var p []byte
	for _, event := range events {
		w.seq++
		p = lang.AppendCall(p, w.seq, time.Now().Add(time.Minute), "id-"+event[:min(9, len(event))], lang.CallExtra{}, []byte(event))
	}
	n, err := w.Write(p)
	require.NoError(t, err)
	require.Equal(t, len(p), n)
}

// Function is served by net/rpc itself.
type Function struct{ wait chan struct{} }

// What it is sent and answers; net/rpc wants them exported.
type (
	Request struct {
		Payload []byte
		Header  http.Header
	}
	Response struct {
		Status     string // that we do not know
		StatusCode int
		Payload    []byte
	}
)

// Invoke is the function.
func (f *Function) Invoke(in *Request, out *Response) error {
	switch text := string(in.Payload); text {
	case `"fail"`:
		return errors.New(`{"errorMessage":"out of cheese","errorType":"T","stackTrace":["a"]}`)
	case `"status"`:
		out.StatusCode = 500
		return nil
	case `"big"`:
		out.Payload = bytes.Repeat([]byte("x"), 3<<20)
	case `"wait"`:
		<-f.wait
		out.Payload = in.Payload
	case `"header"`:
		out.Payload, _ = json.Marshal(in.Header)
	default:
		out.Payload = in.Payload
	}
	out.Status, out.StatusCode = "fine", 200
	return nil
}

// real serves by net/rpc.
func real(t *testing.T, f *Function) func(net.Conn) {
	server := rpc.NewServer()
	require.NoError(t, server.RegisterName("Function", f))
	return func(conn net.Conn) {
		in := bufio.NewReader(conn)
		if _, err := http.ReadRequest(in); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.0 200 Connected to Go RPC\n\n")
			server.ServeConn(conn)
		}
	}
}

// Calls go to net/rpc itself and back, several at a time and in any order.
func TestNetRPC(t *testing.T) {
	f := &Function{wait: make(chan struct{})}
	w := loaded(t, real(t, f))
	want := func(seq uint32, kind byte, says string) {
		t.Helper()
		frame, err := w.next()
		require.NoError(t, err)
		require.Equal(t, seq, frame.Seq)
		if kind != 0 {
			got, failure, err := frame.Failure()
			require.NoError(t, err)
			require.Equal(t, string(kind), string(got))
			require.Contains(t, failure.Message, says)
			return
		}
		peak, err := frame.PeakKiB()
		require.NoError(t, err, "%s", frame.Body)
		require.Zero(t, peak)
		require.JSONEq(t, says, string(frame.Body))
	}
	w.send(t, `1`)
	want(1, 0, `1`)
	w.send(t, `"wait"`, `"header"`)
	want(3, 0, `{"X-Cff-Access-Key":["key-1"],"X-Cff-Invoke-Type":["sync"],"X-Cff-Request-Id":["id-\"header\""],"X-Cff-Security-Access-Key":["key-1"]}`)
	f.wait <- struct{}{}
	want(2, 0, `"wait"`)
	w.send(t, `"fail"`)
	want(4, lang.FailException, "out of cheese")
	w.send(t, `"status"`)
	want(5, lang.FailException, "status 500")
	w.send(t, `"big"`)
	want(6, lang.FailTooLarge, "3145728 bytes, over its limit of 1048576")
	large := `"` + strings.Repeat("y", 900_000) + `"`
	w.send(t, large)
	want(7, 0, large)
	w.send(t, ` text `)
	want(8, 0, `" text "`)

	require.NoError(t, w.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, err := w.next()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = w.Write(lang.AppendFrame(nil, lang.Frame{Type: lang.FrameStop, Seq: 9}))
	require.Error(t, err)
	require.NoError(t, w.Close())
	_, err = w.next()
	require.ErrorIs(t, err, net.ErrClosed)
}

// answering greets, and says something when a call has come.
func answering(says func(conn net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		in := bufio.NewReader(conn)
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.0 200 Connected to Go RPC\n\n")
		if _, err := in.ReadByte(); err != nil {
			return
		}
		says(conn)
	}
}

// A function that does not keep to the protocol ends its connection, with the reason, and costs the server no more than an answer may.
func TestHostile(t *testing.T) {
	plain := wire(t, gobResponse{Seq: 1}, gobAnswer{200, []byte("1")})
	for name, c := range map[string]struct {
		says func(conn net.Conn)
		err  string // "" for an end
	}{
		"garbage":          {func(conn net.Conn) { _, _ = conn.Write([]byte("garbage, and more of it")) }, "net/rpc at RUNTIME_API_ADDR: "},
		"a huge length":    {func(conn net.Conn) { _, _ = conn.Write([]byte{0xf8, 127, 255, 255, 255, 255, 255, 255, 255}) }, "message of"},
		"another's answer": {func(conn net.Conn) { _, _ = conn.Write(wire(t, gobResponse{Seq: 2}, gobAnswer{StatusCode: 200})) }, "call 2, which is not under way"},
		"a number beyond": {func(conn net.Conn) {
			_, _ = conn.Write(wire(t, gobResponse{Seq: 1<<32 + 1}, gobAnswer{StatusCode: 200}))
		}, "call 4294967297"},
		"an end":         {func(net.Conn) {}, ""},
		"half an answer": {func(conn net.Conn) { _, _ = conn.Write(plain[:len(plain)-3]) }, ""},
		"types without end": {func(conn net.Conn) {
			for id := int64(firstType); ; id++ {
				if _, err := conn.Write(structType(id)); err != nil {
					return
				}
			}
		}, "more than 64 types"},
		"bytes without end": {func(conn net.Conn) {
			_, _ = conn.Write(wire(t, gobResponse{Seq: 1}))
			_, _ = conn.Write(structType(80, field{"Payload", typeBytes}))
			value := append(append(appendInt(nil, 80), 1), appendUint(nil, 60<<20)...)
			_, _ = conn.Write(append(appendUint(nil, uint64(len(value)+60<<20)), value...)) // without the zero byte at its end
			_, _ = conn.Write(make([]byte, 60<<20))
		}, "longer than its message"},
	} {
		t.Run(name, func(t *testing.T) {
			w := loaded(t, answering(c.says))
			w.send(t, `1`)
			before := allocated()
			_, err := w.next()
			if c.err == "" {
				var how *lang.Hangup
				require.ErrorAs(t, err, &how)
				require.ErrorIs(t, err, io.EOF)
				require.Contains(t, how.Closed, "closed its connection at RUNTIME_API_ADDR")
			} else {
				require.ErrorContains(t, err, c.err)
				require.NotErrorIs(t, err, io.EOF)
			}
			if name != "bytes without end" { // whose sender is in this process too
				require.Less(t, allocated()-before, uint64(1<<20))
			}
			require.NoError(t, w.Close())
		})
	}
}

// What has come before the end of the process is read, and then its end, though somebody holds the connection open.
func TestHeldOpen(t *testing.T) {
	let := make(chan struct{})
	w := loaded(t, answering(func(conn net.Conn) {
		_, _ = conn.Write(wire(t, gobResponse{Seq: 1}, gobAnswer{200, []byte("1")}))
		<-let
	}))
	defer close(let)
	w.send(t, `1`)
	f, err := w.next()
	require.NoError(t, err)
	require.Equal(t, "1", string(f.Body))
	w.send(t, `2`)
	close(w.ended)
	require.NoError(t, w.CloseRead())
	_, err = w.next()
	require.ErrorIs(t, err, io.EOF)
}

// The answer to the load tells why a function takes no calls.
func TestConnect(t *testing.T) {
	t.Run("the worker cannot become the function", func(t *testing.T) {
		w := loading(t)
		w.listener.Close()
		_, err := w.channels.InnerControl.Write(lang.AppendFrame(nil, lang.FailedFrame(0, lang.FailLoad, lang.Failure{Message: "no such file"})))
		require.NoError(t, err)
		f, err := w.next()
		require.NoError(t, err)
		_, failure, err := f.Failure()
		require.NoError(t, err)
		require.Equal(t, "no such file", failure.Message)
	})
	t.Run("it ends before it listens", func(t *testing.T) {
		w := loading(t)
		w.listener.Close()
		w.exec()
		time.AfterFunc(20*time.Millisecond, func() { close(w.ended) })
		_, err := w.next()
		var how *lang.Hangup
		require.ErrorAs(t, err, &how)
		require.Contains(t, how.Before, " before it listened at RUNTIME_API_ADDR (127.0.0.1:")
	})
	for name, exec := range map[string]bool{"it never listens": true, "and the worker's socket stays open": false} {
		t.Run(name, func(t *testing.T) {
			w := loading(t)
			w.listener.Close()
			if exec {
				w.exec()
			}
			require.NoError(t, w.SetDeadline(time.Now().Add(30*time.Millisecond)))
			_, err := w.next()
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		})
	}
	t.Run("it listens late", func(t *testing.T) {
		w := loading(t)
		address := w.listener.Addr().String()
		w.listener.Close()
		w.exec()
		time.AfterFunc(50*time.Millisecond, func() {
			if l, err := net.Listen("tcp4", address); err == nil {
				defer l.Close()
				if conn, err := l.Accept(); err == nil {
					answering(func(net.Conn) {})(conn)
					conn.Close()
				}
			}
		})
		f, err := w.next()
		require.NoError(t, err)
		require.Equal(t, byte(lang.FrameLoaded), f.Type)
	})
	t.Run("we close", func(t *testing.T) {
		w := loading(t)
		w.listener.Close()
		time.AfterFunc(10*time.Millisecond, func() { w.Close() })
		_, err := w.next()
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	})
	for says, want := range map[string]string{
		"HTTP/1.1 404 Not Found\r\n\r\n": `it answered "HTTP/1.1 404`, strings.Repeat("x", 10_000): "it answered", "short": `it answered "short"`,
		"HTTP/1.0 200 Connected\n" + strings.Repeat("a: b\n", 20): "has no end", "HTTP/1.0 200 Connected\n" + strings.Repeat("x", 10_000): "has no end",
	} {
		t.Run(fmt.Sprintf("it says %.30q", says), func(t *testing.T) {
			w := loading(t)
			w.exec()
			go func() {
				if conn, err := w.listener.Accept(); err == nil {
					_, _ = io.WriteString(conn, says)
					_ = conn.(*net.TCPConn).CloseWrite()
					_, _ = io.Copy(io.Discard, conn)
					conn.Close()
				}
			}()
			f, err := w.next()
			require.NoError(t, err)
			kind, failure, err := f.Failure()
			require.NoError(t, err)
			require.Equal(t, byte(lang.FailLoad), kind)
			require.Equal(t, "ProtocolError", failure.Type)
			require.Contains(t, failure.Message, want)
		})
	}
}

// Nothing stays open of a connection, however it ended.
func TestNothingStaysOpen(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	before := count()
	for _, exec := range []bool{true, false} {
		w := loading(t)
		w.listener.Close()
		if exec {
			w.exec()
		}
		require.NoError(t, w.SetDeadline(time.Now().Add(5*time.Millisecond)))
		_, err := w.next()
		require.Error(t, err)
		require.NoError(t, w.Close())
		w.channels.Close()
		w.channels.CloseInner()
	}
	require.LessOrEqual(t, count(), before)
}
