package apig

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

// Kind is the trigger.Kind, and the table of its routes. The matching is net/http's: a longer or more definite path wins, a
// host name wins over none, and two routes of which neither is more definite do not stand beside each other.
type Kind struct {
	cfg Config

	mu     sync.RWMutex
	active map[string]*active
	mux    *http.ServeMux // of all active routes; nil when they have changed
}

// active is a route that acts.
type active struct {
	route   *faas.Route
	pattern string            // for a ServeMux, with method and host
	names   map[string]string // of parameters
}

// ServeHTTP is never called: the mux is asked where a request leads, and no more.
func (*active) ServeHTTP(http.ResponseWriter, *http.Request) {}

// New makes the kind.
func New(cfg Config) *Kind { return &Kind{cfg: cfg, active: map[string]*active{}} }

func (d *data) full(pattern string) string {
	return strings.TrimSpace(d.method() + " " + d.host() + pattern)
}

// Put is of trigger.Kind.
func (k *Kind) Put(t *faas.Trigger, secrets map[string]string) error {
	var d data
	if err := trigger.Decode(t.Data, &d); err != nil {
		return err
	}
	pattern, err := d.pattern(t.Kind)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.active[t.ID] = &active{d.route(t, secrets), d.full(pattern), d.parameters()}
	k.mux = nil
	return nil
}

// Drop is of trigger.Kind.
func (k *Kind) Drop(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.active[id]; ok {
		delete(k.active, id)
		k.mux = nil
	}
}

// fits refuses a route that neither is more definite than another one nor less, so that nobody could say which is meant.
func (k *Kind) fits(id string, d data, pattern string) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	mux := http.NewServeMux()
	mine := &active{pattern: d.full(pattern)}
	if err := register(mux, mine); err != nil {
		return trigger.Bad(Code, "event_data.path %.80q cannot be matched: %v", d.Path, err)
	}
	for other, a := range k.active {
		if other == id || !mayMeet(a.pattern, mine.pattern) {
			continue
		}
		pair := http.NewServeMux()
		if register(pair, mine) == nil && register(pair, a) != nil && a.pattern != mine.pattern {
			return faas.Errorf(faas.CodeExists, "path", "the path %.80q and the path of another trigger (%.80q) both match some requests, and neither is more definite",
				d.Path, a.route.Path)
		}
	}
	return nil
}

// mayMeet spares routes the question that cannot match the same request, as their paths begin differently.
func mayMeet(a, b string) bool {
	first := func(pattern string) string {
		_, path, _ := strings.Cut(pattern, "/")
		part, _, _ := strings.Cut(path, "/")
		return part
	}
	x, y := first(a), first(b)
	return x == y || strings.HasPrefix(x, "{") || strings.HasPrefix(y, "{")
}

func register(mux *http.ServeMux, a *active) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	mux.Handle(a.pattern, a)
	return nil
}

// table gives the mux of all active routes, made anew after a change.
func (k *Kind) table() *http.ServeMux {
	k.mu.RLock()
	mux := k.mux
	k.mu.RUnlock()
	if mux != nil {
		return mux
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mux == nil {
		k.mux = http.NewServeMux()
		for _, a := range k.active {
			_ = register(k.mux, a) // of two that do not fit, made by two servers in the same moment, one stays out
		}
	}
	return k.mux
}

// Find tells where a request leads, with the parameters of its path. path is escaped, and begins with "/".
func (k *Kind) Find(host, method, path string) (*faas.Route, map[string]string, bool) {
	// A "/" at the end makes no difference. A path with "//" or a dot segment leads nowhere: ServeMux would redirect it.
	probe := &http.Request{Method: method, Host: strings.ToLower(host), URL: &url.URL{}}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, nil, false
	}
	if !strings.HasSuffix(plain, "/") {
		plain, path = plain+"/", path+"/"
	}
	probe.URL.Path, probe.URL.RawPath = plain, path
	h, pattern := k.table().Handler(probe)
	a, ok := h.(*active)
	if !ok {
		return nil, nil, false
	}
	return a.route, values(a, pattern, path), true
}

// values reads the parameters out of an escaped path.
func values(a *active, pattern, path string) map[string]string {
	found := map[string]string{}
	if len(a.names) == 0 {
		return found
	}
	_, pattern, _ = strings.Cut(pattern, "/")
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, part := range strings.Split(pattern, "/") {
		name, ok := a.names[strings.Trim(part, "{}")]
		if !ok || !strings.HasPrefix(part, "{") || i >= len(parts) {
			continue
		}
		if value, err := url.PathUnescape(parts[i]); err == nil {
			found[name] = value
		}
	}
	return found
}
