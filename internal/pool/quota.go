package pool

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// quota is the share of the processor that an instance is held to. Setting it makes the kernel walk through the groups of all
// instances, so one that is called once and briefly is not made to wait for it, nor its neighbours to pay for it.
type quota struct {
	set   sync.Once
	calls atomic.Int64
}

const (
	// loadBurst is how long code may load without its limit of the processor, which would make every first call slower.
	loadBurst = time.Second
	// callBurst is how long a first call may run without it: half of the period in which the kernel counts what it limits.
	callBurst = 50 * time.Millisecond
)

// holdToQuota sets it. An instance that cannot be held to it is ended.
func (in *instance) holdToQuota() {
	in.quota.set.Do(func() {
		if in.box.SetCPU(faas.CPUMillis(in.memoryMB)) != nil {
			in.box.Kill()
		}
	})
}

// spend notes a call that begins: a first one is held to the quota when it runs for long, every other beside its beginning.
// The answer is called when it has ended.
func (in *instance) spend() (done func()) {
	switch in.quota.calls.Add(1) {
	case 1:
		late := time.AfterFunc(callBurst, in.holdToQuota)
		return func() { late.Stop() }
	case 2:
		in.pool.work.Go(in.holdToQuota)
	}
	return func() {}
}
