package control

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// AsyncStore keeps how asynchronous calls are made. The store of the server documents each method.
type AsyncStore interface {
	SetAsyncConfig(ctx context.Context, c faas.AsyncConfig, allow func([]faas.Edge) error) (faas.AsyncConfig, error)
	AsyncConfigs(ctx context.Context, key faas.FunctionKey) ([]faas.AsyncConfig, error)
	DeleteAsyncConfig(ctx context.Context, key faas.FunctionKey, alias string) error
	AsyncSettings(ctx context.Context, project string) (faas.AsyncSettings, error)
	UpdateAsyncSettings(ctx context.Context, project string, change func(*faas.AsyncSettings) error) error
}

// Buckets tells whether records can be put into a bucket. Error: CodeInvalid or CodeUnsupported.
type Buckets interface {
	CheckBucket(name string) error
}

// AsyncConfigsConfig is what AsyncConfigs needs. All of it is required but Now.
type AsyncConfigsConfig struct {
	Store     AsyncStore
	Functions *Functions
	Buckets   Buckets
	Sealer    Sealer
	Now       func() time.Time // nil means time.Now
}

// AsyncConfigs are the use cases on how the asynchronous calls of functions are made: retries, age, and where their
// records go. A config is for the calls through one version or alias, and for no other.
type AsyncConfigs struct {
	cfg AsyncConfigsConfig

	mu     sync.Mutex
	cached map[faas.FunctionKey]cachedPolicy // Version holds the qualifier
}

// cachedPolicy is a policy as it was read a moment ago.
type cachedPolicy struct {
	config faas.AsyncConfig
	at     time.Time
}

const (
	policyHolds = time.Second // after which a change made by another node is seen
	maxPolicies = 10_000
)

// NewAsyncConfigs makes the use cases.
func NewAsyncConfigs(cfg AsyncConfigsConfig) *AsyncConfigs {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &AsyncConfigs{cfg: cfg, cached: map[faas.FunctionKey]cachedPolicy{}}
}

// NewAsyncConfig is what an owner sets. nil means the default.
type NewAsyncConfig struct {
	MaxAgeSec *int
	Retries   *int
	OnSuccess *faas.Destination
	OnFailure *faas.Destination
	StatusLog bool
}

// Set stores the config for the version or alias that a URN names, in place of the one before. Errors: CodeInvalid with the
// field; CodeUnsupported, field "destination_config", for a destination that this server cannot reach; CodeNotFound.
func (s *AsyncConfigs) Set(ctx context.Context, project string, urn faas.URN, n NewAsyncConfig) (faas.AsyncConfig, error) {
	c, err := s.target(ctx, project, urn)
	if err != nil {
		return c, err
	}
	if n.MaxAgeSec != nil {
		if most := int(faas.MaxAsyncAge / time.Second); *n.MaxAgeSec < 1 || *n.MaxAgeSec > most {
			return c, faas.Errorf(faas.CodeInvalid, "max_async_event_age_in_seconds", "max_async_event_age_in_seconds %d must be 1 to %d", *n.MaxAgeSec, most)
		}
		c.MaxAge = time.Duration(*n.MaxAgeSec) * time.Second
	}
	if n.Retries != nil {
		if *n.Retries < 0 || *n.Retries > faas.MaxAsyncRetries {
			return c, faas.Errorf(faas.CodeInvalid, "max_async_retry_attempts", "max_async_retry_attempts %d must be 0 to %d", *n.Retries, faas.MaxAsyncRetries)
		}
		c.Retries = *n.Retries
	}
	c.OnSuccess, c.OnFailure, c.StatusLog = n.OnSuccess, n.OnFailure, n.StatusLog
	for _, d := range []*faas.Destination{c.OnSuccess, c.OnFailure} {
		if err := s.check(ctx, project, d); err != nil {
			return c, err
		}
	}
	c.CreatedAt = s.cfg.Now().UTC().Truncate(time.Second)
	c.ChangedAt = c.CreatedAt
	c, err = s.cfg.Store.SetAsyncConfig(ctx, c, func(edges []faas.Edge) error { return noRing(c.Key, edges) })
	s.forget()
	return c, err
}

// target gives the default config for what a URN names, which must exist.
func (s *AsyncConfigs) target(ctx context.Context, project string, urn faas.URN) (faas.AsyncConfig, error) {
	f, err := s.cfg.Functions.Get(ctx, project, urn)
	if err != nil {
		return faas.AsyncConfig{}, err
	}
	key := f.Key()
	if urn.Alias != "" {
		key.Version = ""
	}
	return faas.DefaultAsyncConfig(key, urn.Alias), nil
}

// check holds a destination to what this server can reach.
func (s *AsyncConfigs) check(ctx context.Context, project string, d *faas.Destination) error {
	if d == nil {
		return nil
	}
	switch d.Kind {
	case faas.DestinationFunction:
		to := d.Function
		_, err := s.cfg.Functions.Get(ctx, project, faas.URN{Project: to.Project, Package: to.Package, Name: to.Name, Version: to.Version, Alias: d.Alias})
		return err
	case faas.DestinationBucket:
		if d.Days < 0 || d.Days > 365 {
			return faas.Errorf(faas.CodeInvalid, "destination_config", "expires %d must be 0 to 365 days", d.Days)
		}
		return s.cfg.Buckets.CheckBucket(d.Name)
	case faas.DestinationTopic, faas.DestinationStream:
		if d.Name == "" {
			return faas.Errorf(faas.CodeInvalid, "destination_config", "the destination names no %s", d.Kind)
		}
		settings, err := s.cfg.Store.AsyncSettings(ctx, project)
		if err == nil && settings.Webhooks[d.Kind].URL == "" {
			err = faas.Errorf(faas.CodeUnsupported, "destination_config",
				"this project has no webhook that stands in for a %s; set one with `hanshu queue webhook %s URL`", d.Kind, d.Kind)
		}
		return err
	}
	return faas.Errorf(faas.CodeInvalid, "destination_config", "destination %q is unknown", d.Kind)
}

// noRing refuses functions whose results would go round: each would cause the next for ever.
func noRing(from faas.FunctionKey, edges []faas.Edge) error {
	from.Version = ""
	next := map[faas.FunctionKey][]faas.FunctionKey{}
	for _, e := range edges {
		next[e.From] = append(next[e.From], e.To)
	}
	seen := map[faas.FunctionKey]bool{}
	for ahead := slices.Clone(next[from]); len(ahead) > 0; {
		at := ahead[len(ahead)-1]
		ahead = ahead[:len(ahead)-1]
		if at == from {
			return faas.Errorf(faas.CodeInvalid, "destination_config",
				"the results of function %q would come back to it; functions must not be each other's destinations", from.Name)
		}
		if !seen[at] {
			seen[at] = true
			ahead = append(ahead, next[at]...)
		}
	}
	return nil
}

// Get gives the config for the version or alias that a URN names. Errors: CodeNotFound, also field "async_config".
func (s *AsyncConfigs) Get(ctx context.Context, project string, urn faas.URN) (faas.AsyncConfig, error) {
	c, err := s.target(ctx, project, urn)
	if err != nil {
		return c, err
	}
	found, ok, err := s.find(ctx, c.Key, c.Alias)
	if err == nil && !ok {
		err = faas.Errorf(faas.CodeNotFound, "async_config", "function %q has no config for asynchronous calls", urn.Name)
	}
	return found, err
}

func (s *AsyncConfigs) find(ctx context.Context, key faas.FunctionKey, alias string) (faas.AsyncConfig, bool, error) {
	want := faas.AsyncConfig{Key: key, Alias: alias}
	all, err := s.cfg.Store.AsyncConfigs(ctx, key)
	for _, c := range all {
		if c.Qualifier() == want.Qualifier() {
			return c, true, nil
		}
	}
	return want, false, err
}

// List gives the configs of all versions and aliases of a function, the oldest first.
func (s *AsyncConfigs) List(ctx context.Context, project string, urn faas.URN) ([]faas.AsyncConfig, error) {
	urn.Version, urn.Alias = "", ""
	f, err := s.cfg.Functions.Get(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	return s.cfg.Store.AsyncConfigs(ctx, f.Key())
}

// Delete removes the config for the version or alias that a URN names. Errors: as Get.
func (s *AsyncConfigs) Delete(ctx context.Context, project string, urn faas.URN) error {
	c, err := s.target(ctx, project, urn)
	if err != nil {
		return err
	}
	defer s.forget()
	return s.cfg.Store.DeleteAsyncConfig(ctx, c.Key, c.Alias)
}

// Policy gives what holds for calls of a function through a version ("" for Latest) or an alias.
func (s *AsyncConfigs) Policy(ctx context.Context, key faas.FunctionKey, alias string) (faas.AsyncConfig, error) {
	if key.Version == "" {
		key.Version = faas.Latest
	}
	if alias != "" {
		key.Version = ""
	}
	at := key
	if alias != "" {
		at.Version = "!" + alias
	}
	now := time.Now()
	s.mu.Lock()
	found, ok := s.cached[at]
	s.mu.Unlock()
	if ok && now.Sub(found.at) < policyHolds {
		return found.config, nil
	}
	c, ok, err := s.find(ctx, key, alias)
	if err != nil {
		return c, err
	}
	if !ok {
		c = faas.DefaultAsyncConfig(key, alias)
	}
	if c.StatusLog {
		settings, err := s.cfg.Store.AsyncSettings(ctx, key.Project)
		if err != nil {
			return c, err
		}
		c.StatusLog = settings.StatusLog
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cached) >= maxPolicies {
		clear(s.cached)
	}
	s.cached[at] = cachedPolicy{c, now}
	return c, nil
}

func (s *AsyncConfigs) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.cached)
}

// EnableStatusLog switches the status log of a project on: the calls of functions whose config asks for it are told in it.
func (s *AsyncConfigs) EnableStatusLog(ctx context.Context, project string) error {
	defer s.forget()
	return s.cfg.Store.UpdateAsyncSettings(ctx, project, func(set *faas.AsyncSettings) error {
		set.StatusLog = true
		return nil
	})
}

// Settings gives those of a project.
func (s *AsyncConfigs) Settings(ctx context.Context, project string) (faas.AsyncSettings, error) {
	return s.cfg.Store.AsyncSettings(ctx, project)
}

// webhookLabel binds the secret of a webhook to its place.
func webhookLabel(project string, kind faas.DestinationKind) string {
	return "webhook:" + project + ":" + string(kind)
}

// SetWebhook says where the records for a project's topics or streams are posted; a URL of "" takes it away. With a secret
// each post is signed. Errors: CodeInvalid, field "kind" or "url".
func (s *AsyncConfigs) SetWebhook(ctx context.Context, project string, kind faas.DestinationKind, target, secret string) error {
	if kind != faas.DestinationTopic && kind != faas.DestinationStream {
		return faas.Errorf(faas.CodeInvalid, "kind", "kind %.40q must be %s or %s", kind, faas.DestinationTopic, faas.DestinationStream)
	}
	if u, err := url.Parse(target); target != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || len(target) > 2048) {
		return faas.Errorf(faas.CodeInvalid, "url", "url must be an http or https URL without a user name")
	}
	if strings.ContainsRune(target, 0) || len(secret) > 1024 {
		return faas.Errorf(faas.CodeInvalid, "secret", "the secret is over 1024 bytes")
	}
	return s.cfg.Store.UpdateAsyncSettings(ctx, project, func(set *faas.AsyncSettings) error {
		if target == "" {
			delete(set.Webhooks, kind)
			return nil
		}
		w := faas.Webhook{URL: target}
		if secret != "" {
			w.SealedSecret = s.cfg.Sealer.Seal(webhookLabel(project, kind), []byte(secret))
		}
		set.Webhooks[kind] = w
		return nil
	})
}

// Webhook gives where records for a kind of destination are posted, and the secret that signs them; "" for none.
// Error: CodeNotFound, field "webhook".
func (s *AsyncConfigs) Webhook(ctx context.Context, project string, kind faas.DestinationKind) (target string, secret []byte, err error) {
	settings, err := s.cfg.Store.AsyncSettings(ctx, project)
	if err != nil {
		return "", nil, err
	}
	w, ok := settings.Webhooks[kind]
	if !ok {
		return "", nil, faas.Errorf(faas.CodeNotFound, "webhook", "the project has no webhook for a %s", kind)
	}
	if w.SealedSecret != nil {
		if secret, err = s.cfg.Sealer.Open(webhookLabel(project, kind), w.SealedSecret); err != nil {
			return "", nil, fmt.Errorf("open the secret of a webhook: %w", err)
		}
	}
	return w.URL, secret, nil
}
