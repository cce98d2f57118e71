// Package gateway is the data plane: HTTP requests from outside find a route, prove who they are, and become a call in the shape
// of the API gateway (FunctionGraph reference, section 4.2), or reach a function that serves HTTP as they are (5.5). It also takes
// in the notifications of buckets and topics.
//
// It must not know how routes are kept, nor any dialect of the control plane.
package gateway

import (
	"context"
	"crypto/subtle"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

// Routes finds where a request leads. path is escaped and begins with "/".
type Routes interface {
	Find(host, method, path string) (*faas.Route, map[string]string, bool)
}

// Invoker runs a call; invoke.Invoker is one.
type Invoker interface {
	Invoke(ctx context.Context, r invoke.Request) (*faas.Result, error)
	// Exchange is Invoke where talk speaks HTTP with the function.
	Exchange(ctx context.Context, r invoke.Request, talk func(faas.Backend) error) (*faas.Result, error)
	// Choose gives the version that a request comes to; a call that names it and keeps its alias goes there.
	Choose(ctx context.Context, r invoke.Request) (*faas.Function, error)
	// Bound gives the version that the rules of an alias choose for a call that is made later; "" where that is open.
	Bound(ctx context.Context, r invoke.Request) (string, error)
}

// Sink takes calls over that are made later. nil means that the job is on disk.
type Sink interface {
	Enqueue(ctx context.Context, job faas.Job) error
}

// Permissions decides what a principal may do.
type Permissions interface {
	Can(ctx context.Context, p faas.Principal, action auth.Action, r auth.Resource) error
}

// Bodies reads request bodies within bounds; httpkit.Mux does.
type Bodies interface {
	ReadBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, done func(), err error)
}

// Config is what New needs. All of it is required.
type Config struct {
	Routes        Routes
	Hooks         Hooks
	Invoker       Invoker
	Sink          Sink
	Authenticator httpkit.Authenticator
	Permissions   Permissions
	Bodies        Bodies
	Log           *slog.Logger
	// ServesHTTP tells of a runtime whose functions are web servers.
	ServesHTTP func(runtime string) bool
	// Prefix stands before every path, without a "/" at its end; "" on a listener of its own.
	Prefix string
}

// Bounds of the body of a request: for a function of events, and for one that serves HTTP (FunctionGraph reference, section 3.3).
const (
	maxBody    = 4 << 20
	maxWebBody = 6 << 20
)

const (
	headerRequestID = "X-Request-Id"
	headerAppCode   = "X-Apig-Appcode"
)

type gateway struct {
	Config
	direct  *connections    // to functions that serve HTTP
	proxied *http.Transport // likewise, for what is not plain
	buffers buffers
	debug   *log.Logger // of connections that break off
}

// New makes the handler of the data plane.
func New(cfg Config) http.Handler {
	return &gateway{Config: cfg, direct: newConnections(), proxied: newProxied(), debug: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug)}
}

// exchange is one request on its way.
type exchange struct {
	id     string
	route  *faas.Route
	key    faas.FunctionKey // of the route, with the version that its alias has led to
	params map[string]string
	path   string // escaped, without the prefix
	web    bool   // the function takes the request as it is
	body   []byte
}

// ServeHTTP answers a request of the data plane.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{id: uuid.NewString()}
	g.stamp(w.Header(), x.id)
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), g.Prefix)
	if x.path = path; path == "" {
		x.path = "/"
	}
	switch {
	case !ok:
		g.fail(w, r, x.id, errNoRoute)
	case strings.HasPrefix(path, hookPath):
		g.hook(w, r, x)
	default:
		if err := g.serve(w, r, x); err != nil {
			g.fail(w, r, x.id, err)
		}
	}
}

// stamp lays in the headers that every answer has, whoever gives it.
func (g *gateway) stamp(h http.Header, id string) {
	h[headerRequestID] = []string{id}
	if g.Prefix != "" {
		// What functions answer shares its origin with the API here. A page of theirs must not act there as who looks at it.
		h["Content-Security-Policy"] = []string{"sandbox allow-scripts allow-forms allow-popups allow-downloads"}
	}
}

// serve does everything but failing.
func (g *gateway) serve(w http.ResponseWriter, r *http.Request, x *exchange) error {
	var ok bool
	if x.route, x.params, ok = g.Routes.Find(hostOf(r), r.Method, x.path); !ok {
		return errNoRoute
	}
	x.key = x.route.Key
	x.web = g.servesHTTP(r, x)
	read, done := g.bodyOf(w, r, x)
	defer func() { done() }()
	if err := g.admit(r, x, read); err != nil {
		return err
	}
	if _, err := read(); err != nil {
		return err
	}
	if x.web {
		return g.pass(w, r, x)
	}
	return g.call(w, r, x)
}

// bodyOf reads a body when it is first asked for.
func (g *gateway) bodyOf(w http.ResponseWriter, r *http.Request, x *exchange) (read func() ([]byte, error), done func()) {
	release, asked, limit := func() {}, false, int64(maxBody)
	if x.web {
		limit = maxWebBody
	}
	read = func() (_ []byte, err error) {
		if !asked {
			asked = true
			x.body, release, err = g.Bodies.ReadBody(w, r, limit)
		}
		return x.body, err
	}
	return read, func() { release() }
}

// admit holds a request to its route's auth. What proves an identity is taken away, as a function must not see it.
func (g *gateway) admit(r *http.Request, x *exchange, read func() ([]byte, error)) error {
	switch x.route.Auth {
	case faas.AuthNone:
		return nil
	case faas.AuthApp:
		code := r.Header.Get(headerAppCode)
		r.Header.Del(headerAppCode)
		if code == "" || subtle.ConstantTimeCompare([]byte(code), []byte(x.route.AppCode)) != 1 {
			return faas.Errorf(faas.CodeUnauthenticated, "app", "Incorrect app authentication information: the header X-Apig-AppCode does not hold the route's code")
		}
		return nil
	}
	p, err := g.Authenticator.Authenticate(r, read)
	if err == nil {
		err = g.Permissions.Can(r.Context(), p, auth.ActionInvoke, auth.Resource{ProjectID: x.route.Key.Project})
	}
	r.Header.Del("X-Auth-Token")
	r.Header.Del("Authorization")
	return err
}

// hostOf gives the host name that a request asks for, without the port.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// call runs the function and answers with what it says.
func (g *gateway) call(w http.ResponseWriter, r *http.Request, x *exchange) error {
	event, err := eventOf(r, x)
	if err != nil {
		return err
	}
	route := x.route
	if route.Async {
		bound, err := g.Invoker.Bound(r.Context(), invoke.Request{Key: x.key, Alias: route.Alias, Asked: (*httpkit.Asked)(r)})
		if err != nil {
			return err
		}
		if bound != "" {
			x.key.Version = bound
		}
		job := faas.Job{ID: x.id, Key: x.key, Alias: route.Alias, Source: faas.SourceAPIG, Event: event}
		if err := g.Sink.Enqueue(r.Context(), job); err != nil {
			return err
		}
		return httpkit.WriteJSON(w, http.StatusAccepted, map[string]string{"request_id": x.id})
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), route.Timeout, errTimeout)
	defer cancel()
	result, err := g.Invoker.Invoke(ctx, invoke.Request{
		Key: x.key, Alias: route.Alias, Asked: (*httpkit.Asked)(r),
		Call: faas.Invocation{ID: x.id, Source: faas.SourceAPIG, Event: event, Alias: route.Alias},
	})
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errTimeout):
		return errTimeout
	case err != nil:
		return err
	case result.Failure != nil:
		return faas.Errorf(result.Failure.Code, "function", "the function failed")
	}
	return answer(w, result.Output)
}
