package trigger

import (
	"crypto/rand"
	"crypto/subtle"
	"slices"
	"strings"
	"sync"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// HookKey is the name of the secret that an address ends in.
const HookKey = "hook_key"

// Hooked holds the active triggers of a Hook. The zero Hooked is ready for use.
type Hooked[T any] struct {
	mu     sync.RWMutex
	active map[string]hooked[T]
}

type hooked[T any] struct {
	Hooking[T]
	key string
}

// Hooking is an active trigger with its data.
type Hooking[T any] struct {
	Trigger *faas.Trigger
	Data    T
}

// MakeHookKey lays the key of an address into checked data: the one from before, or a new one.
func MakeHookKey(d *faas.TriggerData, before map[string]string) {
	key := before[HookKey]
	if key == "" {
		key = rand.Text()
	}
	d.Secrets = map[string]string{HookKey: key}
}

// ShowHook lays an address into shown data. base is that of the data plane.
func ShowHook(base string, t *faas.Trigger, secrets map[string]string, shown map[string]any) {
	delete(shown, HookKey)
	shown["invoke_url"] = strings.TrimSuffix(base, "/") + "/_hooks/" + t.ID + "/" + secrets[HookKey]
}

// Put makes a trigger act.
func (h *Hooked[T]) Put(t *faas.Trigger, secrets map[string]string) error {
	one := hooked[T]{Hooking[T]{Trigger: t}, secrets[HookKey]}
	if err := Decode(t.Data, &one.Data); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active == nil {
		h.active = map[string]hooked[T]{}
	}
	h.active[t.ID] = one
	return nil
}

// Drop ends a trigger.
func (h *Hooked[T]) Drop(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.active, id)
}

// Find gives the trigger of an address.
func (h *Hooked[T]) Find(id, key string) (Hooking[T], bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	one, ok := h.active[id]
	ok = ok && one.key != "" && subtle.ConstantTimeCompare([]byte(one.key), []byte(key)) == 1
	return one.Hooking, ok
}

// In gives the active triggers of a project, in the order of their ids.
func (h *Hooked[T]) In(project string) []Hooking[T] {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var found []Hooking[T]
	for _, one := range h.active {
		if one.Trigger.Key.Project == project {
			found = append(found, one.Hooking)
		}
	}
	slices.SortFunc(found, func(a, b Hooking[T]) int { return strings.Compare(a.Trigger.ID, b.Trigger.ID) })
	return found
}
