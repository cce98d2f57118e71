package app

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/api/admin"
	"github.com/hanshu-faas/hanshu/internal/api/uiot"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/blob"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/edge"
	"github.com/hanshu-faas/hanshu/internal/edge/mochi"
	"github.com/hanshu-faas/hanshu/internal/edge/remote"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lifecycle"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/pool"
	"github.com/hanshu-faas/hanshu/internal/store"
)

var (
	_ control.GatewayStore   = (*store.DB)(nil)
	_ control.GatewayChanges = (*edge.Service)(nil)
	_ control.Changes        = (*edge.Service)(nil)
	_ edge.Store             = (*store.DB)(nil)
	_ edge.Identities        = (*control.Gateways)(nil)
	_ uiot.Gateways          = (*edge.Service)(nil)
	_ admin.Gateways         = (*gateways)(nil)
)

// gateways are the parts that have to do with gateways, and the desk at which operators ask for things of them.
type gateways struct {
	server  *Server
	placed  *control.Gateways
	service *edge.Service
	broker  edge.Broker
	links   *uiot.Links
	key     ed25519.PrivateKey
	store   *store.DB
	blobs   *blob.Disk
	ca      string // PEM; "" where the system's authorities do
}

func (s *Server) newGateways(db *store.DB, blobs *blob.Disk, sealer *auth.Sealer, functions *control.Functions, counters *metrics.Set) (*gateways, error) {
	seed, err := sealer.Derive("signatures of desired documents")
	if err != nil {
		return nil, err
	}
	linkKey, err := sealer.Derive("addresses of packages")
	if err != nil {
		return nil, err
	}
	g := &gateways{server: s, links: uiot.NewLinks(linkKey, nil), key: ed25519.NewKeyFromSeed(seed), store: db, blobs: blobs}
	changes := &gatewayChanges{}
	g.placed = control.NewGateways(control.GatewaysConfig{Store: db, Functions: functions, Packages: blobs, Sealer: sealer, Changes: changes})
	g.service, err = edge.New(edge.Config{
		Store: db, Identities: g.placed, Source: g, URL: g.links.Path, ProgramURL: g.links.ProgramPath, Key: g.key, Zone: s.cfg.TimerZone,
		Alone: s.cfg.DB == "" && s.cfg.MQTT.Broker == "", Log: s.log, Metrics: counters,
	})
	if err != nil {
		return nil, err
	}
	changes.to = g.service
	if g.broker, err = g.newBroker(); err != nil {
		return nil, err
	}
	g.service.Use(g.broker)
	return g, nil
}

// gatewayChanges passes on to a part that is made later.
type gatewayChanges struct{ to control.GatewayChanges }

func (c *gatewayChanges) GatewayChanged(id faas.GatewayID) { c.to.GatewayChanged(id) }
func (c *gatewayChanges) GatewayBarred(id faas.GatewayID)  { c.to.GatewayBarred(id) }

func (g *gateways) newBroker() (edge.Broker, error) {
	cfg := g.server.cfg.MQTT
	switch {
	case cfg.Broker != "":
		return remote.New(remote.Config{URL: cfg.Broker, Handler: g.service, Log: g.server.log})
	case g.server.mqtt == nil:
		return edge.Off{}, nil
	}
	on := g.server.mqtt
	if cfg.TLS() {
		settings, ca, err := g.server.mqttTLS()
		if err != nil {
			return nil, err
		}
		g.ca, on = ca, tls.NewListener(on, settings)
	}
	return mochi.New(mochi.Config{Listener: on, Handler: g.service, Log: g.server.log})
}

// services are what is to be started, in order.
func (g *gateways) services() []lifecycle.Named {
	return []lifecycle.Named{{Name: "gateways", Service: g.service}, {Name: "gateways' broker", Service: g.broker}}
}

// Wanted is of edge.Source.
func (g *gateways) Wanted(ctx context.Context, one *faas.Gateway) ([]edge.Wanted, []faas.MessageRoute, error) {
	placed, err := g.placed.OnGateway(ctx, one)
	if err != nil {
		return nil, nil, err
	}
	var all []edge.Wanted
	for _, p := range placed {
		if !control.Portable(p.Function) {
			continue // it became so after it was bound
		}
		w := edge.Wanted{Function: p.Function}
		if p.Setting != nil {
			w.Setting = *p.Setting
		}
		w.Setting.Config = p.ConfigOf()
		sums, err := g.placed.Sums(ctx, p.Function)
		if err != nil {
			return nil, nil, err
		}
		w.SHA256 = sums.SHA256
		if w.Variables, err = g.placed.Variables(p.Function); err != nil {
			return nil, nil, err
		}
		all = append(all, w)
	}
	routes, err := g.placed.RoutesOn(ctx, one)
	return all, routes, err
}

// ReleaseOn is of edge.Source.
func (g *gateways) ReleaseOn(ctx context.Context, one *faas.Gateway) (*faas.Release, error) {
	return g.placed.ReleaseOn(ctx, one)
}

// placedRunner hands calls that name a gateway to it, and all others to the pool.
type placedRunner struct {
	*pool.Pool
	gateways *gateways
}

// Run is of invoke.Runner.
func (r placedRunner) Run(ctx context.Context, f *faas.Function, call faas.Invocation) (*faas.Result, error) {
	if call.Gateway == (faas.GatewayID{}) {
		return r.Pool.Run(ctx, f, call)
	}
	one, err := r.gateways.placed.Gateway(ctx, f.Project, call.Gateway)
	if err != nil {
		return nil, err
	}
	return r.gateways.service.Run(ctx, one.GatewayID, f, call)
}

// Exchange is of invoke.Runner.
func (r placedRunner) Exchange(ctx context.Context, f *faas.Function, call faas.Invocation, talk func(faas.Backend) error) (*faas.Result, error) {
	if call.Gateway != (faas.GatewayID{}) {
		return nil, faas.Errorf(faas.CodeUnsupported, "gateway", "a gateway takes events, and no HTTP requests")
	}
	return r.Pool.Exchange(ctx, f, call, talk)
}

// newestPython names the runtime of functions that ask for Python 3 alone.
func newestPython(catalogue *lang.Catalogue) func() string {
	return func() string {
		name := ""
		for _, i := range catalogue.List() {
			if strings.HasPrefix(i.Name, "Python3") && (i.Status == lang.StatusExact || name == "" && i.Status == lang.StatusServed) {
				name = i.Name
			}
		}
		return cmp.Or(name, "Python3.9") // refused, with what to install
	}
}

// brokerURL is where gateways find the broker. Error: CodeUnsupported, field "mqtt".
func (g *gateways) brokerURL() (string, error) {
	cfg := g.server.cfg.MQTT
	switch {
	case cfg.URL != "":
		return cfg.URL, nil
	case cfg.Broker != "":
		u, err := url.Parse(cfg.Broker)
		if err != nil {
			return "", err
		}
		u.User = nil
		return u.String(), nil
	case g.server.mqtt == nil:
		return "", faas.Errorf(faas.CodeUnsupported, "mqtt", "the server takes no gateways; start it with --mqtt-listen or --mqtt-broker")
	}
	host, port, err := net.SplitHostPort(g.server.mqtt.Addr().String())
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		at, err := url.Parse(g.server.publicURL())
		if err != nil {
			return "", err
		}
		host = at.Hostname()
	}
	scheme := "mqtt"
	if cfg.TLS() {
		scheme = "mqtts"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// gatewayDataDir is where an agent keeps its data if nobody says otherwise.
const gatewayDataDir = "/var/lib/hanshu-edge"

// Accepts is of admin.Gateways.
func (g *gateways) Accepts() error {
	_, err := g.brokerURL()
	return err
}

// Enroll is of admin.Gateways.
func (g *gateways) Enroll(ctx context.Context, one *faas.Gateway) ([]byte, error) {
	broker, err := g.brokerURL()
	if err != nil {
		return nil, err
	}
	secret, err := g.placed.Secret(one)
	if err != nil {
		return nil, err
	}
	public, ok := g.key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("the signing key has no public half")
	}
	e := wire.Enrollment{
		BrokerURL: broker, HTTPURL: g.server.publicURL(), ProductSN: one.Product, GatewaySN: one.SN, DeviceSecret: secret, CAPEM: g.ca,
		SigningKeys: []wire.SigningKey{{ID: edge.KeyID(g.key), Public: public}}, DataDir: gatewayDataDir,
	}
	if err := e.Check(); err != nil {
		return nil, err
	}
	return json.MarshalIndent(e, "", "  ")
}

// Push is of admin.Gateways.
func (g *gateways) Push(ctx context.Context, id faas.GatewayID) (uint64, error) {
	return g.service.Push(ctx, id)
}

// commandPatience is how long an operator waits for a gateway.
const commandPatience = 30 * time.Second

// Logs is of admin.Gateways.
func (g *gateways) Logs(ctx context.Context, id faas.GatewayID, function string, lines int) (string, error) {
	return g.ask(ctx, id, wire.KindLogs, wire.LogsBody{Function: function, Lines: lines})
}

// Diagnose is of admin.Gateways.
func (g *gateways) Diagnose(ctx context.Context, id faas.GatewayID) (string, error) {
	return g.ask(ctx, id, wire.KindDiagnose, struct{}{})
}

// RetryRelease is of admin.Gateways.
func (g *gateways) RetryRelease(ctx context.Context, id faas.GatewayID) error {
	_, err := g.ask(ctx, id, wire.KindRetryRelease, struct{}{})
	return err
}

func (g *gateways) ask(ctx context.Context, id faas.GatewayID, kind string, body any) (string, error) {
	c, err := g.service.Command(ctx, id, kind, body, commandPatience)
	if err != nil {
		return "", err
	}
	if !c.OK {
		code := c.Code
		if code == faas.CodeInternal {
			code = faas.CodeUnavailable
		}
		return "", faas.Errorf(code, "gateway", "gateway %q: %s", id.SN, c.Message)
	}
	var text wire.TextResult
	if err := json.Unmarshal(c.Result, &text); err != nil {
		return "", faas.Errorf(faas.CodeResult, "gateway", "the answer of gateway %q is not what it should be", id.SN)
	}
	return text.Text, nil
}

// Messages is of admin.Gateways.
func (g *gateways) Messages(ctx context.Context, id faas.GatewayID, limit int) ([]faas.GatewayMessage, error) {
	return g.store.GatewayMessages(ctx, id, limit)
}

// Bundle is of admin.Gateways.
func (g *gateways) Bundle(ctx context.Context, id faas.GatewayID) (func(io.Writer) error, error) {
	e, packages, version, err := g.service.Desired(ctx, id)
	if err != nil {
		return nil, err
	}
	document, err := wire.Canonical(e)
	if err != nil {
		return nil, err
	}
	digests := make([]string, 0, len(packages))
	for digest := range packages {
		digests = append(digests, digest)
	}
	slices.Sort(digests)
	return func(w io.Writer) error {
		out := tar.NewWriter(w)
		head := func(name string, size int64) error {
			return out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, Format: tar.FormatUSTAR})
		}
		if err := head(wire.BundleDocument, int64(len(document))); err != nil {
			return err
		}
		if _, err := out.Write(document); err != nil {
			return err
		}
		for _, digest := range digests {
			if err := head(wire.BundleCode+digest, packages[digest].Code.Size); err != nil {
				return err
			}
			if err := g.copyPackage(ctx, out, packages[digest]); err != nil {
				return fmt.Errorf("bundle of gateway %s, version %d: %w", id.SN, version, err)
			}
		}
		return out.Close()
	}, nil
}

func (g *gateways) copyPackage(ctx context.Context, w io.Writer, f *faas.Function) error {
	r, err := g.blobs.Open(ctx, f.Code.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// Accounts is of admin.Gateways.
func (g *gateways) Accounts(ctx context.Context, project string) (passwords, acl string, err error) {
	u, err := url.Parse(g.server.cfg.MQTT.Broker)
	if err != nil || g.server.cfg.MQTT.Broker == "" {
		return "", "", faas.Errorf(faas.CodeUnsupported, "mqtt", "accounts are for a broker outside the server, and there is none: see --mqtt-broker")
	}
	all, _, err := g.placed.Gateways(ctx, faas.GatewayFilter{Project: project})
	if err != nil {
		return "", "", err
	}
	var accounts []remote.Account
	for i := range all {
		if all[i].Disabled {
			continue
		}
		secret, err := g.placed.Secret(&all[i])
		if err != nil {
			return "", "", err
		}
		accounts = append(accounts, remote.Account{ID: wire.ID{Product: all[i].Product, Gateway: all[i].SN}, Secret: secret})
	}
	password, _ := u.User.Password()
	return remote.Mosquitto(remote.Cloud{User: u.User.Username(), Password: password}, accounts)
}

// edgeNotFound answers what no route takes, for paths of the dialect of gateways.
func edgeNotFound(w http.ResponseWriter, r *http.Request, status int) bool {
	for _, prefix := range uiot.Prefixes() {
		if strings.HasPrefix(r.URL.Path, prefix) {
			uiot.NotFound(w, r, status)
			return true
		}
	}
	return false
}
