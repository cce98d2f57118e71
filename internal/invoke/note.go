package invoke

import (
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// recorded tells whether a call is kept in the ledger.
func (i *Invoker) recorded(f *faas.Function, call faas.Invocation) bool {
	return i.cfg.Ledger != nil && (f.Spec.Contract == faas.ContractCallback || call.Origin != "")
}

func recordOf(f *faas.Function, call faas.Invocation, begun time.Time) faas.CallRecord {
	key := f.Key()
	key.Version = ""
	return faas.CallRecord{ID: call.ID, Function: key, Source: call.Source, Async: call.Async, CreatedAt: begun, StartedAt: begun}
}

// noteStart records that a call which was accepted before is under way.
func (i *Invoker) noteStart(f *faas.Function, call faas.Invocation, begun time.Time) {
	if call.Async && i.recorded(f, call) {
		r := recordOf(f, call, begun)
		r.State = faas.CallRunning
		i.cfg.Ledger.Add(r)
	}
}

// noteEnd records how a call ended. One that was accepted and did not reach the function has not ended: it is tried again.
func (i *Invoker) noteEnd(f *faas.Function, call faas.Invocation, begun time.Time, res *faas.Result, err error) {
	if !i.recorded(f, call) || err != nil && call.Async {
		return
	}
	r := recordOf(f, call, begun)
	r.EndedAt = time.Now()
	switch {
	case err != nil:
		r.StartedAt, r.Code, r.State = time.Time{}, faas.CodeOf(err), UnreachedState(faas.CodeOf(err))
	case res.Failure != nil:
		r.Code, r.State = res.Failure.Code, FailedState(res.Failure.Code)
	default:
		r.State = faas.CallDone
	}
	if res != nil {
		r.StartedAt, r.MemoryPeak, r.Log = begun.Add(res.Queued), res.MemoryPeak, LogText(res.Logs, faas.MaxCallLog)
	}
	i.cfg.Ledger.Add(r)
}

// FailedState is where a call ends that its function failed, by how.
func FailedState(code faas.Code) faas.CallState {
	if code == faas.CodeTimeout || code == faas.CodeInitTimeout {
		return faas.CallTimedOut
	}
	return faas.CallFailed
}

// UnreachedState is where a call ends that did not reach its function, by why.
func UnreachedState(code faas.Code) faas.CallState {
	switch code {
	case faas.CodeDisabled, faas.CodeNotFound, faas.CodeInvalid, faas.CodeCancelled, faas.CodeUnsupported, faas.CodeForbidden:
		return faas.CallRejected
	}
	return faas.CallUnscheduled
}

// LogText writes log lines as text of at most so many bytes, and of a longer log the end: time, level, text.
func LogText(lines []faas.LogLine, most int) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line.Time.UTC().Format("2006-01-02T15:04:05.000Z"))
		b.WriteByte(' ')
		b.WriteString(line.Level)
		b.WriteByte(' ')
		b.WriteString(line.Text)
		b.WriteByte('\n')
	}
	text := b.String()
	if len(text) <= most {
		return text
	}
	const cut = "... the beginning is left out ...\n"
	text = text[len(text)-most+len(cut):]
	if at := strings.IndexByte(text, '\n'); at >= 0 {
		text = text[at+1:]
	}
	return cut + text
}
