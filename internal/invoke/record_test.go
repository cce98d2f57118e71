package invoke_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

func TestRecordOfAFailure(t *testing.T) {
	key := faas.FunctionKey{Project: "p", Package: "default", Name: "f", Version: "v1"}
	call := faas.Invocation{ID: "id", Source: faas.SourceTimer, Event: []byte("{}"), Attempt: 2, Accepted: time.Unix(5, 0), Alias: "prod"}
	begun := time.Unix(9, 0)
	base := faas.Record{
		ID: "id", Key: key, Source: faas.SourceTimer, Alias: "prod", Attempt: 2, Accepted: time.Unix(5, 0), Begun: begun, Took: time.Second,
		Event: []byte("{}"), EventSize: 2,
	}
	expected, hidden, failed := base, base, base
	expected.Code, expected.Message = faas.CodeStart, "no instance"
	hidden.Code, hidden.Message = faas.CodeInternal, "a fault of the platform; its log says more"
	failed.Code, failed.Type, failed.Message, failed.Stack = faas.CodeException, "ValueError", "bad", []string{"line"}
	failed.Run, failed.Cold, failed.MemoryMB, failed.Dropped = time.Millisecond, true, 128, 3
	failed.Logs = []faas.LogLine{{Text: "hello"}}
	for _, c := range []struct {
		want faas.Record
		res  *faas.Result
		err  error
	}{
		{expected, nil, &faas.Error{Code: faas.CodeStart, Message: "no instance", Err: errors.New("secret")}},
		{hidden, nil, errors.New("secret")},
		{failed, &faas.Result{
			Failure: &faas.Failure{Code: faas.CodeException, Type: "ValueError", Message: "bad", Stack: []string{"line"}},
			Logs:    []faas.LogLine{{Text: "hello"}}, Dropped: 3, Run: time.Millisecond, Cold: true, MemoryMB: 128,
		}, nil},
	} {
		require.Equal(t, c.want, invoke.Record(key, &call, begun, time.Second, c.res, c.err))
	}
}
