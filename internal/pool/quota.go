package pool

import (
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const (
	// loadBurst is how long code may load without its limit of the processor, which would make every first call slower.
	loadBurst = time.Second
	// callBurst is how long it may run without it once it has loaded: half of the period in which the kernel counts what it limits.
	callBurst = 50 * time.Millisecond
)

// quota is the share of the processor that an instance is held to. Setting it makes the kernel walk through the groups of all
// instances, which nobody who waits for a first call is to pay for, nor an instance that has ended by then.
type quota struct{ set sync.Once }

// holdToQuota sets it. An instance that cannot be held to it is ended.
func (in *instance) holdToQuota() {
	in.quota.set.Do(func() {
		if !in.gone() && in.box.SetCPU(faas.CPUMillis(in.memoryMB)) != nil {
			in.box.Kill()
		}
	})
}
