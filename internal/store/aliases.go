package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// aliasDoc is the part of an alias that no query looks into; see document.
type aliasDoc struct {
	Description string         `json:"description,omitempty"`
	Additional  *additionalDoc `json:"additional,omitempty"`
}

type additionalDoc struct {
	Version string    `json:"version"`
	Weight  int       `json:"weight,omitempty"`
	Rules   []ruleDoc `json:"rules,omitempty"`
	Any     bool      `json:"any,omitempty"`
}

type ruleDoc struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Op    string `json:"op"`
	Value string `json:"value"`
}

func encodeAlias(a *faas.Alias) (string, error) {
	d := aliasDoc{Description: a.Description}
	if more := a.Additional; more != nil {
		d.Additional = &additionalDoc{Version: more.Version, Weight: more.Weight, Any: more.Any}
		for _, r := range more.Rules {
			d.Additional.Rules = append(d.Additional.Rules, ruleDoc(r))
		}
	}
	text, err := json.Marshal(d)
	return string(text), err
}

func decodeAlias(text string, a *faas.Alias) error {
	var d aliasDoc
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return fmt.Errorf("decode alias %s: %w", a.Name, err)
	}
	a.Description = d.Description
	if d.Additional != nil {
		a.Additional = &faas.Additional{Version: d.Additional.Version, Weight: d.Additional.Weight, Any: d.Additional.Any}
		for _, r := range d.Additional.Rules {
			a.Additional.Rules = append(a.Additional.Rules, faas.AliasRule(r))
		}
	}
	return nil
}

// CreateAlias stores a new alias. most bounds the aliases of its function.
//
// Errors: CodeNotFound, field "function", or "version" for the main version; CodeInvalid, field "additional_version", for another
// one that does not exist; CodeExists, field "alias"; CodeConflict, field "version", when another alias has the main version as its
// own; CodeQuota, field "aliases".
func (db *DB) CreateAlias(ctx context.Context, a *faas.Alias, most int) error {
	return db.change(ctx, "create alias", func(tx *sql.Tx) error {
		others, err := beside(ctx, tx, a)
		if err != nil {
			return err
		}
		for _, other := range others {
			if other.Name == a.Name {
				return faas.Errorf(faas.CodeExists, "alias", "alias %q exists already", a.Name)
			}
		}
		if err := free(a, others); err != nil {
			return err
		}
		if len(others) >= most {
			return faas.Errorf(faas.CodeQuota, "aliases", "the function has %d aliases already, which is the limit", len(others))
		}
		doc, err := encodeAlias(a)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `insert into aliases (project, package, name, alias, version, created_us, modified_us, doc)
			values ($1, $2, $3, $4, $5, $6, $7, $8)`,
			a.Key.Project, a.Key.Package, a.Key.Name, a.Name, a.Key.Version, a.CreatedAt.UnixMicro(), a.ModifiedAt.UnixMicro(), doc); err != nil {
			return err
		}
		_, _, err = take(ctx, tx, a.Key.Project, faas.Usage{})
		return err
	})
}

// beside locks the project of an alias, sees to it that the versions of the alias exist, and gives all aliases of its function.
func beside(ctx context.Context, tx *sql.Tx, a *faas.Alias) ([]*faas.Alias, error) {
	if !storable(a.Name, a.Key.Version) {
		return nil, faas.NotFound("version", a.Key.Version)
	}
	if _, err := lockFunction(ctx, tx, a.Key); err != nil {
		return nil, err
	}
	if more := a.Additional; more != nil {
		key := a.Key
		key.Version = more.Version
		_, err := function(ctx, tx, key)
		if faas.CodeOf(err) == faas.CodeNotFound {
			err = faas.Errorf(faas.CodeInvalid, "additional_version", "the additional version %q does not exist", more.Version)
		}
		if err != nil {
			return nil, err
		}
	}
	return aliases(ctx, tx, a.Key)
}

// free holds to the rule that a version is the main one of one alias at most.
func free(a *faas.Alias, all []*faas.Alias) error {
	for _, other := range all {
		if other.Name != a.Name && other.Key.Version == a.Key.Version {
			return faas.Errorf(faas.CodeConflict, "version", "version %q has the alias %q already", a.Key.Version, other.Name)
		}
	}
	return nil
}

// UpdateAlias reads an alias, lets change alter it, stores it and gives what it stored; what it keeps loaded goes along. The project's functions are locked meanwhile,
// so change must be quick and must not call the store; its error leaves all as it was and is returned. The name, the function and the
// creation time cannot be changed. Errors: CodeNotFound, field "function" or "alias"; those of CreateAlias for the new versions.
func (db *DB) UpdateAlias(ctx context.Context, key faas.FunctionKey, name string, change func(*faas.Alias) error) (a *faas.Alias, err error) {
	err = db.change(ctx, "update alias", func(tx *sql.Tx) error {
		if _, err := lockProject(ctx, tx, key.Project); err != nil {
			return err
		}
		if a, err = alias(ctx, tx, key, name); err != nil {
			return err
		}
		led := a.Key.Version
		if err := change(a); err != nil {
			return err
		}
		others, err := beside(ctx, tx, a)
		if err != nil {
			return err
		}
		if err := free(a, others); err != nil {
			return err
		}
		doc, err := encodeAlias(a)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `update aliases set version = $1, modified_us = $2, doc = $3
			where project = $4 and package = $5 and name = $6 and alias = $7`,
			a.Key.Version, a.ModifiedAt.UnixMicro(), doc, key.Project, key.Package, key.Name, name); err != nil {
			return err
		}
		if err := moveReserve(ctx, tx, key, name, led, a.Key.Version); err != nil {
			return err
		}
		_, _, err = take(ctx, tx, key.Project, faas.Usage{})
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

const aliasColumns = `select project, package, name, alias, version, created_us, modified_us, doc from aliases
	where project = $1 and package = $2 and name = $3`

// Alias gives one alias of a function; key.Version is ignored. Error: CodeNotFound, field "function" or, when only the alias is missing,
// "alias".
func (db *DB) Alias(ctx context.Context, key faas.FunctionKey, name string) (*faas.Alias, error) {
	a, err := alias(ctx, db.read, key, name)
	return a, db.failed("read alias", err)
}

func alias(ctx context.Context, q queries, key faas.FunctionKey, name string) (*faas.Alias, error) {
	if !storable(key.Project, key.Package, key.Name, name) {
		return nil, faas.NotFound("alias", name)
	}
	a, err := scanAlias(q.QueryRowContext(ctx, aliasColumns+` and alias = $4`, key.Project, key.Package, key.Name, name))
	if !errors.Is(err, sql.ErrNoRows) {
		return a, err
	}
	key.Version = faas.Latest
	if _, err := function(ctx, q, key); err != nil {
		return nil, err
	}
	return nil, faas.NotFound("alias", name)
}

// Aliases lists the aliases of a function by name; key.Version is ignored.
func (db *DB) Aliases(ctx context.Context, key faas.FunctionKey) ([]*faas.Alias, error) {
	if !storable(key.Project, key.Package, key.Name) {
		return nil, nil
	}
	all, err := aliases(ctx, db.read, key)
	return all, db.failed("list aliases", err)
}

func aliases(ctx context.Context, q queries, key faas.FunctionKey) (all []*faas.Alias, err error) {
	rows, err := q.QueryContext(ctx, aliasColumns+` order by alias`, key.Project, key.Package, key.Name)
	if err != nil {
		return nil, err
	}
	err = each(rows, func() error {
		a, err := scanAlias(rows)
		all = append(all, a)
		return err
	})
	return all, err
}

func scanAlias(row interface{ Scan(...any) error }) (*faas.Alias, error) {
	a := new(faas.Alias)
	var created, modified int64
	var doc string
	err := row.Scan(&a.Key.Project, &a.Key.Package, &a.Key.Name, &a.Name, &a.Key.Version, &created, &modified, &doc)
	if err != nil {
		return nil, err
	}
	a.CreatedAt, a.ModifiedAt = fromMicros(created), fromMicros(modified)
	return a, decodeAlias(doc, a)
}

// DeleteAlias removes an alias with its settings for asynchronous calls and what it keeps loaded, and cancels the calls that wait for it. It
// gives the main version. Errors: as Alias; CodeConflict, field "alias.triggers", while triggers call it.
func (db *DB) DeleteAlias(ctx context.Context, key faas.FunctionKey, name string) (version string, err error) {
	err = db.change(ctx, "delete alias", func(tx *sql.Tx) error {
		if _, err := lockProject(ctx, tx, key.Project); err != nil {
			return err
		}
		a, err := alias(ctx, tx, key, name)
		if err != nil {
			return err
		}
		bound, err := triggers(ctx, tx, faas.TriggerFilter{Project: key.Project, Package: key.Package, Name: key.Name, Qualifier: a.Qualifier()})
		if err != nil {
			return err
		}
		if len(bound) > 0 {
			return faas.Errorf(faas.CodeConflict, "alias.triggers", "alias %q has %d triggers; delete them first", name, len(bound))
		}
		if err := dropAlias(ctx, tx, key, name); err != nil {
			return err
		}
		if err := moveReserve(ctx, tx, key, name, a.Key.Version, ""); err != nil {
			return err
		}
		if err := db.dropQualifier(ctx, tx, key, a.Qualifier()); err != nil {
			return err
		}
		version = a.Key.Version
		_, _, err = take(ctx, tx, key.Project, faas.Usage{})
		return err
	})
	return version, err
}

func dropAlias(ctx context.Context, tx *sql.Tx, key faas.FunctionKey, name string) error {
	_, err := tx.ExecContext(ctx, `delete from aliases where project = $1 and package = $2 and name = $3 and alias = $4`,
		key.Project, key.Package, key.Name, name)
	return err
}

// ProjectChanges gives for each project a number that grows with every change of its functions, their versions and aliases, and of its walls.
func (db *DB) ProjectChanges(ctx context.Context) (map[string]int64, error) {
	rows, err := db.read.QueryContext(ctx, `select project, seq from project_usage`)
	if err != nil {
		return nil, db.failed("read changes of projects", err)
	}
	changes := map[string]int64{}
	err = each(rows, func() error {
		var project string
		var seq int64
		err := rows.Scan(&project, &seq)
		changes[project] = seq
		return err
	})
	return changes, db.failed("read changes of projects", err)
}
