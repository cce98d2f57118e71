package functiongraph

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// TestFlowErrors gives every failure a code of workflows, and keeps what is ours inside.
func TestFlowErrors(t *testing.T) {
	t.Parallel()
	for _, code := range faas.Codes {
		reply := flowReply(faas.Errorf(code, "x", "why"))
		require.Regexp(t, `^FGS\.\d{4}$`, reply.code, code)
		require.GreaterOrEqual(t, reply.status, 400, code)
		require.Equal(t, code == faas.CodeInternal, reply.text != "why", code)
	}
	require.Equal(t, "Internal server error.", flowReply(errors.New("a secret of ours")).text)
	for path, flows := range map[string]bool{
		"/v2/p/fgs/workflows": true, "/v2/p/fgs/workflows/x/executions": true, "/v2/p/fgs/workflow-statistic": true, "/v2/p/fgs/functions/workflows": false,
	} {
		require.Equal(t, flows, ofFlows(path), path)
	}
}

// TestTallyFlows counts back from what runs now.
func TestTallyFlows(t *testing.T) {
	t.Parallel()
	sums := []faas.FlowSum{
		{Minute: 10, Started: 5, Ended: 2, Failed: 1, Duration: 3 * time.Second},
		{Minute: 12, Started: 1, Ended: 3, Duration: 3 * time.Second},
	}
	got := tallyFlows(sums, 2, 10, 13, 1)
	require.Equal(t, []slaValue{{600_000, 5}, {660_000, 0}, {720_000, 1}}, got.Count)
	require.Equal(t, []slaValue{{600_000, 1}, {660_000, 0}, {720_000, 0}}, got.Fail)
	require.Equal(t, []slaValue{{600_000, 1500}, {660_000, -1}, {720_000, 1000}}, got.Duration)
	require.Equal(t, []slaValue{{600_000, 4}, {660_000, 4}, {720_000, 2}}, got.Running)
	hour := tallyFlows(sums, 2, 10, 13, 60)
	require.Equal(t, []slaValue{{0, 6}}, hour.Count)
	require.Empty(t, got.only("rejectCount").Count)
	require.Len(t, got.only("running").Running, 3)
	require.Empty(t, got.only("running").Count)
}
