package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

const copyBuffer = 32 << 10

// servesHTTP tells whether the version that a request comes to is a web server that takes requests as they are. Later calls are events
// for it too. The call goes to that version: the two of an alias need not be alike.
func (g *gateway) servesHTTP(r *http.Request, x *exchange) bool {
	if x.route.Async {
		return false
	}
	f, err := g.Invoker.Choose(r.Context(), invoke.Request{Key: x.key, Alias: x.route.Alias, Asked: (*httpkit.Asked)(r)})
	if err != nil {
		return false
	}
	x.key.Version = f.Version
	return g.ServesHTTP(f.Spec.Runtime)
}

// visit is a request on its way to a function that serves HTTP.
type visit struct {
	g       *gateway
	x       *exchange
	w       http.ResponseWriter
	r       *http.Request
	gone    context.CancelCauseFunc
	late    *time.Timer // ends the wait for an answer
	begun   bool        // the answer has begun, so that nothing else can be answered
	failure error
}

// pass has the function answer by itself (FunctionGraph reference 5.5). The route's time is that until its answer begins; from
// then on the function's own is what counts, which is the time of a WebSocket too.
func (g *gateway) pass(w http.ResponseWriter, r *http.Request, x *exchange) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	v := &visit{g: g, x: x, w: w, r: r, gone: cancel, late: time.AfterFunc(x.route.Timeout, func() { cancel(errTimeout) })}
	defer v.late.Stop()
	result, err := g.Invoker.Exchange(ctx, invoke.Request{
		Key: x.key, Alias: x.route.Alias, Asked: (*httpkit.Asked)(r), Call: faas.Invocation{ID: x.id, Source: faas.SourceAPIG, Alias: x.route.Alias},
	}, func(b faas.Backend) error { return v.talk(ctx, b) })
	switch {
	case v.begun && v.failure != nil:
		panic(http.ErrAbortHandler) // cuts the connection: half an answer must not look whole
	case v.begun:
		return nil
	case errors.Is(context.Cause(ctx), errTimeout):
		return errTimeout
	case err != nil:
		return err
	case result.Failure != nil:
		return faas.Errorf(result.Failure.Code, "function", "the function failed")
	}
	return v.failure
}

// talk makes the request to an instance. Its error is that of the connection.
func (v *visit) talk(ctx context.Context, b faas.Backend) error {
	if target, ok := plain(v.r, v.g.Prefix, len(v.x.body)); ok {
		v.failure = v.forward(ctx, b, target)
	} else {
		v.failure = v.proxy(ctx, b)
	}
	return v.failure
}

// errBroken is that of an answer that was cut short.
var errBroken = errors.New("the answer broke off")

// begin lets an answer begin. From here on it is the function's own time that counts.
func (v *visit) begin(answer *http.Response) error {
	if !v.late.Stop() {
		return errTimeout
	}
	v.begun = true
	delete(answer.Header, headerRequestID)
	v.g.stamp(v.w.Header(), v.x.id) // anew, as an answer before the answer (1xx) takes it away
	return nil
}

// proxy passes a request on that may be anything: upgrades, bodies that take their time, headers of the connection.
func (v *visit) proxy(ctx context.Context, b faas.Backend) (err error) {
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { v.rewrite(p, b) },
		Transport:      v.g.proxied,
		FlushInterval:  -1,
		BufferPool:     &v.g.buffers,
		ErrorLog:       v.g.debug,
		ErrorHandler:   func(_ http.ResponseWriter, _ *http.Request, failed error) { err = failed },
		ModifyResponse: v.begin,
	}
	defer func() {
		if cut := recover(); cut != nil {
			if cut != http.ErrAbortHandler {
				panic(cut) // somebody else's
			}
			err = errBroken
		}
	}()
	r := v.r.WithContext(context.WithValue(ctx, dialing{}, b))
	r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, int64(len(v.x.body)), nil
	if len(v.x.body) > 0 {
		r.Body = v.body()
		r.GetBody = func() (io.ReadCloser, error) { return v.body(), nil }
	}
	proxy.ServeHTTP(watched{v.w, v.gone}, r)
	return err
}

// dialing is the key of the faas.Backend in the context of a request to it.
type dialing struct{}

// newProxied makes what proxy sends by. The host of a URL is the id of an instance.
func newProxied() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			b, ok := ctx.Value(dialing{}).(faas.Backend)
			if !ok {
				return nil, errors.New("no instance to connect to")
			}
			return b.Dial(ctx)
		},
		MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdlePerHost, IdleConnTimeout: idleTime, MaxResponseHeaderBytes: maxHeader,
		DisableCompression: true, // what the client asked for is between it and the function
	}
}

// body is that of the request. net/http sends it in one piece with the header where it knows the type, as a read of it cannot wait.
func (v *visit) body() io.ReadCloser { return io.NopCloser(bytes.NewReader(v.x.body)) }

// watched is the way to a client that may go away: that is nobody's failure.
type watched struct {
	http.ResponseWriter
	gone context.CancelCauseFunc
}

// Write is of io.Writer.
func (w watched) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	if err != nil {
		w.gone(err)
	}
	return n, err
}

// Unwrap is for http.ResponseController.
func (w watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// rewrite makes the request that the function sees: what the client sent, but for what only the platform may say.
func (v *visit) rewrite(p *httputil.ProxyRequest, b faas.Backend) {
	p.Out.URL.Scheme, p.Out.URL.Host = "http", b.ID()
	p.Out.URL.Path, p.Out.URL.RawPath = strings.TrimPrefix(p.In.URL.Path, v.g.Prefix), strings.TrimPrefix(p.In.URL.RawPath, v.g.Prefix)
	if p.Out.URL.Path == "" {
		p.Out.URL.Path = "/"
	}
	p.Out.Host = p.In.Host
	if p.Out.Body != nil {
		p.Out.Body = v.body() // ReverseProxy has wrapped it, for bodies that outlive it
	}
	for name := range p.Out.Header {
		if reserved(name) {
			delete(p.Out.Header, name)
		}
	}
	v.tell(b, func(name, value string) { p.Out.Header[name] = []string{value} })
}

// reserved tells of a name, in canonical form, under which only the platform speaks. Frameworks that read headers as CGI variables do
// not tell "_" from "-".
func reserved(name string) bool {
	const prefix = "x-cff-"
	if len(name) < len(prefix) || name[0]|0x20 != 'x' {
		return false
	}
	return strings.ToLower(strings.ReplaceAll(name[:len(prefix)], "_", "-")) == prefix
}

// tell says what the platform tells a function beside what the client sent, which it replaces.
func (v *visit) tell(b faas.Backend, say func(name, value string)) {
	from, proto := sourceIP(v.r), "http"
	if v.r.TLS != nil {
		proto = "https"
	}
	say("X-Forwarded-For", from)
	say("X-Forwarded-Host", v.r.Host)
	say("X-Forwarded-Proto", proto)
	say("X-Real-Ip", from)
	say(headerRequestID, v.x.id)
	for name, value := range b.Header() {
		say(name, value)
	}
}

// buffers are those that answers are copied through.
type buffers struct{ pool sync.Pool }

// Get is of httputil.BufferPool.
func (b *buffers) Get() []byte {
	if kept, ok := b.pool.Get().(*[copyBuffer]byte); ok {
		return kept[:]
	}
	return make([]byte, copyBuffer)
}

// Put is of httputil.BufferPool.
func (b *buffers) Put(used []byte) { b.pool.Put((*[copyBuffer]byte)(used)) }
