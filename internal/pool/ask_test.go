package pool_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/pool"
)

// oracle answers what workers ask, once it is let.
type oracle struct {
	heard chan lang.Question
	let   chan lang.Answer
}

func (o *oracle) Tell(ctx context.Context, _ *faas.Function, _ faas.Invocation, q lang.Question) lang.Answer {
	o.heard <- q
	select {
	case a := <-o.let:
		return a
	case <-ctx.Done():
		return lang.Answer{Status: 504, Reason: "too late"}
	}
}

func question(seq uint32, number byte, name string) lang.Frame {
	body, _ := json.Marshal(lang.Question{Invoke: name, Data: json.RawMessage(`1`), Sync: true}) // texts only
	return lang.Frame{Type: lang.FrameAsk, Seq: seq, Meta: []byte{0, 0, 0, number}, Body: body}
}

func result(seq uint32, body string) lang.Frame {
	return lang.Frame{Type: lang.FrameResult, Seq: seq, Meta: []byte{0, 0, 0, 1}, Body: []byte(body)}
}

func newAsking(t *testing.T, play func(a *actor, call lang.Frame)) (*oracle, *stage, *faas.Function) {
	o := &oracle{heard: make(chan lang.Question, 10), let: make(chan lang.Answer, 10)}
	s := newStage(t, &actors{play: func(a *actor) {
		if !a.loaded() {
			return
		}
		for {
			call, ok := a.receive()
			if !ok {
				return
			}
			play(a, call)
		}
	}}, func(c *pool.Config) { c.Peer = o })
	f := s.function()
	f.Spec.Contract = faas.ContractCallback
	return o, s, f
}

func TestQuestionsAreAnswered(t *testing.T) {
	t.Parallel()
	told := make(chan lang.Frame, 2)
	o, s, f := newAsking(t, func(a *actor, call lang.Frame) {
		a.send(question(call.Seq, 1, "one"))
		a.send(question(call.Seq, 2, "two"))
		for range 2 {
			frame, _ := a.receive()
			told <- frame
		}
		a.send(result(call.Seq, `"done"`))
	})
	o.let <- lang.Answer{Result: json.RawMessage(`{"code":0}`)}
	o.let <- lang.Answer{Status: 404, Reason: "nobody"}
	res, err := s.try(t.Context(), f, "{}", 10*time.Second)
	require.NoError(t, err)
	require.Nil(t, res.Failure)
	require.Equal(t, `"done"`, string(res.Output))
	numbers, bodies := []byte{}, []string{}
	for range 2 {
		frame := <-told
		require.EqualValues(t, lang.FrameTold, frame.Type)
		numbers, bodies = append(numbers, frame.Meta[3]), append(bodies, string(frame.Body))
	}
	require.ElementsMatch(t, []byte{1, 2}, numbers)
	require.ElementsMatch(t, []string{`{"result":{"code":0}}`, `{"status":404,"reason":"nobody"}`}, bodies)
}

// TestLateAnswersAreDropped: a call is answered before its question, and the next call of the instance hears nothing of that.
func TestLateAnswersAreDropped(t *testing.T) {
	t.Parallel()
	calls := 0
	o, s, f := newAsking(t, func(a *actor, call lang.Frame) {
		if calls++; calls == 1 {
			a.send(question(call.Seq, 1, "one"))
			a.send(result(call.Seq, `1`))
			return
		}
		require.EqualValues(t, lang.FrameCall, call.Type, "no answer of an earlier call")
		a.send(result(call.Seq, `2`))
	})
	for _, want := range []string{"1", "2"} {
		res, err := s.try(t.Context(), f, "{}", 10*time.Second)
		require.NoError(t, err)
		require.Nil(t, res.Failure)
		require.Equal(t, want, string(res.Output))
	}
	require.Equal(t, "one", (<-o.heard).Invoke)
}

// TestOnlyTheContractAsks ends a worker of another contract that asks, and one that asks for a call which is not its own.
func TestOnlyTheContractAsks(t *testing.T) {
	t.Parallel()
	for _, foreign := range []bool{true, false} {
		_, s, f := newAsking(t, func(a *actor, call lang.Frame) {
			seq := call.Seq
			if !foreign {
				seq += 7
			}
			a.send(question(seq, 1, "one"))
		})
		if foreign {
			f.Spec.Contract = faas.ContractContext
		}
		res, err := s.try(t.Context(), f, "{}", 10*time.Second)
		require.NoError(t, err)
		require.Equal(t, faas.CodeExit, res.Failure.Code)
	}
}
