// Package audit keeps the log of who did what: it writes entries before their requests are answered, bounds what strangers can
// make it write, and forgets what is old.
//
// It must not know HTTP, SQL, nor who may do what.
package audit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// Store keeps entries. Each method is one whole transaction, and what it acknowledges is on disk.
type Store interface {
	AddAudit(ctx context.Context, e faas.AuditEntry) error
	Audit(ctx context.Context, f faas.AuditFilter) ([]faas.AuditEntry, error)
	// ForgetAudit forgets the entries before a time, and the oldest beyond a number. It tells how many went.
	ForgetAudit(ctx context.Context, before time.Time, most int64) (int64, error)
}

// The bounds of the log.
const (
	Keep        = 90 * 24 * time.Hour
	MaxEntries  = 1_000_000
	MaxStranger = 10 // entries of those who proved no identity, in a minute on one server; the rest is counted in the next one

	forgetEvery = time.Hour
	writeTime   = 10 * time.Second
)

// Config is what New needs.
type Config struct {
	Store   Store
	Log     *slog.Logger
	Metrics *metrics.Set
	Now     func() time.Time // nil for time.Now
}

// Log is the audit log of a server. Safe for concurrent use.
type Log struct {
	cfg  Config
	lost metrics.Counter

	mu      sync.Mutex
	minute  time.Time // that strangers are counted in
	strange int       // their entries in it
	skipped int64     // and those left out since the last one
	added   chan struct{}

	cancel context.CancelFunc
	ended  chan struct{}
}

// New makes a Log. It starts nothing.
func New(cfg Config) *Log {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Log{
		cfg: cfg, added: make(chan struct{}),
		lost: cfg.Metrics.Counter("hanshu_audit_lost_total"),
	}
}

// Add writes an entry and returns when it is on disk. One that cannot be written is logged and counted instead: the change that it
// tells of has been made.
func (l *Log) Add(ctx context.Context, e faas.AuditEntry) {
	if e.ActorID == "" && !l.admit(&e) {
		return
	}
	id, err := uuid.NewV7()
	if err == nil {
		e.ID = id.String()
		ctx, cancel := context.WithTimeout(ctx, writeTime)
		defer cancel()
		err = l.cfg.Store.AddAudit(ctx, e)
	}
	if err != nil {
		l.lost.Inc()
		l.cfg.Log.Error("an entry of the audit log is lost", "error", err, "actor", e.Actor, "operation", e.Operation,
			"resource", e.Resource, "source", e.Source, "status", e.Status, "request_id", e.RequestID)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.added)
	l.added = make(chan struct{})
}

// admit counts a stranger's entry, and notes in it how many were left out before.
func (l *Log) admit(e *faas.AuditEntry) bool {
	now := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.minute) >= time.Minute || now.Before(l.minute) {
		l.minute, l.strange = now, 0
	}
	if l.strange++; l.strange > MaxStranger {
		l.skipped++
		return false
	}
	e.Skipped, l.skipped = l.skipped, 0
	return true
}

// List gives entries; see faas.AuditFilter.
func (l *Log) List(ctx context.Context, f faas.AuditFilter) ([]faas.AuditEntry, error) {
	return l.cfg.Store.Audit(ctx, f)
}

// Changed gives a channel that is closed when this server has added an entry.
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.added
}

// Start implements lifecycle.Service: it begins to forget what is old.
func (l *Log) Start(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.ended = cancel, make(chan struct{})
	go func() {
		defer close(l.ended)
		tick := time.NewTicker(forgetEvery)
		defer tick.Stop()
		for {
			l.forget(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return nil
}

func (l *Log) forget(ctx context.Context) {
	n, err := l.cfg.Store.ForgetAudit(ctx, l.cfg.Now().Add(-Keep), MaxEntries)
	if err != nil && !errors.Is(err, context.Canceled) {
		l.cfg.Log.Error("forget old entries of the audit log", "error", err)
	}
	if n > 0 {
		l.cfg.Log.Info("forgot old entries of the audit log", "count", n)
	}
}

// Stop implements lifecycle.Service.
func (l *Log) Stop(context.Context) error {
	if l.cancel != nil {
		l.cancel()
		<-l.ended
	}
	return nil
}
