package sandboxtest

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/ipv4"

	"github.com/hanshu-faas/hanshu/internal/sandbox"
)

// testNetwork sends packets out of a sandbox, and an answer in. Without a device nothing leaves.
func testNetwork(t *testing.T, d sandbox.Driver) {
	s := spec("read go <&3; " + sendAndHear)
	s.Network = true
	if !d.Capabilities().Network {
		s.Network = false
		in, err := d.Start(t.Context(), s)
		require.NoError(t, err)
		_, err = in.Network()
		require.Error(t, err)
		end(in)
		return
	}
	for _, m := range []struct{ asked, had bool }{{true, true}, {false, true}, {false, false}} {
		if m.had && !m.asked && !d.Capabilities().Attach {
			continue
		}
		s.Network = m.asked
		in, err := d.Start(t.Context(), s)
		require.NoError(t, err)
		said := make(chan string, 1)
		go func() { said <- readAll(in) }()
		if m.had {
			device, err := in.Network()
			require.NoError(t, err)
			echoes(t, device)
		}
		_, err = in.Control().Write([]byte("go\n"))
		require.NoError(t, err)
		if m.had {
			require.Equal(t, "echo to 203.0.113.9\n", <-said)
		} else {
			require.Equal(t, "Network is unreachable\n", <-said)
		}
		end(in)
	}
}

func end(in sandbox.Instance) {
	in.Kill()
	<-in.Done()
	in.Control().Close()
	in.Output().Close()
}

func readAll(in sandbox.Instance) string {
	said, _ := io.ReadAll(io.LimitReader(in.Output(), 1<<16))
	return string(said)
}

const sendAndHear = `exec /usr/bin/python3 -I -S -c '
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
try:
    s.connect(("203.0.113.9", 99))
    s.send(b"hello")
    print(s.recv(100).decode(), flush=True)
except OSError as e:
    print(e.strerror, flush=True)
'`

// echoes answers each datagram of a device with where it went.
func echoes(t *testing.T, device *os.File) {
	t.Cleanup(func() { device.Close() })
	require.NoError(t, device.SetDeadline(time.Now().Add(10*time.Second)))
	go func() {
		packet := make([]byte, 64<<10)
		for {
			n, err := device.Read(packet)
			if err != nil {
				return
			}
			head, err := ipv4.ParseHeader(packet[:n])
			if err != nil || head.Protocol != 17 || head.Len+8 > n {
				continue
			}
			_, _ = device.Write(answerTo(head, packet[head.Len:n]))
		}
	}()
}

// answerTo makes a datagram back to whoever sent one; UDP needs no checksum.
func answerTo(head *ipv4.Header, datagram []byte) []byte {
	text := "echo to " + head.Dst.String()
	size := 20 + 8 + len(text)
	p := make([]byte, 28, size)
	p[0], p[2], p[3], p[8], p[9] = 0x45, byte(size>>8), byte(size), 64, 17
	copy(p[12:], head.Dst.To4())
	copy(p[16:], head.Src.To4())
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(p[i])<<8 | uint32(p[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	p[10], p[11] = byte(^sum>>8), byte(^sum)
	copy(p[20:], datagram[2:4])
	copy(p[22:], datagram[0:2])
	p[24], p[25] = byte((8+len(text))>>8), byte(8+len(text))
	return append(p, text...)
}
