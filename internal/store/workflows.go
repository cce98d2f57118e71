package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// flowDocument is the part of a workflow that no query looks into. Its tags are the format on disk.
type flowDocument struct {
	Description string `json:"description,omitempty"`
	Streaming   bool   `json:"streaming,omitempty"`
	CreatedBy   string `json:"created_by,omitempty"`
}

const flowColumns = `f.id, f.project, f.name, f.mode, f.enterprise, f.revision, f.created_us, f.modified_us, f.doc, d.doc`

const flowFrom = ` from flows f join flow_definitions d on d.flow = f.id and d.revision = f.revision `

func scanFlow(row interface{ Scan(...any) error }) (*faas.Flow, error) {
	f := new(faas.Flow)
	var created, modified int64
	var doc string
	err := row.Scan(&f.ID, &f.Project, &f.Name, &f.Mode, &f.EnterpriseID, &f.Revision, &created, &modified, &doc, &f.Definition)
	if err != nil {
		return nil, err
	}
	var d flowDocument
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return nil, fmt.Errorf("decode workflow %s: %w", f.ID, err)
	}
	f.Description, f.Streaming, f.CreatedBy = d.Description, d.Streaming, d.CreatedBy
	f.CreatedAt, f.ModifiedAt = fromMicros(created), fromMicros(modified)
	return f, nil
}

func flowDoc(f *faas.Flow) (string, error) {
	text, err := json.Marshal(flowDocument{Description: f.Description, Streaming: f.Streaming, CreatedBy: f.CreatedBy})
	return string(text), err
}

// CreateFlow stores a new workflow with Revision 1, which it sets, and its triggers. most bounds the workflows of the project.
//
// Errors: CodeExists, field "workflow" or "trigger"; CodeQuota, field "workflows".
func (db *DB) CreateFlow(ctx context.Context, f *faas.Flow, triggers []*faas.Trigger, most int) error {
	doc, err := flowDoc(f)
	if err != nil {
		return err
	}
	return db.change(ctx, "create workflow", func(tx *sql.Tx) error {
		_, seq, err := take(ctx, tx, f.Project, faas.Usage{}) // the lock of the project
		if err != nil {
			return err
		}
		var held int
		if err := tx.QueryRowContext(ctx, `select count(*) from flows where project = $1`, f.Project).Scan(&held); err != nil {
			return err
		}
		if held >= most {
			return faas.Errorf(faas.CodeQuota, "workflows", "the project may hold %d workflows and has them already", most)
		}
		added, err := insert(ctx, tx, `insert into flows (id, project, seq, name, mode, enterprise, revision, created_us, modified_us, doc)
			values ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9) on conflict do nothing`,
			f.ID, f.Project, seq, f.Name, f.Mode, f.EnterpriseID, micros(f.CreatedAt), micros(f.ModifiedAt), doc)
		switch {
		case err != nil:
			return err
		case !added:
			return flowExists(f.Name)
		}
		f.Revision = 1
		_, err = tx.ExecContext(ctx, `insert into flow_definitions (flow, revision, doc) values ($1, 1, $2)`, f.ID, f.Definition)
		if err != nil {
			return err
		}
		return setFlowTriggers(ctx, tx, f, triggers)
	})
}

func flowExists(name string) error {
	return faas.Errorf(faas.CodeExists, "workflow", "a workflow named %q exists already", name)
}

// UpdateFlow lets change alter a workflow, and stores it as the next revision with the triggers that change gives: one with an id that
// is there already is changed, others go. Runs under way keep to their revision. An error of change is returned and changes nothing.
//
// Errors: CodeNotFound and CodeExists, field "workflow"; CodeExists, field "trigger".
func (db *DB) UpdateFlow(ctx context.Context, project, id string, change func(*faas.Flow) ([]*faas.Trigger, error)) (f *faas.Flow, err error) {
	err = db.change(ctx, "update workflow", func(tx *sql.Tx) error {
		if _, _, err := take(ctx, tx, project, faas.Usage{}); err != nil {
			return err
		}
		var err error
		if f, err = flowBy(ctx, tx, project, "f.id", id); err != nil {
			return err
		}
		old := *f
		triggers, err := change(f)
		if err != nil {
			return err
		}
		if f.Name != old.Name {
			var taken bool
			if err := tx.QueryRowContext(ctx, `select exists (select 1 from flows where project = $1 and name = $2)`, project, f.Name).Scan(&taken); err != nil {
				return err
			}
			if taken {
				return flowExists(f.Name)
			}
		}
		f.ID, f.Project, f.CreatedAt, f.CreatedBy, f.Revision = old.ID, old.Project, old.CreatedAt, old.CreatedBy, old.Revision+1
		doc, err := flowDoc(f)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `update flows set name = $1, mode = $2, enterprise = $3, revision = $4, modified_us = $5, doc = $6 where id = $7`,
			f.Name, f.Mode, f.EnterpriseID, f.Revision, micros(f.ModifiedAt), doc, id)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `insert into flow_definitions (flow, revision, doc) values ($1, $2, $3)`, id, f.Revision, f.Definition)
		if err != nil {
			return err
		}
		return setFlowTriggers(ctx, tx, f, triggers)
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// setFlowTriggers makes these the triggers of a workflow.
func setFlowTriggers(ctx context.Context, tx *sql.Tx, f *faas.Flow, wanted []*faas.Trigger) error {
	there, err := triggers(ctx, tx, faas.TriggerFilter{Project: f.Project, Package: faas.FlowPackage, Name: f.ID})
	if err != nil {
		return err
	}
	known := map[string]*faas.Trigger{}
	for _, t := range there {
		known[t.ID] = t
	}
	kept := map[string]bool{}
	for _, t := range wanted {
		kept[t.ID] = true
	}
	for id := range known {
		if kept[id] {
			continue
		}
		if _, err := deleteTriggers(ctx, tx, faas.TriggerFilter{Project: f.Project, ID: id}); err != nil {
			return err
		}
	}
	for _, t := range wanted {
		if err := setFlowTrigger(ctx, tx, t, known[t.ID]); err != nil {
			return err
		}
	}
	return nil
}

func setFlowTrigger(ctx context.Context, tx *sql.Tx, t, old *faas.Trigger) error {
	if t.Unique != "" && (old == nil || old.Unique != t.Unique) {
		var taken bool
		if err := tx.QueryRowContext(ctx, `select exists (select 1 from triggers where uniq = $1)`, t.Unique).Scan(&taken); err != nil {
			return err
		}
		if taken {
			return triggerExists(t)
		}
	}
	seq, err := nextTriggerSeq(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `insert into triggers (id, seq, project, package, name, qualifier, kind, active, uniq, revision,
		since_us, fired_us, created_us, modified_us, gone_us, data, sealed, made_seq)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, 0, $11, $12, 0, $13, $14, $2)
		on conflict (id) do update set seq = excluded.seq, active = excluded.active, uniq = excluded.uniq, revision = triggers.revision + 1,
			since_us = excluded.since_us, modified_us = excluded.modified_us, gone_us = 0, data = excluded.data, sealed = excluded.sealed`,
		t.ID, seq, t.Key.Project, t.Key.Package, t.Key.Name, t.Qualifier(), t.Kind, t.Active, orNull(t.Unique),
		orZero(t.Since), orZero(t.CreatedAt), orZero(t.ModifiedAt), t.Data, t.Sealed)
	return err
}

func flowBy(ctx context.Context, q queries, project, column, value string) (*faas.Flow, error) {
	if !storable(project, value) {
		return nil, faas.NotFound("workflow", value)
	}
	f, err := scanFlow(q.QueryRowContext(ctx, `select `+flowColumns+flowFrom+`where f.project = $1 and `+column+` = $2`, project, value))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, faas.NotFound("workflow", value)
	}
	return f, err
}

// Flow gives a workflow of a project by its id. Error: CodeNotFound, field "workflow".
func (db *DB) Flow(ctx context.Context, project, id string) (*faas.Flow, error) {
	f, err := flowBy(ctx, db.read, project, "f.id", id)
	return f, db.failed("read workflow", err)
}

// FlowNamed gives a workflow of a project by its name. Error: CodeNotFound, field "workflow".
func (db *DB) FlowNamed(ctx context.Context, project, name string) (*faas.Flow, error) {
	f, err := flowBy(ctx, db.read, project, "f.name", name)
	return f, db.failed("read workflow", err)
}

// ListFlows gives a page of the workflows that match, oldest first, and how many match.
func (db *DB) ListFlows(ctx context.Context, filter faas.FlowFilter) (found []*faas.Flow, total int64, err error) {
	if !storable(filter.Project, filter.Name, filter.Mode, filter.Enterprise) {
		return nil, 0, nil
	}
	err = db.view(ctx, "list workflows", func(tx *sql.Tx) error {
		where := ` where f.project = $1 and ($2 = '' or ` + db.dialect.position + `(f.name, $2) > 0) and ($3 = '' or f.mode = $3)
			and ($4 = '' or f.enterprise = $4)`
		args := []any{filter.Project, filter.Name, filter.Mode, filter.Enterprise}
		if err := tx.QueryRowContext(ctx, `select count(*) from flows f`+where, args...).Scan(&total); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `select `+flowColumns+flowFrom+where+` order by f.seq limit $5 offset $6`,
			append(args, filter.Limit, filter.Offset)...)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			f, err := scanFlow(rows)
			found = append(found, f)
			return err
		})
	})
	return found, total, err
}

// DeleteFlow removes a workflow with its triggers, its runs and all that is known of them. Runs that wait for one of these learn by
// goneNote that it ended. It gives those of them that may run now.
//
// Error: CodeNotFound, field "workflow".
func (db *DB) DeleteFlow(ctx context.Context, project, id string, goneNote []byte) error {
	return db.change(ctx, "delete workflow", func(tx *sql.Tx) error {
		if _, _, err := take(ctx, tx, project, faas.Usage{}); err != nil {
			return err
		}
		if _, err := flowBy(ctx, tx, project, "f.id", id); err != nil {
			return err
		}
		if _, err := deleteTriggers(ctx, tx, faas.TriggerFilter{Project: project, Package: faas.FlowPackage, Name: id}); err != nil {
			return err
		}
		if err := db.tellParents(ctx, tx, id, goneNote); err != nil {
			return err
		}
		for _, statement := range []string{
			`delete from flow_notes where run in (select seq from flow_runs where flow = $1)`,
			`delete from flow_events where run in (select seq from flow_runs where flow = $1)`,
			`delete from flow_runs where flow = $1`,
			`delete from flow_sums where flow = $1`,
			`delete from flow_definitions where flow = $1`,
			`delete from flows where id = $1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// tellParents leaves a note for every run of another workflow that waits for a run of this one.
func (db *DB) tellParents(ctx context.Context, tx *sql.Tx, flow string, doc []byte) error {
	rows, err := tx.QueryContext(ctx, `select parent, parent_task from flow_runs where flow = $1 and parent <> 0 and status = 0`, flow)
	if err != nil {
		return err
	}
	var waits []faas.FlowNote
	err = each(rows, func() error {
		var n faas.FlowNote
		err := rows.Scan(&n.Run, &n.Task)
		waits = append(waits, n)
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range waits {
		text, err := withTask(doc, n.Task)
		if err != nil {
			return err
		}
		if err := addFlowNote(ctx, tx, db.noteIDs.next(), n.Run, text); err != nil {
			return err
		}
	}
	return nil
}

// withTask names the task in a note: the one field of it that the store knows.
func withTask(doc []byte, task string) ([]byte, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(doc, &fields); err != nil {
		return nil, fmt.Errorf("decode note: %w", err)
	}
	name, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	fields["t"] = name
	return json.Marshal(fields)
}

// FlowSums gives the counts of a workflow, or of all of a project where flow is "", by minute from one minute up to another.
func (db *DB) FlowSums(ctx context.Context, project, flow string, from, to int64) (sums []faas.FlowSum, err error) {
	rows, err := db.read.QueryContext(ctx, `select s.minute, cast(sum(s.started) as bigint), cast(sum(s.ended) as bigint), cast(sum(s.failed) as bigint), cast(sum(s.duration_us) as bigint)
		from flow_sums s join flows f on f.id = s.flow
		where f.project = $1 and ($2 = '' or s.flow = $2) and s.minute >= $3 and s.minute < $4 group by s.minute order by s.minute`, project, flow, from, to)
	if err != nil {
		return nil, db.failed("read sums of workflows", err)
	}
	err = each(rows, func() error {
		var s faas.FlowSum
		var micros int64
		err := rows.Scan(&s.Minute, &s.Started, &s.Ended, &s.Failed, &micros)
		s.Duration = time.Duration(micros) * time.Microsecond
		sums = append(sums, s)
		return err
	})
	return sums, db.failed("read sums of workflows", err)
}

// FlowsRunning counts the runs under way of a workflow, or of all of a project where flow is "".
func (db *DB) FlowsRunning(ctx context.Context, project, flow string) (n int64, err error) {
	err = db.read.QueryRowContext(ctx, `select count(*) from flow_runs where project = $1 and ($2 = '' or flow = $2) and status = 0`, project, flow).Scan(&n)
	return n, db.failed("count runs", err)
}
