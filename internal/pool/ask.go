package pool

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Peer answers a question that a function asks while a call of it runs. ctx ends with that call.
type Peer interface {
	Tell(ctx context.Context, asker *faas.Function, call faas.Invocation, q lang.Question) lang.Answer
}

// maxQuestions is how many questions of one call are answered at a time.
const maxQuestions = 50

// extraOf is what a call carries beside its event.
func (in *instance) extraOf(f *faas.Function, c faas.Invocation) lang.CallExtra {
	extra := lang.CallExtra{Alias: c.Alias, Credentials: in.renewedCredentials(f)}
	if c.Flow != nil {
		extra.WorkflowID, extra.WorkflowRunID, extra.WorkflowStateID, extra.WorkflowAttempt = c.Flow.Workflow, c.Flow.Run, c.Flow.State, c.Flow.Attempt
	}
	if f.Spec.Contract != faas.ContractContext {
		extra.Source, extra.LimitMS, extra.Origin = c.Source, c.RunLimit(&f.Spec).Milliseconds(), c.Origin
	}
	return extra
}

// await reads until the answer of a call. What the worker asks meanwhile is answered beside it; once the call is answered,
// nobody waits for the rest.
func (in *instance) await(f *faas.Function, c faas.Invocation, deadline time.Time) (lang.Frame, error) {
	frame, err := lang.ReadFrame(in.reader, nil, maxFrame)
	if err != nil || frame.Type != lang.FrameAsk {
		return frame, err
	}
	ctx, cancel := context.WithDeadline(in.pool.ctx, deadline)
	defer cancel()
	in.setAsking(in.seq)
	defer in.setAsking(0)
	var open atomic.Int32
	for ; err == nil && frame.Type == lang.FrameAsk; frame, err = lang.ReadFrame(in.reader, nil, maxFrame) {
		if !in.mayAsk(f) || frame.Seq != in.seq || len(frame.Meta) != 4 {
			return frame, nil // out of turn, as the caller will say
		}
		if open.Add(1) > maxQuestions {
			open.Add(-1)
			in.tell(frame, lang.Answer{Status: 429, Reason: "too many requests at a time"})
			continue
		}
		asked := frame
		in.pool.work.Go(func() {
			defer open.Add(-1)
			in.tell(asked, in.question(ctx, f, c, asked.Body))
		})
	}
	return frame, err
}

// mayAsk tells whether somebody answers the questions of a function: those of gateways are for gateways.
func (in *instance) mayAsk(f *faas.Function) bool {
	cfg := &in.pool.cfg
	return cfg.Peer != nil && (f.Spec.Contract == faas.ContractCallback || f.Spec.Contract == faas.ContractEdge && cfg.Place != nil)
}

func (in *instance) question(ctx context.Context, f *faas.Function, c faas.Invocation, body []byte) lang.Answer {
	var q lang.Question
	if err := json.Unmarshal(body, &q); err != nil {
		return lang.Answer{Status: 400, Reason: "the question cannot be read"}
	}
	return in.pool.cfg.Peer.Tell(ctx, f, c, q)
}

func (in *instance) setAsking(seq uint32) {
	in.telling.Lock()
	defer in.telling.Unlock()
	in.asking = seq
}

// tell answers a question, unless its call has been answered meanwhile: then another one may run.
func (in *instance) tell(asked lang.Frame, a lang.Answer) {
	body, err := json.Marshal(a)
	if err != nil {
		body = []byte(`{"status":500,"reason":"the answer cannot be written"}`)
	}
	frame := lang.AppendFrame(nil, lang.Frame{Type: lang.FrameTold, Seq: asked.Seq, Meta: asked.Meta, Body: body})
	in.telling.Lock()
	defer in.telling.Unlock()
	if in.asking == asked.Seq {
		_ = in.write(frame) // a worker that does not read is ended by its deadline
	}
}
