package app

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/gateway"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/trigger"
	"github.com/hanshu-faas/hanshu/internal/trigger/all"
)

var (
	_ control.TriggerStore = (*store.DB)(nil)
	_ trigger.Store        = (*store.DB)(nil)
	_ control.TriggerKinds = (*trigger.Catalogue)(nil)
)

// gatewayPrefix stands before every route of the data plane where it shares the API's listener.
const gatewayPrefix = "/gateway"

// triggers are the parts that act on triggers.
type triggers struct {
	all.Kinds
	use    *control.Triggers
	engine *trigger.Engine
	sink   *flowSink
}

func (s *Server) newTriggers(db *store.DB, sealer *auth.Sealer, sink *flowSink, counters *metrics.Set) (*triggers, error) {
	at, err := s.gatewayURL()
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(s.cfg.TimerZone)
	if err != nil {
		return nil, err
	}
	t := &triggers{sink: sink}
	t.Kinds = all.New(all.Config{
		Sink: sink, Marks: db, Region: s.cfg.Region, Gateway: at, Zone: zone, Missed: s.cfg.TimerMissed, Log: s.log, Metrics: counters,
	})
	secrets := func(one *faas.Trigger) (map[string]string, error) { return control.TriggerSecrets(sealer, one) }
	t.engine = trigger.NewEngine(trigger.EngineConfig{Store: db, Catalogue: t.Catalogue, Secrets: secrets, Log: s.log})
	t.use = control.NewTriggers(control.TriggersConfig{Store: db, Functions: db, Kinds: t.Catalogue, Sealer: sealer, Changes: t.engine})
	return t, nil
}

// publicURL is where others find the API.
func (s *Server) publicURL() string {
	return cmp.Or(strings.TrimRight(s.cfg.PublicURL, "/"), s.admin.Endpoint)
}

// gatewayURL is where clients find the data plane.
func (s *Server) gatewayURL() (*url.URL, error) {
	if s.cfg.GatewayURL != "" {
		return url.Parse(strings.TrimSuffix(s.cfg.GatewayURL, "/"))
	}
	at, err := url.Parse(s.publicURL())
	if err != nil {
		return nil, err
	}
	if s.gateway == nil {
		at.Path = gatewayPrefix
		return at, nil
	}
	at.Scheme = "http" // whatever stands before the API does not stand before this listener
	host, port, err := net.SplitHostPort(s.gateway.Addr().String())
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		host = at.Hostname()
	}
	at.Host = net.JoinHostPort(cmp.Or(host, at.Hostname()), port)
	return at, nil
}

// newGateway makes the data plane, and the handler of the API's listener, which leads there where the data plane has no listener
// of its own.
func (s *Server) newGateway(t *triggers, invoker *invoke.Invoker, identities *auth.Auth, known runtimes) (front, own http.Handler) {
	cfg := gateway.Config{
		Routes: t.Routes, Hooks: t.Catalogue, Invoker: flowGateway{invoker, t.sink}, Sink: t.sink, Authenticator: identities, Permissions: identities,
		Bodies: s.mux, Log: s.log, ServesHTTP: known.servesHTTP,
	}
	if s.gateway != nil {
		return s.mux, gateway.New(cfg)
	}
	cfg.Prefix = gatewayPrefix
	return besides(s.mux, gatewayPrefix, gateway.New(cfg)), nil
}

// besides hands the paths below a prefix to another handler.
func besides(m *httpkit.Mux, prefix string, other http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), prefix); ok && (rest == "" || rest[0] == '/') {
			other.ServeHTTP(w, r)
			return
		}
		m.ServeHTTP(w, r)
	})
}
