package edge

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// KeyID names a signing key: the beginning of the SHA-256 of its public half.
func KeyID(key ed25519.PrivateKey) string {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return ""
	}
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// The health gate of a new generation, and what a cached route keeps (edge reference 1.4).
const (
	healthWindow = 30 * time.Second
	healthMost   = 3
	cacheCount   = 1000
	cacheAge     = time.Hour
	cacheBytes   = 16 << 20
)

// look has the desired state of a gateway looked at soon.
func (s *Service) look(id wire.ID, w want) {
	s.mu.Lock()
	old := s.dirty[id]
	s.dirty[id] = want{above: max(old.above, w.above), send: old.send || w.send}
	s.mu.Unlock()
	signal(s.wakeSync)
}

// GatewayChanged is of control.GatewayChanges. Gateways without a session are looked at when they come.
func (s *Service) GatewayChanged(id faas.GatewayID) {
	if id.SN != "" {
		if s.Online(id) {
			s.look(wireID(id), want{})
		}
		return
	}
	s.mu.Lock()
	for one := range s.sessions {
		if one.Product == id.Product {
			if _, known := s.dirty[one]; !known {
				s.dirty[one] = want{}
			}
		}
	}
	s.mu.Unlock()
	signal(s.wakeSync)
}

// FunctionChanged is of control.Changes.
func (s *Service) FunctionChanged(key faas.FunctionKey) {
	key.Version = ""
	s.mu.Lock()
	s.touched[key] = struct{}{}
	s.mu.Unlock()
	signal(s.wakeSync)
}

func (s *Service) syncLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wakeSync:
		}
		for s.syncSome(ctx) {
		}
	}
}

// syncSome brings some gateways up to date, and tells whether there may be more. What failed is tried again.
func (s *Service) syncSome(ctx context.Context) bool {
	s.mu.Lock()
	touched := s.touched
	s.touched = map[faas.FunctionKey]struct{}{}
	s.mu.Unlock()
	err := s.findTouched(ctx, touched)
	batch := map[wire.ID]want{}
	s.mu.Lock()
	if err != nil {
		maps.Copy(s.touched, touched)
	}
	for id, w := range s.dirty {
		if len(batch) == batchSync {
			break
		}
		batch[id] = w
		delete(s.dirty, id)
	}
	s.mu.Unlock()
	if len(batch) > 0 {
		err = errors.Join(err, s.sync(ctx, batch))
	}
	if err != nil {
		if ctx.Err() != nil {
			return false
		}
		s.cfg.Log.Warn("bring gateways up to date; it is tried again", "err", err)
		for id, w := range batch {
			s.look(id, w)
		}
		return rest(ctx, time.Second)
	}
	return len(batch) > 0
}

func (s *Service) findTouched(ctx context.Context, touched map[faas.FunctionKey]struct{}) error {
	for key := range touched {
		bindings, err := s.cfg.Store.GatewayBindings(ctx, faas.BindingFilter{Project: key.Project, Package: key.Package, Name: key.Name})
		if err != nil {
			return err
		}
		for _, b := range bindings {
			s.GatewayChanged(b.GatewayID)
		}
	}
	return nil
}

// sync compiles the documents of gateways, gives those that changed a version, and sends what their gateways lack.
func (s *Service) sync(ctx context.Context, batch map[wire.ID]want) error {
	var all []faas.Desired
	var made []*compiled
	for id, w := range batch {
		c, err := s.compile(ctx, faasID(id))
		if faas.CodeOf(err) == faas.CodeNotFound {
			continue // it went meanwhile
		}
		if err != nil {
			return fmt.Errorf("gateway %s: %w", id.ClientID(), err)
		}
		made = append(made, c)
		all = append(all, faas.Desired{GatewayID: faasID(id), Hash: c.hash, Above: w.above})
	}
	versions, err := s.cfg.Store.SetDesired(ctx, all, s.cfg.Now())
	if err != nil {
		return err
	}
	for i, c := range made {
		id := wireID(all[i].GatewayID)
		if v := versions[i]; v.Version != 0 && s.lacks(id, v.Version, batch[id].send) {
			if err := s.send(id, c, v); err != nil {
				s.cfg.Log.Warn("send a desired document; the gateway's next report brings it back to mind", "gateway", id.ClientID(), "err", err)
			}
		}
	}
	return nil
}

// lacks tells whether a version is to be sent: to a gateway that is here and has an older one, or that asked for it.
func (s *Service) lacks(id wire.ID, version uint64, asked bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, here := s.sessions[id]
	return here && (asked || s.have[id] < version)
}

func (s *Service) send(id wire.ID, c *compiled, v faas.DesiredVersion) error {
	e, err := s.envelope(c, v)
	if err != nil {
		return err
	}
	data, err := wire.Encode(e)
	if err != nil {
		return err
	}
	s.sent.Inc()
	if err := s.broker.Publish(id.Topic(wire.Desired), data); err != nil {
		return err
	}
	s.mu.Lock()
	if _, here := s.sessions[id]; here {
		s.have[id] = v.Version // until it says otherwise, which brings back what was lost on the way
	}
	s.mu.Unlock()
	return nil
}

func (s *Service) envelope(c *compiled, v faas.DesiredVersion) (wire.Envelope, error) {
	d := c.document
	d.Version, d.IssuedAt = v.Version, v.IssuedAt.UnixMilli()
	e, err := wire.Seal(d, s.keyID, s.cfg.Key)
	if err != nil {
		return e, err
	}
	e.URLs = map[string]string{}
	for digest, f := range c.packages {
		if e.URLs[digest], err = s.cfg.URL(f); err != nil {
			return e, err
		}
	}
	if r := c.release; r != nil {
		for _, p := range r.Programs {
			if e.URLs[p.SHA256], err = s.cfg.ProgramURL(r.Version, p); err != nil {
				return e, err
			}
		}
	}
	return e, nil
}

// compiled is a document without version and time.
type compiled struct {
	document wire.Document
	hash     string
	packages map[string]*faas.Function // by digest
	release  *faas.Release             // the agent's; nil for none
}

func (s *Service) compile(ctx context.Context, id faas.GatewayID) (*compiled, error) {
	one, err := s.cfg.Store.Gateway(ctx, id)
	if err != nil {
		return nil, err
	}
	functions, routes, err := s.cfg.Source.Wanted(ctx, &one)
	if err != nil {
		return nil, err
	}
	c := &compiled{packages: map[string]*faas.Function{}, document: wire.Document{
		Product: id.Product, Gateway: id.SN, Functions: []wire.Function{}, Routes: []wire.Route{},
		Health: wire.Health{Window: healthWindow.Milliseconds(), Failures: healthMost},
	}}
	for _, w := range functions {
		c.document.Functions = append(c.document.Functions, s.functionOf(w))
		c.packages[w.SHA256] = w.Function
	}
	slices.SortFunc(c.document.Functions, func(a, b wire.Function) int { return cmp.Compare(a.Name, b.Name) })
	for i, r := range routes {
		if !r.Disabled {
			c.document.Routes = append(c.document.Routes, routeOf(i, r))
		}
	}
	if c.release, err = s.cfg.Source.ReleaseOn(ctx, &one); err != nil {
		return nil, err
	}
	c.document.Agent = agentOf(c.release)
	c.hash, err = c.document.Hash()
	return c, err
}

// agentOf names the program of each processor: a gateway may have said nothing of its own yet.
func agentOf(r *faas.Release) *wire.Release {
	if r == nil {
		return nil
	}
	out := &wire.Release{Version: r.Version, Digests: map[string]string{}}
	for _, p := range r.Programs {
		out.Digests[p.Arch] = p.SHA256
	}
	return out
}

func (s *Service) functionOf(w Wanted) wire.Function {
	f := w.Function
	out := wire.Function{
		ID: f.Number, Project: f.Project, Package: f.Package, Name: f.Name, Version: f.Version, Runtime: f.Spec.Runtime, Handler: f.Spec.Handler,
		Contract: f.Spec.Contract, Code: wire.Code{Digest: w.SHA256, Size: f.Code.Size, Format: wire.FormatZip},
		InitHandler: f.Spec.InitHandler, Timeout: f.Spec.Timeout.Milliseconds(), MemoryMB: f.Spec.MemoryMB, RequestsPer: f.Spec.RequestsPer,
		Env: w.Variables, Config: json.RawMessage(w.Setting.Config), Cron: w.Setting.Cron, CronEnable: w.Setting.CronEnable,
	}
	if f.Code.Source {
		out.Code.Format, out.Code.Filename = wire.FormatSource, f.Code.Filename
	}
	if f.Spec.InitHandler != "" {
		out.InitTimeout = f.Spec.InitTimeout.Milliseconds()
	}
	if w.Setting.CronEnable {
		out.TimeZone = s.cfg.Zone
	}
	return out
}

func routeOf(order int, r faas.MessageRoute) wire.Route {
	out := wire.Route{ID: r.ID, From: r.From, FromID: r.FromID, Filter: r.Topic, To: r.To, Order: order}
	switch {
	case r.To == faas.RouteFunction:
		out.Function = r.ToID
	case r.To == faas.RouteApp:
		out.App = r.ToID
	case r.Cached:
		out.Cache = &wire.Cache{Messages: cacheCount, Bytes: cacheBytes, Age: cacheAge.Milliseconds()}
	}
	return out
}

// Desired gives the signed document that a gateway shall have now, without addresses of packages, and the function that each package
// is of, by digest: what a bundle is made from. Error: CodeNotFound, field "gateway".
func (s *Service) Desired(ctx context.Context, id faas.GatewayID) (wire.Envelope, map[string]*faas.Function, uint64, error) {
	c, err := s.compile(ctx, id)
	if err != nil {
		return wire.Envelope{}, nil, 0, err
	}
	versions, err := s.cfg.Store.SetDesired(ctx, []faas.Desired{{GatewayID: id, Hash: c.hash}}, s.cfg.Now())
	if err != nil {
		return wire.Envelope{}, nil, 0, err
	}
	e, err := s.envelope(c, versions[0])
	e.URLs = nil
	return e, c.packages, versions[0].Version, err
}

// Refresh gives the version of the document that a gateway shall have now, and sends it to one that is online and lacks it.
func (s *Service) Refresh(ctx context.Context, id faas.GatewayID) (uint64, error) {
	_, _, version, err := s.Desired(ctx, id)
	if err == nil && s.Online(id) {
		s.look(wireID(id), want{})
	}
	return version, err
}

// Push sends a gateway its document whatever it has, and tells the version. Errors: CodeNotFound, field "gateway"; CodeUnavailable,
// field "gateway", while it is offline.
func (s *Service) Push(ctx context.Context, id faas.GatewayID) (uint64, error) {
	_, _, version, err := s.Desired(ctx, id)
	if err != nil {
		return 0, err
	}
	if !s.Online(id) {
		return version, s.away(ctx, id)
	}
	s.look(wireID(id), want{send: true})
	return version, nil
}

// away says why a gateway that has no session here cannot be reached.
func (s *Service) away(ctx context.Context, id faas.GatewayID) error {
	if one, err := s.cfg.Store.Gateway(ctx, id); !s.cfg.Alone && err == nil && one.Online {
		return faas.Errorf(faas.CodeUnavailable, "gateway", "gateway %q is connected to another server of this database; ask that one", id.SN)
	}
	return faas.Errorf(faas.CodeUnavailable, "gateway", "gateway %q is offline; what is bound to it reaches it when it comes back", id.SN)
}
