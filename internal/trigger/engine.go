package trigger

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Store tells what changed. Changes of all servers on one database are told, in one order.
type Store interface {
	TriggerChanges(ctx context.Context, after int64, limit int) ([]faas.TriggerChange, error)
}

// EngineConfig is what an Engine needs. All of it is required but Poll.
type EngineConfig struct {
	Store     Store
	Catalogue *Catalogue
	Secrets   func(*faas.Trigger) (map[string]string, error)
	Log       *slog.Logger
	Poll      time.Duration // how often changes of other servers are looked for; 0 for 1 s
}

// Engine keeps every active trigger acting. It is a lifecycle.Service.
type Engine struct {
	cfg EngineConfig

	mu   sync.Mutex // held while changes are applied, so that they are applied in order
	seen int64
	on   bool

	stop context.CancelFunc
	done chan struct{}
}

// NewEngine makes an Engine. Nothing acts before Start.
func NewEngine(cfg EngineConfig) *Engine {
	if cfg.Poll == 0 {
		cfg.Poll = time.Second
	}
	return &Engine{cfg: cfg}
}

// Start makes all active triggers act.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	e.on = true
	e.mu.Unlock()
	if err := e.sync(ctx); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.stop, e.done = cancel, make(chan struct{})
	go e.follow(run)
	return nil
}

// Stop ends the look-out for changes. The kinds end their triggers with their own Stop.
func (e *Engine) Stop(context.Context) error {
	e.mu.Lock()
	e.on = false
	e.mu.Unlock()
	if e.stop == nil {
		return nil
	}
	e.stop()
	<-e.done
	return nil
}

func (e *Engine) follow(ctx context.Context) {
	defer close(e.done)
	tick := time.NewTicker(e.cfg.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := e.sync(ctx); err != nil && ctx.Err() == nil {
				e.cfg.Log.Warn("triggers cannot be read; trying again", "err", err)
			}
		}
	}
}

// TriggersChanged applies what changed. When the store is away it is applied as soon as it is back.
func (e *Engine) TriggersChanged(ctx context.Context) {
	if err := e.sync(context.WithoutCancel(ctx)); err != nil {
		e.cfg.Log.Warn("a change of triggers takes effect late", "err", err)
	}
}

// FunctionChanged applies what went with a function.
func (e *Engine) FunctionChanged(faas.FunctionKey) { e.TriggersChanged(context.Background()) }

// page is how many changes are read at a time.
const page = 1000

func (e *Engine) sync(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.on {
		changes, err := e.cfg.Store.TriggerChanges(ctx, e.seen, page)
		if err != nil {
			return err
		}
		for _, c := range changes {
			e.apply(c)
			e.seen = c.Seq
		}
		if len(changes) < page {
			return nil
		}
	}
	return nil
}

// apply hands a change to its kind. What a kind does not take stays off, and says so in the log: the others act on.
func (e *Engine) apply(c faas.TriggerChange) {
	t := c.Trigger
	kind, err := e.cfg.Catalogue.kind(t.Kind)
	if err != nil {
		e.cfg.Log.Warn("a trigger of a kind that is not served stays off", "trigger", t.ID, "err", err)
		return
	}
	if c.Gone || !t.Active {
		kind.Drop(t.ID)
		return
	}
	secrets, err := e.cfg.Secrets(t)
	if err == nil {
		err = kind.Put(t, secrets)
	}
	if err != nil {
		kind.Drop(t.ID)
		e.cfg.Log.Error("a trigger cannot act", "trigger", t.ID, "kind", t.Kind, "err", err)
	}
}
