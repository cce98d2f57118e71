package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// destinationDoc is a destination on disk; see document.
type destinationDoc struct {
	Kind    string `json:"kind"`
	Project string `json:"project,omitempty"`
	Package string `json:"package,omitempty"`
	Func    string `json:"func,omitempty"`
	Version string `json:"version,omitempty"`
	Alias   string `json:"alias,omitempty"`
	Name    string `json:"name,omitempty"`
	Prefix  string `json:"prefix,omitempty"`
	Days    int    `json:"days,omitempty"`
}

func destinationToDoc(d *faas.Destination) *destinationDoc {
	if d == nil {
		return nil
	}
	f := d.Function
	return &destinationDoc{string(d.Kind), f.Project, f.Package, f.Name, f.Version, d.Alias, d.Name, d.Prefix, d.Days}
}

func (d *destinationDoc) destination() *faas.Destination {
	if d == nil {
		return nil
	}
	return &faas.Destination{
		Kind: faas.DestinationKind(d.Kind), Function: faas.FunctionKey{Project: d.Project, Package: d.Package, Name: d.Func, Version: d.Version},
		Alias: d.Alias, Name: d.Name, Prefix: d.Prefix, Days: d.Days,
	}
}

// encodeDestination gives "" for none.
func encodeDestination(d *faas.Destination) (string, error) {
	if d == nil {
		return "", nil
	}
	text, err := json.Marshal(destinationToDoc(d))
	return string(text), err
}

func decodeDestination(text string) (*faas.Destination, error) {
	if text == "" {
		return nil, nil
	}
	var d destinationDoc
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("decode destination: %w", err)
	}
	return d.destination(), nil
}

// asyncDoc is the part of an async config that no query looks into; see document.
type asyncDoc struct {
	MaxAgeMS  int64           `json:"max_age_ms"`
	Retries   int             `json:"retries"`
	OnSuccess *destinationDoc `json:"on_success,omitempty"`
	OnFailure *destinationDoc `json:"on_failure,omitempty"`
	StatusLog bool            `json:"status_log,omitempty"`
}

// SetAsyncConfig stores a config in place of the one for the same version or alias, if there is one, whose CreatedAt it keeps.
// allow is asked while the project is locked, with every edge that there will be then from function to function; its error
// leaves all as it was and is returned. It must be quick and must not call the store. Error: CodeNotFound, field "function", "version" or
// "alias".
func (db *DB) SetAsyncConfig(ctx context.Context, c faas.AsyncConfig, allow func([]faas.Edge) error) (faas.AsyncConfig, error) {
	err := db.change(ctx, "set async config", func(tx *sql.Tx) error {
		key := c.Key
		if c.Alias != "" {
			key.Version = faas.Latest
		}
		if _, err := lockFunction(ctx, tx, key); err != nil {
			return err
		}
		if c.Alias != "" {
			if _, err := alias(ctx, tx, key, c.Alias); err != nil {
				return err
			}
		}
		edges := edgesOf(c)
		configs, err := asyncConfigs(ctx, tx, faas.FunctionKey{Project: c.Key.Project})
		if err != nil {
			return err
		}
		for _, other := range configs {
			if other.Key.Package == c.Key.Package && other.Key.Name == c.Key.Name && other.Qualifier() == c.Qualifier() {
				c.CreatedAt = other.CreatedAt
				continue
			}
			edges = append(edges, edgesOf(other)...)
		}
		if err := allow(edges); err != nil {
			return err
		}
		doc, err := json.Marshal(asyncDoc{c.MaxAge.Milliseconds(), c.Retries, destinationToDoc(c.OnSuccess), destinationToDoc(c.OnFailure), c.StatusLog})
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `insert into async_configs (project, package, name, qualifier, created_us, changed_us, doc)
			values ($1, $2, $3, $4, $5, $6, $7)
			on conflict (project, package, name, qualifier) do update set changed_us = excluded.changed_us, doc = excluded.doc`,
			c.Key.Project, c.Key.Package, c.Key.Name, c.Qualifier(), c.CreatedAt.UnixMicro(), c.ChangedAt.UnixMicro(), string(doc))
		return err
	})
	return c, err
}

// edgesOf gives the functions that a config's results go to.
func edgesOf(c faas.AsyncConfig) []faas.Edge {
	var edges []faas.Edge
	for _, d := range []*faas.Destination{c.OnSuccess, c.OnFailure} {
		if d != nil && d.Kind == faas.DestinationFunction {
			from, to := c.Key, d.Function
			from.Version, to.Version = "", ""
			edges = append(edges, faas.Edge{From: from, To: to})
		}
	}
	return edges
}

// AsyncConfigs lists the configs of a function (its version is ignored), or of a project where key.Name is "", by qualifier.
func (db *DB) AsyncConfigs(ctx context.Context, key faas.FunctionKey) ([]faas.AsyncConfig, error) {
	configs, err := asyncConfigs(ctx, db.read, key)
	return configs, db.failed("list async configs", err)
}

func asyncConfigs(ctx context.Context, q queries, key faas.FunctionKey) ([]faas.AsyncConfig, error) {
	if !storable(key.Project, key.Package, key.Name) {
		return nil, nil
	}
	rows, err := q.QueryContext(ctx, `select project, package, name, qualifier, created_us, changed_us, doc from async_configs
		where project = $1 and ($2 = '' or package = $2) and ($3 = '' or name = $3) order by created_us, qualifier`, key.Project, key.Package, key.Name)
	if err != nil {
		return nil, err
	}
	var configs []faas.AsyncConfig
	err = each(rows, func() error {
		var c faas.AsyncConfig
		var qualifier, text string
		var created, changed int64
		if err := rows.Scan(&c.Key.Project, &c.Key.Package, &c.Key.Name, &qualifier, &created, &changed, &text); err != nil {
			return err
		}
		var doc asyncDoc
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			return fmt.Errorf("decode async config: %w", err)
		}
		if alias, ok := strings.CutPrefix(qualifier, "!"); ok {
			c.Alias = alias
		} else {
			c.Key.Version = qualifier
		}
		c.MaxAge, c.Retries, c.StatusLog = time.Duration(doc.MaxAgeMS)*time.Millisecond, doc.Retries, doc.StatusLog
		c.OnSuccess, c.OnFailure = doc.OnSuccess.destination(), doc.OnFailure.destination()
		c.CreatedAt, c.ChangedAt = fromMicros(created), fromMicros(changed)
		configs = append(configs, c)
		return nil
	})
	return configs, err
}

// DeleteAsyncConfig removes the config for a version or, with alias, for an alias. Error: CodeNotFound, field "async_config".
func (db *DB) DeleteAsyncConfig(ctx context.Context, key faas.FunctionKey, alias string) error {
	c := faas.AsyncConfig{Key: key, Alias: alias}
	if !storable(key.Project, key.Package, key.Name, c.Qualifier()) {
		return faas.NotFound("async_config", key.Name)
	}
	return db.change(ctx, "delete async config", func(tx *sql.Tx) error {
		gone, err := insert(ctx, tx, `delete from async_configs where project = $1 and package = $2 and name = $3 and qualifier = $4`,
			key.Project, key.Package, key.Name, c.Qualifier())
		if err == nil && !gone {
			return faas.NotFound("async_config", key.Name)
		}
		return err
	})
}

type settingsDoc struct {
	StatusLog bool                  `json:"status_log,omitempty"`
	Webhooks  map[string]webhookDoc `json:"webhooks,omitempty"`
}

type webhookDoc struct {
	URL          string `json:"url"`
	SealedSecret []byte `json:"sealed_secret,omitempty"`
}

// AsyncSettings gives those of a project; the zero settings when nobody has set any.
func (db *DB) AsyncSettings(ctx context.Context, project string) (s faas.AsyncSettings, err error) {
	if !storable(project) {
		return s, nil
	}
	s, err = asyncSettings(ctx, db.read, project)
	return s, db.failed("read async settings", err)
}

func asyncSettings(ctx context.Context, q queries, project string) (s faas.AsyncSettings, err error) {
	s.Webhooks = map[faas.DestinationKind]faas.Webhook{}
	var text string
	err = q.QueryRowContext(ctx, `select doc from async_settings where project = $1`, project).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	var doc settingsDoc
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return s, fmt.Errorf("decode async settings: %w", err)
	}
	s.StatusLog = doc.StatusLog
	for kind, w := range doc.Webhooks {
		s.Webhooks[faas.DestinationKind(kind)] = faas.Webhook{URL: w.URL, SealedSecret: w.SealedSecret}
	}
	return s, nil
}

// UpdateAsyncSettings lets change alter the settings of a project. Its error leaves them as they were and is returned.
func (db *DB) UpdateAsyncSettings(ctx context.Context, project string, change func(*faas.AsyncSettings) error) error {
	if !storable(project) {
		return faas.NotFound("project", project)
	}
	return db.change(ctx, "update async settings", func(tx *sql.Tx) error {
		// The row is the lock.
		if _, err := tx.ExecContext(ctx, `insert into async_settings (project, doc) values ($1, '{}')
			on conflict (project) do update set doc = async_settings.doc`, project); err != nil {
			return err
		}
		s, err := asyncSettings(ctx, tx, project)
		if err != nil {
			return err
		}
		if err := change(&s); err != nil {
			return err
		}
		doc := settingsDoc{StatusLog: s.StatusLog, Webhooks: map[string]webhookDoc{}}
		for kind, w := range s.Webhooks {
			doc.Webhooks[string(kind)] = webhookDoc{w.URL, w.SealedSecret}
		}
		text, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `update async_settings set doc = $1 where project = $2`, string(text), project)
		return err
	})
}
