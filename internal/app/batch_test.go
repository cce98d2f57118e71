package app

import (
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/queue"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// Of a batch each event is taken over or refused for itself, and a batch that comes again changes nothing.
func TestEnqueueEach(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "a.db")})
	require.NoError(t, err)
	defer db.Close()
	jobs := queue.New(queue.Config{Store: db, Invoker: idle{}, Policies: idle{}, Deliverer: idle{}, Log: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet()})
	sink := &flowSink{jobs: jobs, flows: db}
	var batch []faas.Job
	for i := range 100 {
		batch = append(batch, faas.Job{ID: uuid.NewString(), Dedup: strconv.Itoa(i), Key: faas.FunctionKey{Project: "p", Package: "default", Name: "f"}})
	}
	for range 2 {
		require.Equal(t, make([]error, 100), sink.EnqueueEach(t.Context(), batch))
	}
	bad := append(batch, faas.Job{ID: uuid.NewString(), Key: faas.FunctionKey{Project: "p", Package: "default", Name: "f\x00"}},
		faas.Job{ID: uuid.NewString(), Key: faas.FunctionKey{Project: "p", Package: faas.FlowPackage, Name: "nobody"}},
		faas.Job{ID: uuid.NewString(), Key: faas.FunctionKey{Project: "p", Package: "default", Name: "g"}})
	errs := sink.EnqueueEach(t.Context(), bad)
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(errs[100]))
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(errs[101]))
	errs[100], errs[101] = nil, nil
	require.Equal(t, make([]error, 103), errs)
	books, err := db.JobBooks(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 101, books.Accepted)
	require.Empty(t, sink.EnqueueEach(t.Context(), nil))
}
