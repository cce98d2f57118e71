package trigger

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

var errLost = errors.New("the connection was lost")

// Source listens to a broker for one trigger.
type Source interface {
	// Listen hands messages over by Batch.Deliver, and acknowledges each to the broker once that has returned nil. It calls up
	// when the broker has taken it in, and returns when ctx ends or the connection is lost.
	Listen(ctx context.Context, to *Batch, up func()) error
}

// ListenersConfig is what Listeners need. All of it is required; a kind sets Source itself.
type ListenersConfig struct {
	Sink    Sink
	Source  string // of the calls, such as faas.SourceKafka
	Region  string // in the events
	Log     *slog.Logger
	Metrics *metrics.Set
}

// Back-off of a broker that is away, and of a queue that takes nothing in.
const (
	firstPause = 100 * time.Millisecond
	longPause  = 15 * time.Second
)

// Listeners keep the sources of a kind listening: one that loses its broker comes back as often as it must. It is the part of a Kind
// that acts, and a lifecycle.Service.
type Listeners struct {
	cfg     ListenersConfig
	dropped metrics.Counter

	mu     sync.Mutex
	active map[string]listener
	over   bool
}

type listener struct {
	cancel  context.CancelFunc
	ended   chan struct{}
	failure *string // why it does not listen now; "" when it does, or tries for the first time; guarded by Listeners.mu
}

// NewListeners makes Listeners.
func NewListeners(cfg ListenersConfig) *Listeners {
	return &Listeners{
		cfg: cfg, active: map[string]listener{},
		dropped: cfg.Metrics.Counter(`hanshu_trigger_dropped_total{source="` + cfg.Source + `"}`),
	}
}

// Region is what events say of where this server stands.
func (l *Listeners) Region() string { return l.cfg.Region }

// LastError is what Show calls the reason why a trigger does not listen.
const LastError = "last_error"

// Show is of Kind: beside the event data it shows why this server does not reach the broker, while it does not.
func (l *Listeners) Show(t *faas.Trigger, _ map[string]string, shown map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := l.active[t.ID].failure; text != nil && *text != "" {
		shown[LastError] = *text
	}
}

// Start is of lifecycle.Service.
func (l *Listeners) Start(context.Context) error { return nil }

// Stop ends all sources and waits for them. What they had not acknowledged stays with the broker.
func (l *Listeners) Stop(context.Context) error {
	l.mu.Lock()
	l.over = true
	ending := l.active
	l.active = map[string]listener{}
	l.mu.Unlock()
	for _, one := range ending {
		one.cancel()
	}
	for _, one := range ending {
		<-one.ended
	}
	return nil
}

// Listen begins to listen for a trigger, instead of what it listened to before.
func (l *Listeners) Listen(t *faas.Trigger, source Source) {
	l.Drop(t.ID)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	one := listener{cancel, make(chan struct{}), new(string)}
	l.active[t.ID] = one
	go func() {
		defer close(one.ended)
		l.keep(ctx, t, source, func(failure string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			*one.failure = failure
		})
	}()
}

// Drop ends a trigger's source and waits for it.
func (l *Listeners) Drop(id string) {
	l.mu.Lock()
	one, ok := l.active[id]
	delete(l.active, id)
	l.mu.Unlock()
	if ok {
		one.cancel()
		<-one.ended
	}
}

// keep listens until ctx ends, and tells why it does not while it does not.
func (l *Listeners) keep(ctx context.Context, t *faas.Trigger, source Source, tell func(failure string)) {
	log := l.cfg.Log.With("trigger", t.ID, "kind", t.Kind)
	batch := &Batch{listeners: l, trigger: t, log: log}
	pause := firstPause
	for {
		err := source.Listen(ctx, batch, func() {
			pause = firstPause
			tell("")
			log.Info("a trigger listens to its broker")
		})
		if ctx.Err() != nil {
			return
		}
		why := plainly(cmp.Or(err, errLost))
		tell(why.Error())
		log.Warn("a trigger has lost its broker; trying again", "in", pause, "err", why)
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, longPause)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Batch hands the messages of one trigger over.
type Batch struct {
	listeners *Listeners
	trigger   *faas.Trigger
	log       *slog.Logger
}

// Event makes the event of the messages from i up to j, and a text that names them, "" when nothing does.
type Event func(i, j int) (event []byte, dedup string, err error)

// Deliver hands n messages over as one event, or as several when one would be too large. It tries as long as ctx lasts; nil means
// that everything is on disk. A message that is too large by itself, or is for a function that went, is left out and
// counted: the broker would bring it again for ever.
func (b *Batch) Deliver(ctx context.Context, n int, make Event) error {
	return b.deliver(ctx, 0, n, make)
}

func (b *Batch) deliver(ctx context.Context, i, j int, make Event) error {
	if i == j {
		return nil
	}
	event, dedup, err := make(i, j)
	if err != nil {
		return err
	}
	if len(event) > faas.MaxEventBytes && j-i > 1 {
		return b.halves(ctx, i, j, make)
	}
	job := NewJob(b.trigger, b.listeners.cfg.Source, event, dedup)
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := b.enqueue(ctx, job)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case faas.CodeOf(err) == faas.CodeTooLarge && j-i > 1:
			return b.halves(ctx, i, j, make)
		case Hopeless(err):
			b.listeners.dropped.Inc()
			b.log.Error("a message is left out", "messages", j-i, "err", err)
			return nil
		case pause == firstPause:
			b.log.Warn("messages cannot be handed over yet; trying again", "messages", j-i, "err", err)
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// halves hands a batch over as two, in order.
func (b *Batch) halves(ctx context.Context, i, j int, make Event) error {
	middle := (i + j) / 2
	if err := b.deliver(ctx, i, middle, make); err != nil {
		return err
	}
	return b.deliver(ctx, middle, j, make)
}

// enqueue refuses what no function could be given.
func (b *Batch) enqueue(ctx context.Context, job faas.Job) error {
	if len(job.Event) > faas.MaxEventBytes {
		return faas.Errorf(faas.CodeTooLarge, "event", "the event has %d bytes, over the limit of %d", len(job.Event), faas.MaxEventBytes)
	}
	return b.listeners.cfg.Sink.Enqueue(ctx, job)
}

// Dialer gives a dialer for brokers' addresses, which owners of functions choose: it refuses those that no broker has, such as the
// metadata address of a cloud's machines.
func Dialer() *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: refuseMetadata}
}

func refuseMetadata(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if ip := at.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return faas.Errorf(faas.CodeForbidden, "address", "%s is no address of a broker", ip)
	}
	return nil
}
