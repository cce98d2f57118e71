//go:build linux

package pool_test

import (
	"encoding/base64"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// A Go function that says on its connection what is no answer is ended with the reason, and the next call is served.
func TestHostileRPC(t *testing.T) {
	h := newHouse(t, nil)
	say := func(text string) string {
		return fmt.Sprintf(`{"Do":"wire","N":5000,"Text":%q}`, base64.StdEncoding.EncodeToString([]byte(text)))
	}
	for _, together := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d at a time", together), func(t *testing.T) {
			t.Parallel()
			f := h.executable(t, "Go1.x")
			f.Spec.RequestsPer, f.Spec.Timeout = together, 30*time.Second
			for name, c := range map[string]struct{ event, kind, says string }{
				"garbage":               {say("garbage, and more of it"), "ProtocolError", "net/rpc at RUNTIME_API_ADDR: "},
				"a huge length":         {say("\xf8\x7f\xff\xff\xff\xff\xff\xff\xff"), "ProtocolError", "a message of 9223372036854775807 bytes"},
				"a connection closed":   {`{"Do":"hangup"}`, "RuntimeExit", "closed its connection at RUNTIME_API_ADDR"},
				"a child that holds it": {`{"Do":"hold","N":3}`, "RuntimeExit", "exited with code 3"},
				"an answer of nobody's": {say(strange()), "ProtocolError", "call 99, which is not under way"},
				"an end in mid-call":    {`{"Do":"exit","N":4}`, "RuntimeExit", "exited with code 4"},
			} {
				began := time.Now()
				res := h.call(t, f, c.event)
				require.NotNil(t, res.Failure, name)
				require.Equal(t, faas.CodeExit, res.Failure.Code, "%s: %+v", name, res.Failure)
				require.Equal(t, c.kind, res.Failure.Type, "%s: %+v", name, res.Failure)
				require.Contains(t, res.Failure.Message, c.says, name)
				require.Less(t, time.Since(began), 5*time.Second, name)
				res = h.call(t, f, `1`)
				require.Nil(t, res.Failure, "behind %s: %+v", name, res.Failure)
				if h.driver.Capabilities().Isolated {
					require.Positive(t, res.MemoryPeak)
				}
			}
		})
	}
}

// strange is an answer to call 99 as encoding/gob writes it: the type of its head, and a head. The head's type is as net/rpc defines it, so
// that behind answers that were given it is one type too many only by its number.
func strange() string {
	const id = 80 // 64 and some are the connection's own
	named := func(name string, of int) string {
		return "\x01" + string(rune(len(name))) + name + "\x01" + number(2*of) + "\x00"
	}
	define := number(2*(id-1)+1) + "\x03\x01" + named("r", id) + "\x01\x01" + named("Seq", 3) + "\x00\x00"
	head := number(2*id) + "\x01" + number(99) + "\x00"
	return string(rune(len(define))) + define + string(rune(len(head))) + head + string(rune(len(head))) + head
}

// number writes a number as gob does.
func number(n int) string {
	if n < 0x80 {
		return string(rune(n))
	}
	if n > math.MaxUint8 {
		panic("not needed")
	}
	return "\xff" + string([]byte{byte(n)})
}
