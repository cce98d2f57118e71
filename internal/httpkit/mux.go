package httpkit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// MuxConfig is what a Mux needs.
type MuxConfig struct {
	Authenticator Authenticator // asked on every route that is not Open
	Log           *slog.Logger
	// Permit refuses what a principal may not do, with CodeForbidden; project is that of the path, "" where none stands there. It is
	// asked on every route that is not Open, before the body is read; nil for nobody.
	Permit func(ctx context.Context, p faas.Principal, action faas.Action, project string) error
	// Audit hears of every change and every refusal before it is answered; nil for nobody. It returns when the entry is kept.
	Audit func(ctx context.Context, e faas.AuditEntry)

	// NotFound answers what no route takes: status is 404, or 405 when the path exists with other methods (the Allow header
	// is set already). nil for a plain JSON answer.
	NotFound func(w http.ResponseWriter, r *http.Request, status int)
	// Observe hears of every request to a route once it is answered; nil for nobody. It must not block.
	Observe func(face, operation string, status int, took time.Duration)

	BodyStall      time.Duration // longest silence while a body arrives; 0 for 30 s
	BodyTimeout    time.Duration // longest time for a whole body; 0 for 5 minutes
	MaxBodiesBytes int64         // bodies held at a time, all requests together; 0 for 512 MiB
}

// RouteInfo is a route and the face it belongs to.
type RouteInfo struct {
	Face string
	Route
}

// Mux serves the routes of faces: request id, bounded body, authentication, faults caught. Safe for concurrent use.
type Mux struct {
	cfg    MuxConfig
	mux    *http.ServeMux
	routes []RouteInfo
	held   atomic.Int64 // bytes of bodies in memory
}

// NewMux builds the table. It fails when two routes claim the same requests or one is incomplete.
func NewMux(cfg MuxConfig, faces ...Face) (*Mux, error) {
	if cfg.Authenticator == nil || cfg.Log == nil {
		return nil, errors.New("httpkit: a mux needs an Authenticator and a Log")
	}
	cfg.BodyStall = cmp.Or(cfg.BodyStall, 30*time.Second)
	cfg.BodyTimeout = cmp.Or(cfg.BodyTimeout, 5*time.Minute)
	cfg.MaxBodiesBytes = cmp.Or(cfg.MaxBodiesBytes, 512<<20)
	m := &Mux{cfg: cfg, mux: http.NewServeMux()}
	for _, face := range faces {
		if face.WriteError == nil {
			return nil, fmt.Errorf("httpkit: face %s cannot write errors", face.Name)
		}
		for _, route := range face.Routes {
			if route.Method == "" || route.Handle == nil || !strings.HasPrefix(route.Path, "/") {
				return nil, fmt.Errorf("httpkit: route %s %s %q of face %s is incomplete", route.Operation, route.Method, route.Path, face.Name)
			}
			route.MaxBody = cmp.Or(route.MaxBody, DefaultMaxBody)
			route.Action = cmp.Or(route.Action, defaultAction(route))
			e := &endpoint{mux: m, face: face, route: route}
			if err := m.handle(route.Method+" "+exactPath(route.Path), e); err != nil {
				return nil, err
			}
			m.routes = append(m.routes, RouteInfo{Face: face.Name, Route: route})
		}
	}
	return m, m.closeGaps()
}

// defaultAction is that of a route which names none. It errs on the safe side: who may only call functions may do neither.
func defaultAction(r Route) faas.Action {
	switch {
	case r.Open:
		return ""
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return faas.ActionRead
	}
	return faas.ActionWrite
}

// closeGaps sends all that no route takes to fallback, ServeMux's own redirect from /x to /x/ included.
func (m *Mux) closeGaps() error {
	done := map[string]bool{}
	for _, r := range m.routes {
		path := strings.TrimSuffix(r.Path, "/")
		if path == "" || path == r.Path || done[path] {
			continue
		}
		done[path] = true
		if err := m.handle(path, http.HandlerFunc(m.fallback)); err != nil {
			return err
		}
	}
	return m.handle("/", http.HandlerFunc(m.fallback))
}

// exactPath keeps a path with a "/" at its end from standing for everything below it.
func exactPath(path string) string {
	if strings.HasSuffix(path, "/") {
		return path + "{$}"
	}
	return path
}

// handle registers a pattern; ServeMux panics on one that is wrong or taken.
func (m *Mux) handle(pattern string, h http.Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("httpkit: route %q: %v", pattern, p)
		}
	}()
	m.mux.Handle(pattern, h)
	return nil
}

// Routes lists the routes in the order the faces gave them.
func (m *Mux) Routes() []RouteInfo { return m.routes }

// ServeHTTP answers a request. Paths with "//", "/./" or "/../" are unknown: redirecting them would break signatures.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path := r.URL.EscapedPath(); !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || hasDotSegment(path) {
		m.fallback(w, r)
		return
	}
	m.mux.ServeHTTP(w, r)
}

func hasDotSegment(path string) bool {
	if !strings.Contains(path, "/.") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// fallback answers what no route takes.
func (m *Mux) fallback(w http.ResponseWriter, r *http.Request) {
	x := &exchange{Context: r.Context(), id: uuid.NewString()}
	r = r.WithContext(x)
	w.Header()["X-Request-Id"] = []string{x.id}
	status := http.StatusNotFound
	if allow := m.allowed(r); len(allow) > 0 {
		status = http.StatusMethodNotAllowed
		w.Header().Set("Allow", strings.Join(allow, ", "))
	}
	if m.cfg.NotFound != nil {
		m.cfg.NotFound(w, r, status)
		return
	}
	code, text := "not_found", "the path does not exist"
	if status == http.StatusMethodNotAllowed {
		code, text = "method_not_allowed", "the path does not take this method"
	}
	body := struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		RequestID string `json:"request_id"`
	}{code, text, x.id}
	if err := WriteJSON(w, status, body); err != nil {
		m.cfg.Log.Error("not-found answer", "err", err)
	}
}

// allowed lists the methods that the request's path has routes for.
func (m *Mux) allowed(r *http.Request) []string {
	var allow []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if h, _ := m.mux.Handler(probe); isEndpoint(h) {
			allow = append(allow, method)
		}
	}
	return allow
}

func isEndpoint(h http.Handler) bool {
	_, ok := h.(*endpoint)
	return ok
}

// endpoint serves one route.
type endpoint struct {
	mux   *Mux
	face  Face
	route Route
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{Context: r.Context(), id: uuid.NewString()}
	r = r.WithContext(x)
	rec := &recorder{ResponseWriter: w}
	if e.mux.cfg.Audit != nil && e.route.changes() {
		rec.held = new(bytes.Buffer) // until the change stands in the audit log
	}
	rec.Header()["X-Request-Id"] = []string{x.id}
	defer func() {
		e.mux.held.Add(-int64(cap(x.body)))
		if p := recover(); p != nil {
			e.panicked(rec, r, p)
		}
		e.finish(rec, r, x)
		if e.mux.cfg.Observe != nil {
			e.mux.cfg.Observe(e.face.Name, e.route.Operation, cmp.Or(rec.status, http.StatusOK), time.Since(start))
		}
	}()
	if err := e.serve(rec, r, x); err != nil {
		x.failure = faas.CodeOf(err)
		e.fail(rec, r, err)
	}
}

// serve proves who asks, reads the body and lets the route answer.
func (e *endpoint) serve(w *recorder, r *http.Request, x *exchange) error {
	read := false
	body := func() (_ []byte, err error) {
		if !read {
			read = true
			x.body, err = e.mux.readBody(w, r, e.route.MaxBody)
		}
		return x.body, err
	}
	if !e.route.Open {
		var err error
		if x.principal, err = e.mux.cfg.Authenticator.Authenticate(r, body); err != nil {
			return err
		}
		if err = e.permit(r, x.principal); err != nil {
			return err
		}
	}
	if _, err := body(); err != nil {
		return err
	}
	return e.route.Handle(w, r)
}

// fail lets the face write an error, and keeps in the log what the answer must not show.
func (e *endpoint) fail(w *recorder, r *http.Request, err error) {
	log := e.mux.cfg.Log.With("request_id", RequestIDOf(r.Context()), "operation", e.route.Operation)
	gone := r.Context().Err() != nil && errors.Is(err, context.Canceled)
	switch {
	case faas.CodeOf(err) == faas.CodeInternal && !gone:
		log.Error("request failed", "err", err)
	default:
		log.Debug("request refused", "err", err)
	}
	if w.status != 0 {
		log.Error("a handler failed after it had begun to answer", "err", err)
		panic(http.ErrAbortHandler)
	}
	e.face.WriteError(w, r, err)
}

var errPanic = errors.New("panic in a handler")

// panicked turns a panic into an internal fault; the connection is cut when the answer has begun.
func (e *endpoint) panicked(w *recorder, r *http.Request, p any) {
	if p == http.ErrAbortHandler {
		panic(p) // never ours: a handler cuts its answer short, which is for net/http to do
	}
	e.mux.cfg.Log.Error("panic", "request_id", RequestIDOf(r.Context()), "operation", e.route.Operation,
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	e.face.WriteError(w, r, errPanic)
}
