package store

import (
	"context"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Reserved lists the versions that have, or at times have, instances kept for them, of one project or, for "", of all; oldest
// first. They are few among many and asked for seldom, so the documents are searched: text inside a value has its quotes escaped,
// and cannot look like the name of a field.
func (db *DB) Reserved(ctx context.Context, project string) ([]*faas.Function, error) {
	rows, err := db.read.QueryContext(ctx, `select `+functionColumns+` from functions
		where (doc like '%"reserved":%' or doc like '%"tactics":%' or doc like '%"snapshot":%') and (project = $1 or $1 = '') order by project, seq, version`, project)
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
		if f.Spec.KeepsAny() {
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
