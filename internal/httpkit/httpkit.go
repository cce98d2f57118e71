// Package httpkit is what every face does alike: route table, body bounds, request ids, the authentication middleware,
// JSON in and out.
//
// It must not know any dialect's words, nor what a function is.
package httpkit

import (
	"context"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Handler answers a request, or returns an error for the face to write. It returns an error only when it has written
// nothing.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Route is one operation of a face.
type Route struct {
	Method    string
	Path      string // ServeMux pattern path, e.g. /v2/{project_id}/fgs/functions/{function_urn}/config
	Operation string // the dialect's name of it, e.g. "ShowFunctionConfig"
	// Action is what the caller must have the right to do; "" for ActionRead with GET and HEAD, and else ActionWrite. Every route
	// and its action is listed in test/archtest.
	Action  faas.Action
	Open    bool   // no credentials needed; every such route is listed by name in test/archtest
	MaxBody int64  // bytes; 0 means DefaultMaxBody
	Note    string // what the operation does here, where that differs from what the dialect documents; for the docs
	Handle  Handler
}

// DefaultMaxBody bounds the body of a route that names no bound: 1 MiB.
const DefaultMaxBody = 1 << 20

// Face is a dialect as a list of routes and one way to write errors.
type Face struct {
	Name   string
	Routes []Route
	// Asks tells of a face in which handlers find out the project and ask whether the caller may work there, where none stands in the
	// path.
	Asks bool
	// WriteError answers a failed request in the dialect's words. err is a *faas.Error, or a fault of ours whose text must not
	// be shown.
	WriteError func(w http.ResponseWriter, r *http.Request, err error)
}

// Authenticator proves who makes a request. body reads the whole body, and its error is passed on; an Authenticator asks
// for it only when the proof covers the body and all else of it holds, so that strangers cannot fill the memory.
// Error: CodeUnauthenticated.
type Authenticator interface {
	Authenticate(r *http.Request, body func() ([]byte, error)) (faas.Principal, error)
}

type contextKey struct{}

// exchange is what the mux knows of one request, kept behind one context key so that a warm call pays for one look-up and
// one allocation.
type exchange struct {
	context.Context
	principal faas.Principal
	id        string
	body      []byte
	concerns  string    // for the audit log
	failure   faas.Code // why the request was not granted
}

func (e *exchange) Value(key any) any {
	if key == (contextKey{}) {
		return e
	}
	return e.Context.Value(key)
}

func exchangeOf(ctx context.Context) *exchange {
	if e, ok := ctx.Value(contextKey{}).(*exchange); ok {
		return e
	}
	return &exchange{}
}

// PrincipalOf gives who makes the request; the zero Principal on an Open route.
func PrincipalOf(ctx context.Context) faas.Principal { return exchangeOf(ctx).principal }

// RequestIDOf gives the request's id, a UUID that also stands in the answer's X-Request-Id.
func RequestIDOf(ctx context.Context) string { return exchangeOf(ctx).id }

// BodyOf gives the whole body, read and bounded before the handler ran. It must not be changed.
func BodyOf(ctx context.Context) []byte { return exchangeOf(ctx).body }
