package app

import (
	"context"
	"path"
	"path/filepath"
	"time"

	"github.com/hanshu-faas/hanshu/internal/api/admin"
	"github.com/hanshu-faas/hanshu/internal/api/functiongraph"
	"github.com/hanshu-faas/hanshu/internal/api/minapp"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/fetch"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/queue"
	"github.com/hanshu-faas/hanshu/internal/record"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// openRecords opens the records of calls in the data directory.
func (s *Server) openRecords(counters *metrics.Set) (*record.Store, error) {
	records, err := record.Open(record.Config{
		Dir: filepath.Join(s.cfg.DataDir, "records"), MaxAge: s.cfg.RecordAge, MaxBytes: s.cfg.RecordBytes, MaxEvent: s.cfg.RecordEvents,
		Log: s.log, Metrics: counters,
	})
	if err == nil {
		s.closers = append(s.closers, records.Close)
	}
	return records, err
}

// withRuns adds to the admin face what it shows of calls, those that have ended and those that wait.
func (s *Server) withRuns(c admin.Config, records *record.Store, invoker *invoke.Invoker, jobs *queue.Queue, list *store.DB, async *control.AsyncConfigs) admin.Config {
	c.Runs, c.Invoker = records, invoker
	c.Jobs, c.JobList, c.Webhooks = jobs, list, async
	return c
}

// withGateways adds to the admin face what it shows of gateways.
func (s *Server) withGateways(c admin.Config, g *gateways) admin.Config {
	c.Placed, c.Gateways = g.placed, g
	return c
}

// jobInvoker runs jobs as calls.
type jobInvoker struct{ invoker *invoke.Invoker }

func (i jobInvoker) Invoke(ctx context.Context, job faas.JobStatus) (*faas.Result, error) {
	call := faas.Invocation{
		ID: job.ID, Source: job.Source, Event: job.Event, MemoryMB: job.MemoryMB, Alias: job.Alias, Kill: ctx.Done(), Async: true,
		Parent: job.Parent, Attempt: job.Attempts, Accepted: job.Accepted(),
	}
	if job.Origin != "" {
		call.Origin, call.Depth, call.Timeout, call.QueueWait = job.Origin, minapp.DepthOf(job.Origin), minapp.AsyncLimit, minapp.SyncPatience
	}
	return i.invoker.Invoke(ctx, invoke.Request{Key: job.Key, Alias: job.Alias, Call: call})
}

// jobPolicies adds to the settings for asynchronous calls what their functions allow.
type jobPolicies struct {
	*control.AsyncConfigs
	functions *store.DB
}

// Limit is that of the function's Latest version.
func (p jobPolicies) Limit(ctx context.Context, key faas.FunctionKey) (int, error) {
	key.Version = faas.Latest
	f, err := p.functions.Function(ctx, key)
	if err != nil || f.Spec.MaxInstances == faas.Unlimited {
		return faas.Unlimited, err
	}
	return f.Spec.MaxInstances * f.Spec.RequestsPer, nil
}

// deliverer takes records out of the platform: into a bucket, or to the webhook that stands in for a topic or stream.
type deliverer struct {
	fetcher *fetch.Fetcher
	configs *control.AsyncConfigs
}

func (d deliverer) Deliver(ctx context.Context, job faas.Job) error {
	to := job.Target
	if to.Kind == faas.DestinationBucket {
		var expires time.Time
		if to.Days > 0 {
			expires = time.Now().AddDate(0, 0, to.Days)
		}
		return d.fetcher.Put(ctx, to.Name, path.Join(to.Prefix, job.Key.Package, job.Key.Name, job.Parent+".json"), job.Event, expires)
	}
	url, secret, err := d.configs.Webhook(ctx, job.Key.Project, to.Kind)
	if err != nil {
		return err
	}
	return d.fetcher.Post(ctx, url, map[string]string{
		"X-Hanshu-Delivery": job.ID, "X-Hanshu-Kind": string(to.Kind), "X-Hanshu-Name": to.Name,
	}, secret, job.Event)
}

// outcomes writes the outcome of a call as the dialect of its destination has it.
func outcomes(region string) func(queue.Outcome) []byte {
	return func(o queue.Outcome) []byte {
		return functiongraph.AsyncRecord(region, functiongraph.AsyncEnd{Job: o.Job, Code: o.Code, Message: o.Message, Result: o.Result, At: o.At})
	}
}
