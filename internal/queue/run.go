package queue

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// run makes one attempt at a job and stores how it ended.
func (q *Queue) run(ctx context.Context, l *lane, job faas.JobStatus) {
	q.stats.waited.Observe(job.Began.Sub(job.Due))
	policy, err := q.policy(job)
	var o Outcome
	switch {
	case err != nil:
		o = Outcome{Code: faas.CodeUnavailable, Message: "the settings of the function cannot be read"}
	case job.Interrupted >= maxInterruptions:
		o = Outcome{State: faas.JobDead, Code: faas.CodeExit, Message: "the server ended too often while this call was under way"}
	case job.Began.Sub(job.Since) > policy.MaxAge:
		o = Outcome{State: faas.JobExpired, Code: faas.CodeQueueTimeout, Message: "the call waited for longer than its maximum age of " + policy.MaxAge.String()}
		if job.Code != "" {
			o.Message += "; its last attempt ended so: " + job.Message
		}
	default:
		q.tell(policy, job, faas.JobRunning, "")
		o = q.attempt(ctx, job)
	}
	o.Job, o.At = job, time.Now()
	if ctx.Err() != nil {
		o = q.killed(o)
	}
	end := q.decide(policy, &o)
	q.over(l, job.ID, end.Postponed && o.Code != faas.CodeDisabled)
	ended, stored := q.store(end)
	if !stored || ended.State == "" {
		return
	}
	q.tell(policy, job, ended.State, o.Message)
	if ended.State == faas.JobWaiting {
		q.notify(faas.JobPlace{Lane: l.id, Due: ended.Due}, l.laneName)
	}
	for i, place := range ended.Places {
		next := &end.Next[i]
		q.notify(place, laneName{key: function(next.Key), delivery: next.Target != nil})
	}
}

// policy is the fixed one for a delivery, and its function's for a call.
func (q *Queue) policy(job faas.JobStatus) (faas.AsyncConfig, error) {
	if job.Target != nil {
		return faas.AsyncConfig{MaxAge: deliveryAge, Retries: deliveryAttempts - 1}, nil
	}
	return q.cfg.Policies.Policy(q.ctx, job.Key, job.Alias)
}

// attempt does the work. State is JobDone, or "" for what decide shall make of the failure.
func (q *Queue) attempt(ctx context.Context, job faas.JobStatus) Outcome {
	if job.Target != nil {
		if err := q.cfg.Deliverer.Deliver(ctx, job.Job); err != nil {
			return Outcome{Code: faas.CodeOf(err), Message: text(err)}
		}
		return Outcome{State: faas.JobDone}
	}
	res, err := q.cfg.Invoker.Invoke(ctx, job.Job)
	switch {
	case err != nil:
		return Outcome{Code: faas.CodeOf(err), Message: text(err)}
	case res.Failure != nil:
		return Outcome{Code: res.Failure.Code, Message: res.Failure.Message, Result: res}
	}
	return Outcome{State: faas.JobDone, Result: res}
}

// text is what an error may say to a user.
func text(err error) string {
	if faas.CodeOf(err) == faas.CodeInternal {
		return "a fault of the platform; its log says more"
	}
	return err.Error()
}

// killed is the outcome of a call that was cut off, by a cancellation or by the end of this server.
func (q *Queue) killed(o Outcome) Outcome {
	if o.State == faas.JobDone {
		return o
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	o.Code, o.Message = faas.CodeCancelled, "cancelled while it ran"
	o.State = faas.JobCancelled
	if q.stopped {
		o.State, o.Message = faas.JobWaiting, "cut off by the end of the server"
	}
	return o
}

// maxMessage bounds what is kept of a failure's text, in bytes.
const maxMessage = 4096

// decide says what becomes of a job, and completes the outcome.
func (q *Queue) decide(policy faas.AsyncConfig, o *Outcome) faas.JobEnd {
	job := &o.Job
	end := faas.JobEnd{Seq: job.Seq, Attempt: job.Attempts, Code: o.Code, Message: faas.Clip(o.Message, maxMessage)}
	fault := o.Code.Fault()
	switch {
	case o.State == faas.JobWaiting:
		end.Interrupted, end.Due = true, time.Now()
	case o.State != "":
	case o.Code == faas.CodeCancelled: // the queue is stopping and the call had not reached its function
		o.State, end.Interrupted, end.Due = faas.JobWaiting, true, time.Now()
	case job.Target == nil && (fault == faas.FaultPlatform || o.Code == faas.CodeDisabled):
		o.State, end.Postponed, end.Due = faas.JobWaiting, true, q.later(job.Postponed)
	case fault == faas.FaultCaller:
		o.State = faas.JobDead
	case job.Failures() > policy.Retries:
		o.State = faas.JobDead
	default:
		o.State, end.Due = faas.JobWaiting, q.later(job.Failures()-1)
		if end.Due.Sub(job.Since) > policy.MaxAge {
			o.State = faas.JobDead // there is no time for another attempt
		}
	}
	end.State = o.State
	end.Drop = o.State == faas.JobDone
	if o.State != faas.JobWaiting && o.State != faas.JobCancelled {
		end.Next = q.next(policy, *o)
	}
	return end
}

// later is when a job is tried again: the wait doubles with each failure, and a random half of it is left out, so that jobs
// that failed together do not come back together.
func (q *Queue) later(failures int) time.Time {
	wait := min(q.cfg.Backoff<<min(max(failures, 0), 20), maxBackoff)
	return time.Now().Add(wait/2 + rand.N(wait/2+1))
}

// next gives the job that hands the outcome of a call to its destination.
func (q *Queue) next(policy faas.AsyncConfig, o Outcome) []faas.Job {
	to := policy.OnFailure
	if o.State == faas.JobDone {
		to = policy.OnSuccess
	}
	if to == nil || o.Job.Target != nil {
		return nil
	}
	id, err := NewID()
	if err != nil {
		q.cfg.Log.Error("no id for a delivery", "error", err)
		return nil
	}
	job := faas.Job{ID: id, Parent: o.Job.ID, Source: faas.SourceDestination, Event: q.cfg.Record(o)}
	if to.Kind == faas.DestinationFunction {
		job.Key, job.Alias = to.Function, to.Alias
	} else {
		job.Key, job.Target = function(o.Job.Key), to
	}
	return []faas.Job{job}
}

// tell writes a line of the status log where it is switched on.
func (q *Queue) tell(policy faas.AsyncConfig, job faas.JobStatus, state faas.JobState, message string) {
	if policy.StatusLog {
		q.cfg.Log.LogAttrs(context.Background(), 0, "asynchronous call", logAttrs(job, state, message)...)
	}
}
