package invoke

import (
	"context"
	"math/rand/v2"
	"sync/atomic"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// alias is an alias kept at hand, and how many calls it has led to a version.
type alias struct {
	*faas.Alias
	calls atomic.Uint64
}

// maxStale bounds how often one call looks an alias up anew that led it to a version which has gone.
const maxStale = 3

// through finds the version that a request comes to by its alias. An alias that leads nowhere was switched on another server, or
// between two looks: it is read again.
func (i *Invoker) through(ctx context.Context, r Request, draw bool) (*faas.Function, error) {
	for stale := 0; ; stale++ {
		a, err := i.alias(ctx, r)
		if err != nil {
			return nil, err
		}
		key := r.Key
		switch version := a.Rule(r.Asked); {
		case version != "":
			key.Version = version
		case draw:
			key.Version = a.Share(a.calls.Add(1))
		default:
			key.Version = a.Key.Version
		}
		f, err := i.function(ctx, key)
		if faas.CodeOf(err) != faas.CodeNotFound || stale == maxStale {
			return f, err
		}
		i.FunctionChanged(aliasKey(r))
	}
}

// aliasKey is the key under which an alias is kept, and which tells of its changes.
func aliasKey(r Request) faas.FunctionKey {
	key := r.Key
	key.Version = faas.Qualifier("", r.Alias)
	return key
}

func (i *Invoker) alias(ctx context.Context, r Request) (*alias, error) {
	key := aliasKey(r)
	i.mu.RLock()
	a, epoch := i.aliases[key], i.epoch
	i.mu.RUnlock()
	if a != nil {
		return a, nil
	}
	found, err := i.cfg.Functions.Alias(ctx, r.Key, r.Alias)
	if err != nil {
		return nil, err
	}
	a = &alias{Alias: found}
	a.calls.Store(rand.Uint64N(100)) // else an alias that changes often would begin with the same version again and again
	i.mu.Lock()
	defer i.mu.Unlock()
	if other := i.aliases[key]; other != nil {
		return other, nil // read at the same time: all calls are counted in one
	}
	if i.epoch == epoch {
		makeRoom(i.aliases)
		i.aliases[key] = a
	}
	return a, nil
}

// makeRoom makes room for one more in a map that is full.
func makeRoom[V any](m map[faas.FunctionKey]V) {
	if len(m) < maxCached {
		return
	}
	for k := range m { // any one: the order of a map is random
		delete(m, k)
		return
	}
}

// Bound gives the version that the rules of a request's alias choose, for a call that is made later, when nobody knows the request any
// more; "" where the request has no alias, or the alias no rules: then the version is found when the call runs. Errors: as Functions.
func (i *Invoker) Bound(ctx context.Context, r Request) (string, error) {
	if r.Alias == "" {
		return "", nil
	}
	a, err := i.alias(ctx, r)
	if err != nil {
		return "", err
	}
	return a.Rule(r.Asked), nil
}

// Choose gives the version that a request comes to, as Invoke would, and counts it as a call of its alias. A call that follows names that
// version, and keeps its alias.
func (i *Invoker) Choose(ctx context.Context, r Request) (*faas.Function, error) {
	return i.resolve(ctx, r, true)
}

// ForgetProject forgets what is kept of a project, which another server has changed, and gives the keys of what it was.
func (i *Invoker) ForgetProject(project string) []faas.FunctionKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.epoch++
	var keys []faas.FunctionKey
	for k := range i.cached {
		if k.Project == project {
			keys = append(keys, k)
			delete(i.cached, k)
		}
	}
	for k := range i.aliases {
		if k.Project == project {
			delete(i.aliases, k)
		}
	}
	return keys
}
