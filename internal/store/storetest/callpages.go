package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// testCallPages holds pages and counts against a plain list, over several hours, kinds, changes of state and retention.
func testCallPages(t *testing.T, url string) {
	db := Open(t, url)
	key := faas.FunctionKey{Project: "p", Package: "default", Name: "f"}
	begin := time.UnixMicro(1_780_000_200_000_000).UTC()
	var all []faas.CallRecord
	for i := range 240 {
		all = append(all, faas.CallRecord{
			ID: fmt.Sprintf("id%03d", i), Number: int64(i + 1), Function: key, Source: []string{"sdk", "timer"}[i%2], Async: i%3 == 0,
			State: faas.CallStates[i%len(faas.CallStates)], CreatedAt: begin.Add(time.Duration(i) * time.Minute),
		})
	}
	require.NoError(t, db.SaveCalls(t.Context(), all))
	for i := range all {
		if all[i].State == faas.CallWaiting {
			all[i].State = faas.CallRunning
			require.NoError(t, db.SaveCalls(t.Context(), all[i:i+1]))
		}
	}
	_, err := db.ForgetCalls(t.Context(), all[20].CreatedAt, 1000)
	require.NoError(t, err)
	all = all[20:]

	async := true
	for name, f := range map[string]faas.CallFilter{
		"all":    {},
		"kind":   {Async: &async},
		"source": {Sources: []string{"timer"}},
		"state":  {States: []faas.CallState{faas.CallWaiting, faas.CallRunning}},
		"from":   {From: all[50].CreatedAt},
		"to":     {To: all[150].CreatedAt},
		"within": {From: all[70].CreatedAt, To: all[72].CreatedAt},
		"hours":  {From: begin.Truncate(time.Hour).Add(time.Hour), To: begin.Truncate(time.Hour).Add(3*time.Hour - time.Microsecond)},
		"gone":   {To: begin},
	} {
		var want []faas.CallRecord
		for _, r := range slices.Backward(all) {
			if (f.Async == nil || r.Async) && (f.Sources == nil || r.Source == "timer") && (f.States == nil || slices.Contains(f.States, r.State)) &&
				!r.CreatedAt.Before(f.From) && (f.To.IsZero() || !r.CreatedAt.After(f.To)) {
				want = append(want, r)
			}
		}
		f.Function, f.Limit = key, 7
		var got []faas.CallRecord
		for {
			page, total, err := db.Calls(t.Context(), f)
			require.NoError(t, err, name)
			require.EqualValues(t, len(want), total, name)
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			f.Offset += int64(len(page))
		}
		require.Equal(t, want, got, name)
	}
}
