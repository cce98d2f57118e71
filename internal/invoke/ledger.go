package invoke

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// LedgerStore keeps records of calls.
type LedgerStore interface {
	SaveCalls(ctx context.Context, records []faas.CallRecord) error
	ForgetCalls(ctx context.Context, before time.Time, most int) (more bool, err error)
}

const (
	ledgerHolds  = 8192 // records that wait to be stored; more are dropped, and counted
	ledgerBatch  = 256  // records in one transaction
	ledgerKeeps  = 30 * 24 * time.Hour
	ledgerSweeps = 10 * time.Minute
	ledgerForget = 1000 // records in one transaction
)

// Ledger stores records of calls behind their answers, many in one transaction. What it has not stored yet goes with the
// process; of a call that was accepted to be made later the queue tells what became of it.
type Ledger struct {
	store   LedgerStore
	log     *slog.Logger
	dropped metrics.Counter
	wake    chan struct{}
	quit    chan struct{}
	ended   chan struct{}

	mu     sync.Mutex
	last   int64 // number
	order  []string
	latest map[string]faas.CallRecord // by id
}

// NewLedger makes a Ledger. Start it.
func NewLedger(store LedgerStore, log *slog.Logger, counters *metrics.Set) *Ledger {
	return &Ledger{
		store: store, log: log, dropped: counters.Counter("hanshu_call_records_dropped_total"), wake: make(chan struct{}, 1),
		latest: map[string]faas.CallRecord{},
	}
}

// Start begins to store.
func (l *Ledger) Start(context.Context) error {
	l.quit, l.ended = make(chan struct{}), make(chan struct{})
	go l.keep()
	return nil
}

// Stop stores what there is.
func (l *Ledger) Stop(ctx context.Context) error {
	if l.quit == nil {
		return nil
	}
	close(l.quit)
	<-l.ended
	l.quit = nil
	return l.flush(ctx)
}

// Add takes a record in, or a newer state of one, without waiting. A record without a number gets one.
func (l *Ledger) Add(r faas.CallRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Number == 0 {
		l.last = max(l.last+1, r.CreatedAt.UnixMicro())
		r.Number = l.last
	}
	old, known := l.latest[r.ID]
	switch {
	case known && old.State >= r.State:
		return
	case known:
		r.Number, r.CreatedAt = old.Number, old.CreatedAt
	case len(l.order) >= ledgerHolds:
		l.dropped.Inc()
		return
	default:
		l.order = append(l.order, r.ID)
	}
	l.latest[r.ID] = r
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Ledger) keep() {
	defer close(l.ended)
	sweep := time.NewTicker(ledgerSweeps)
	defer sweep.Stop()
	for {
		select {
		case <-l.wake:
			if err := l.flush(context.Background()); err != nil {
				l.log.Warn("records of calls wait to be stored", "err", err)
				l.pause()
			}
		case now := <-sweep.C:
			l.forget(now)
		case <-l.quit:
			return
		}
	}
}

// pause keeps a store that is away from being asked without end.
func (l *Ledger) pause() {
	again := time.NewTimer(time.Second)
	defer again.Stop()
	select {
	case <-again.C:
		select {
		case l.wake <- struct{}{}:
		default:
		}
	case <-l.quit:
	}
}

func (l *Ledger) flush(ctx context.Context) error {
	for {
		batch := l.take()
		if len(batch) == 0 {
			return nil
		}
		if err := l.store.SaveCalls(ctx, batch); err != nil {
			for _, r := range batch {
				l.Add(r)
			}
			return err
		}
	}
}

func (l *Ledger) take() []faas.CallRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.order), ledgerBatch)
	batch := make([]faas.CallRecord, 0, n)
	for _, id := range l.order[:n] {
		batch = append(batch, l.latest[id])
		delete(l.latest, id)
	}
	l.order = append([]string(nil), l.order[n:]...)
	return batch
}

func (l *Ledger) forget(now time.Time) {
	for more := true; more; {
		var err error
		if more, err = l.store.ForgetCalls(context.Background(), now.Add(-ledgerKeeps), ledgerForget); err != nil {
			l.log.Warn("old records of calls are still there", "err", err)
			return
		}
	}
}
