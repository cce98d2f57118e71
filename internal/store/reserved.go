package store

import (
	"context"
	"database/sql"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func keeps(f *faas.Function) bool { return f.Spec.KeepsAny() }

// Reserved lists the versions that have, or at times have, instances kept for them, of one project or, for "", of all; oldest first.
func (db *DB) Reserved(ctx context.Context, project string) ([]*faas.Function, error) {
	rows, err := db.read.QueryContext(ctx, `select `+functionColumns+` from functions
		where reserves = 1 and (project = $1 or $1 = '') order by project, seq, version`, project)
	if err != nil {
		return nil, db.failed("list reserved instances", err)
	}
	defer rows.Close()
	var found []*faas.Function
	for rows.Next() {
		f, _, err := scan(rows)
		if err != nil {
			return nil, db.failed("list reserved instances", err)
		}
		if keeps(f) {
			found = append(found, f)
		}
	}
	return found, db.failed("list reserved instances", rows.Err())
}

// tacticsDocument is a faas.Tactics; see document. Times are microseconds since 1970, 0 for none.
type tacticsDocument struct {
	Schedules []scheduleDocument `json:"schedules,omitempty"`
	Metrics   []metricDocument   `json:"metrics,omitempty"`
}

type scheduleDocument struct {
	Name  string `json:"name"`
	Cron  string `json:"cron"`
	Count int    `json:"count"`
	From  int64  `json:"from_us,omitempty"`
	Until int64  `json:"until_us,omitempty"`
}

type metricDocument struct {
	Name      string `json:"name"`
	Threshold int    `json:"threshold"`
	Min       int    `json:"min"`
}

func tacticsToDocument(t *faas.Tactics) *tacticsDocument {
	if t.Empty() {
		return nil
	}
	d := &tacticsDocument{}
	for _, s := range t.Schedules {
		d.Schedules = append(d.Schedules, scheduleDocument{s.Name, s.Cron, s.Count, orZero(s.From), orZero(s.Until)})
	}
	for _, m := range t.Metrics {
		d.Metrics = append(d.Metrics, metricDocument(m))
	}
	return d
}

func (d *tacticsDocument) tactics() *faas.Tactics {
	if d == nil {
		return nil
	}
	t := &faas.Tactics{}
	for _, s := range d.Schedules {
		t.Schedules = append(t.Schedules, faas.ReservedSchedule{Name: s.Name, Cron: s.Cron, Count: s.Count, From: zeroOr(s.From), Until: zeroOr(s.Until)})
	}
	for _, m := range d.Metrics {
		t.Metrics = append(t.Metrics, faas.ReservedMetric(m))
	}
	return t
}

func reserveToDocument(r *faas.AliasReserve) *reserveDocument {
	if r == nil {
		return nil
	}
	return &reserveDocument{r.Alias, r.Count, r.Idle, tacticsToDocument(r.Tactics)}
}

func (d *reserveDocument) reserve() *faas.AliasReserve {
	if d == nil {
		return nil
	}
	return &faas.AliasReserve{Alias: d.Alias, Count: d.Count, Idle: d.Idle, Tactics: d.Tactics.tactics()}
}

// ReserveAlias lets change alter what an alias keeps loaded of its main version, and gives the version as it is then. Errors:
// as Alias; that of change, which leaves all as it was.
func (db *DB) ReserveAlias(ctx context.Context, key faas.FunctionKey, name string, change func(*faas.Function) error) (f *faas.Function, err error) {
	err = db.change(ctx, "reserve instances", func(tx *sql.Tx) error {
		if _, err := lockProject(ctx, tx, key.Project); err != nil {
			return err
		}
		a, err := alias(ctx, tx, key, name)
		if err != nil {
			return err
		}
		if f, err = function(ctx, tx, a.Key); err != nil {
			return err
		}
		if err := change(f); err != nil {
			return err
		}
		if err := again(ctx, tx, f); err != nil {
			return err
		}
		_, _, err = take(ctx, tx, key.Project, faas.Usage{})
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// again stores a version with Revision + 1.
func again(ctx context.Context, tx *sql.Tx, f *faas.Function) error {
	f.Revision++
	return replace(ctx, tx, f)
}

// moveReserve has what an alias keeps loaded follow it from its old main version to the new one; "" is none.
func moveReserve(ctx context.Context, tx *sql.Tx, key faas.FunctionKey, name, from, to string) error {
	if from == to {
		return nil
	}
	key.Version = from
	f, err := function(ctx, tx, key)
	if err != nil || f.Spec.AliasReserve == nil || f.Spec.AliasReserve.Alias != name {
		return err
	}
	kept := f.Spec.AliasReserve
	f.Spec.AliasReserve = nil
	if err := again(ctx, tx, f); err != nil || to == "" {
		return err
	}
	key.Version = to
	if f, err = function(ctx, tx, key); err != nil {
		return err
	}
	f.Spec.AliasReserve = kept
	return again(ctx, tx, f)
}
