package audit_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/audit"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/store"
)

func open(t *testing.T, file string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + file})
	require.NoError(t, err)
	return db
}

func newLog(s audit.Store, now func() time.Time, counters *metrics.Set) *audit.Log {
	return audit.New(audit.Config{Store: s, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: counters, Now: now})
}

// TestEntriesAreKept: what Add has returned from is there when the database is opened again, in the order of adding, until it is old.
func TestEntriesAreKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "test.db")
	db := open(t, file)
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	l := newLog(db, clock, metrics.NewSet())
	for _, operation := range []string{"A", "B", "C"} {
		changed := l.Changed()
		l.Add(t.Context(), faas.AuditEntry{At: now, DomainID: "d", ActorID: "u", Operation: operation})
		<-changed
	}
	require.NoError(t, db.Close())
	db = open(t, file)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	l = newLog(db, clock, metrics.NewSet())
	names := func() (out string) {
		found, err := l.List(t.Context(), faas.AuditFilter{DomainID: "d", Limit: 10})
		require.NoError(t, err)
		for _, e := range found {
			out += e.Operation
		}
		return out
	}
	require.Equal(t, "CBA", names())
	require.NoError(t, l.Start(t.Context()))
	require.NoError(t, l.Stop(t.Context()))
	require.Equal(t, "CBA", names())
	now = now.Add(audit.Keep + time.Second)
	l.Add(t.Context(), faas.AuditEntry{At: now, DomainID: "d", ActorID: "u", Operation: "D"})
	n, err := db.ForgetAudit(t.Context(), now.Add(-audit.Keep), audit.MaxEntries)
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.Equal(t, "D", names())
}

// TestStrangersAreBounded: who proves no identity cannot fill the log, and what was left out is counted.
func TestStrangersAreBounded(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "test.db"))
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	l := newLog(db, func() time.Time { return now }, metrics.NewSet())
	for range audit.MaxStranger + 7 {
		l.Add(t.Context(), faas.AuditEntry{At: now, Status: 401})
	}
	l.Add(t.Context(), faas.AuditEntry{At: now, ActorID: "u", DomainID: "d"}) // those who are known are always written
	now = now.Add(time.Minute)
	l.Add(t.Context(), faas.AuditEntry{At: now, Status: 401})
	found, err := l.List(t.Context(), faas.AuditFilter{DomainID: "d", Limit: 100})
	require.NoError(t, err)
	require.Len(t, found, audit.MaxStranger+2)
	require.EqualValues(t, 7, found[0].Skipped)
}

// full is a store whose disk is full.
type full struct{ audit.Store }

func (full) AddAudit(context.Context, faas.AuditEntry) error { return errors.New("the disk is full") }

// TestLostEntriesAreCounted: a change that was made is answered all the same, as otherwise nothing could be deleted.
func TestLostEntriesAreCounted(t *testing.T) {
	t.Parallel()
	counters := metrics.NewSet()
	newLog(full{}, nil, counters).Add(t.Context(), faas.AuditEntry{ActorID: "u"})
	require.EqualValues(t, 1, counters.Counter("hanshu_audit_lost_total").Value())
}
