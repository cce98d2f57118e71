package auth

import (
	"sync"
	"time"
)

// The rule for wrong signatures and passwords: five within five minutes lock for five minutes (FunctionGraph reference,
// section 6).
const (
	lockFailures = 5
	lockTime     = 5 * time.Minute
	lockEntries  = 10_000
)

// lockout counts failures by name. It remembers a bounded number of names.
type lockout struct {
	mu    sync.Mutex // makes reading and counting one step
	names *cache[string, int]
}

func newLockout() *lockout { return &lockout{names: newCache[string, int](lockEntries)} }

// locked tells whether a name may not be tried at all.
func (l *lockout) locked(name string, now time.Time) bool {
	n, _ := l.names.get(name, now)
	return n >= lockFailures
}

// failed counts one failure. While a name is locked, further ones do not make it longer.
func (l *lockout) failed(name string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, _ := l.names.get(name, now); n < lockFailures {
		l.names.put(name, n+1, now, now.Add(lockTime))
	}
}

// passed forgets the failures of a name.
func (l *lockout) passed(name string, now time.Time) {
	if n, ok := l.names.get(name, now); ok && n > 0 {
		l.names.drop(name)
	}
}
