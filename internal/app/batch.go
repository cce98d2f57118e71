package app

import (
	"context"
	"sync"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// startsAtATime bounds the runs of workflows that one batch of events begins at a time. They share the store's syncs.
const startsAtATime = 32

// EnqueueEach is of timer.Sink. The jobs for functions are accepted in one transaction. Where one of them is refused for what it is,
// each is handed over alone.
func (s *flowSink) EnqueueEach(ctx context.Context, jobs []faas.Job) []error {
	errs := make([]error, len(jobs))
	var calls []faas.Job
	var at, rest []int
	for i := range jobs {
		if jobs[i].Key.Package == faas.FlowPackage {
			rest = append(rest, i)
			continue
		}
		calls, at = append(calls, jobs[i]), append(at, i)
	}
	if len(calls) > 0 {
		if err := s.jobs.EnqueueAll(ctx, calls); faas.CodeOf(err) == faas.CodeInvalid && len(calls) > 1 {
			rest = append(rest, at...)
		} else {
			for _, i := range at {
				errs[i] = err
			}
		}
	}
	var under sync.WaitGroup
	slots := make(chan struct{}, startsAtATime)
	for _, i := range rest {
		slots <- struct{}{}
		under.Go(func() {
			errs[i] = s.Enqueue(ctx, jobs[i])
			<-slots
		})
	}
	under.Wait()
	return errs
}
