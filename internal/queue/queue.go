// Package queue does work later: it accepts jobs durably, runs each at least once, tries again what failed, hands the outcome
// to destinations, and keeps what could not be done for a person to see and redrive.
//
// The jobs live in the store; here is only the head of each line. It must not know SQL, HTTP, how a function runs, or how a
// dialect writes the record of a call.
package queue

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// Store keeps jobs. What a method acknowledges is on disk. The store of the server documents each of them.
type Store interface {
	EnqueueJobs(ctx context.Context, jobs []faas.Job) ([]faas.JobPlace, error)
	ClaimJobs(ctx context.Context, claims []faas.LaneClaim) ([]faas.LaneClaimed, error)
	EndJobs(ctx context.Context, ends []faas.JobEnd) ([]faas.JobEnded, error)
	JobHeads(ctx context.Context) ([]faas.LaneHead, error)
	Book
	Nodes
}

// Book is what people see and do.
type Book interface {
	CancelJob(ctx context.Context, f faas.FunctionKey, id string, mode faas.CancelMode, children bool) ([]faas.JobStatus, error)
	RedriveJob(ctx context.Context, f faas.FunctionKey, id string) (faas.JobPlace, error)
	ForgetJobs(ctx context.Context, before time.Time, maxBytes int64, most int) (more bool, err error)
	JobBooks(ctx context.Context) (faas.JobBooks, error)
}

// Nodes is how servers on one store know of each other.
type Nodes interface {
	Shared() bool
	BeatJobs(ctx context.Context) (others map[string]int64, err error)
	TakeOverJobs(ctx context.Context, node string) (int64, error)
	ReleaseJobs(ctx context.Context, held map[int64]int) (int64, error)
	CalledOffJobs(ctx context.Context) ([]faas.JobStatus, error)
}

// Invoker runs a call to its end. When ctx ends before, it cuts the call off, with the instance that has it.
type Invoker interface {
	Invoke(ctx context.Context, job faas.JobStatus) (*faas.Result, error)
}

// Policies says how the calls of a function are made.
type Policies interface {
	// Policy gives what holds for calls through a version or alias; the default when nobody has set one.
	Policy(ctx context.Context, key faas.FunctionKey, alias string) (faas.AsyncConfig, error)
	// Limit is how many calls of a function may run at a time; faas.Unlimited for as many as there is room for.
	Limit(ctx context.Context, key faas.FunctionKey) (int, error)
}

// Deliverer hands the event of a job to its target, outside the platform. CodeInvalid, CodeNotFound and CodeUnsupported are
// final; any other error is tried again.
type Deliverer interface {
	Deliver(ctx context.Context, job faas.Job) error
}

// Outcome is how a job ended, for the record that goes to a destination.
type Outcome struct {
	Job     faas.JobStatus
	State   faas.JobState // JobDone, JobDead or JobExpired
	Code    faas.Code     // "" when done
	Message string
	Result  *faas.Result // of the last attempt; nil when the function was not reached
	At      time.Time
}

// Config is what a Queue needs. Zero values of the numbers mean the defaults named.
type Config struct {
	Store     Store
	Invoker   Invoker
	Policies  Policies
	Deliverer Deliverer
	Record    func(Outcome) []byte // JSON
	Log       *slog.Logger
	Metrics   *metrics.Set

	Slots     int           // calls under way at a time, of all functions; 64
	Backoff   time.Duration // before the second attempt; it doubles from attempt to attempt; 1 s
	KeepFor   time.Duration // jobs that have ended; 3 days
	KeepBytes int64         // of jobs that have ended; 1 GiB
	Poll      time.Duration // between looks at what other nodes do; 1 s
	Lease     time.Duration // silence after which a node counts as gone; 30 s
}

const (
	maxBackoff         = time.Minute
	maxInterruptions   = 10 // of one job by ends of servers: it may be their cause
	deliveryAttempts   = 8
	deliveryAge        = 24 * time.Hour
	deliveriesAtATime  = 4 // of one function
	maxClaim           = 32
	limitsHoldFor      = time.Second
	sweepEvery         = time.Minute
	sweepAtATime       = 1000
	storeAwayLeast     = 100 * time.Millisecond
	storeAwayMost      = 2 * time.Second
	stopWithoutContext = 5 * time.Second
)

// Queue accepts and runs jobs. Make one with New, and Start it. It accepts before it is started too.
type Queue struct {
	cfg     Config
	stats   stats
	wake    chan struct{} // something is ready, or a slot is free
	quit    chan struct{}
	ctx     context.Context // of calls; ends with a hard stop
	cancel  context.CancelFunc
	loops   sync.WaitGroup
	runs    sync.WaitGroup
	started bool

	mu        sync.Mutex
	lanes     map[int64]*lane
	ring      []*lane // ready, in turn
	timed     laneHeap
	busy      int                 // calls under way
	finishing int                 // ended, and not stored yet
	held      map[attempt]holding // claimed here, and the end not stored yet
	early     map[attempt]bool    // to be ended by force while a claim is under way that may bring them; nil without a claim
	doubt     bool                // a claim failed, which the store may have made all the same
	stopped   bool                // calls are being cut off
}

// attempt names one attempt at a job. Two of one job can be under way here: where other nodes took this one for gone while
// it had the first.
type attempt struct {
	seq    int64
	number int
}

func attemptOf(j *faas.JobStatus) attempt { return attempt{j.Seq, j.Attempts} }

// New makes a Queue.
func New(cfg Config) *Queue {
	cfg.Slots = cmp.Or(cfg.Slots, 64)
	cfg.Backoff = cmp.Or(cfg.Backoff, time.Second)
	cfg.KeepFor = cmp.Or(cfg.KeepFor, 72*time.Hour)
	cfg.KeepBytes = cmp.Or(cfg.KeepBytes, 1<<30)
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	cfg.Lease = cmp.Or(cfg.Lease, 30*time.Second)
	q := &Queue{cfg: cfg, wake: make(chan struct{}, 1), quit: make(chan struct{}), lanes: map[int64]*lane{}, held: map[attempt]holding{}}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	q.stats = newStats(cfg.Metrics, cfg.Store)
	return q
}

// Start takes up what is there, and begins to run it. What an earlier life of this server was running waits again; its
// attempt counts as interrupted.
func (q *Queue) Start(ctx context.Context) error {
	if !q.cfg.Store.Shared() {
		n, err := q.cfg.Store.TakeOverJobs(ctx, "")
		if err != nil {
			return err
		}
		if n > 0 {
			q.cfg.Log.Info("jobs that were cut off by the end of the server wait again", "jobs", n)
		}
	} else if _, err := q.cfg.Store.BeatJobs(ctx); err != nil {
		return err
	}
	if err := q.lookAround(ctx); err != nil {
		return err
	}
	q.started = true
	q.loops.Go(q.dispatch)
	q.loops.Go(q.sweep)
	if q.cfg.Store.Shared() {
		q.loops.Go(q.watch)
	}
	return nil
}

// Stop begins no more jobs, lets those under way end until ctx is done, and cuts off the rest, which then waits again.
func (q *Queue) Stop(ctx context.Context) error {
	if !q.started {
		return nil
	}
	q.started = false
	close(q.quit)
	q.loops.Wait()
	ended := make(chan struct{})
	go func() { q.runs.Wait(); close(ended) }()
	select {
	case <-ended:
		q.cancel()
		return q.leave(ctx)
	case <-ctx.Done():
	}
	q.mu.Lock()
	q.stopped = true
	q.mu.Unlock()
	q.cancel()
	<-ended
	return q.leave(ctx)
}

// leave gives up what this node could not store the end of, so that nobody has to wait for its lease.
func (q *Queue) leave(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithoutContext)
	defer cancel()
	_, err := q.cfg.Store.TakeOverJobs(bounded, "")
	return err
}

// Enqueue accepts a job, and returns when it is on disk: from then on it will run, whatever happens to this server. A job
// without an ID gets one. Errors: CodeInvalid, field "job"; CodeUnavailable, field "disk" when the disk is full.
func (q *Queue) Enqueue(ctx context.Context, job faas.Job) error {
	return q.EnqueueAll(ctx, []faas.Job{job})
}

// EnqueueAll is Enqueue for several jobs: all are accepted or none is.
func (q *Queue) EnqueueAll(ctx context.Context, jobs []faas.Job) error {
	for i := range jobs {
		if jobs[i].ID == "" {
			id, err := NewID()
			if err != nil {
				return err
			}
			jobs[i].ID = id
		}
	}
	places, err := q.cfg.Store.EnqueueJobs(ctx, jobs)
	if err != nil {
		return err
	}
	for i, place := range places {
		q.notify(place, laneName{key: function(jobs[i].Key), delivery: jobs[i].Target != nil})
	}
	return nil
}

// NewID gives an id for a job: a UUID that begins with the time, so that jobs accepted together stand together on disk.
func NewID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

// Cancel calls off a job of a function, and with children what it caused. With faas.CancelForce a call under way is ended
// with its instance. Errors: CodeNotFound and CodeConflict, field "job".
func (q *Queue) Cancel(ctx context.Context, f faas.FunctionKey, id string, mode faas.CancelMode, children bool) error {
	running, err := q.cfg.Store.CancelJob(ctx, f, id, mode, children)
	if err != nil {
		return err
	}
	q.kill(running)
	return nil
}

// kill ends the calls of jobs that run here and are to be ended by force.
func (q *Queue) kill(jobs []faas.JobStatus) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range jobs {
		if jobs[i].Cancel != faas.CancelForce {
			continue
		}
		a := attemptOf(&jobs[i])
		if held, ok := q.held[a]; ok {
			held.end()
		} else if q.early != nil {
			q.early[a] = true
		}
	}
}

// Redrive lets a job that is dead, expired or cancelled begin anew. Errors: CodeNotFound and CodeConflict, field "job".
func (q *Queue) Redrive(ctx context.Context, f faas.FunctionKey, id string) error {
	place, err := q.cfg.Store.RedriveJob(ctx, f, id)
	if err != nil {
		return err
	}
	return q.lookAt(ctx, place)
}

// lookAt makes a place known whose lane may be unknown here.
func (q *Queue) lookAt(ctx context.Context, place faas.JobPlace) error {
	q.mu.Lock()
	l := q.lanes[place.Lane]
	q.mu.Unlock()
	if l == nil {
		return q.lookAround(ctx)
	}
	q.notify(place, l.laneName)
	return nil
}

// function is a key without its version, since all versions of a function wait in one lane.
func function(key faas.FunctionKey) faas.FunctionKey {
	key.Version = ""
	return key
}
