package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const triggerColumns = "id, seq, project, package, name, qualifier, kind, active, coalesce(uniq, ''), revision, since_us, fired_us, created_us, modified_us, gone_us, data, sealed"

// keepGone is how long a row tells that its trigger went. Nodes look every second.
const keepGone = 24 * time.Hour

// CreateTrigger stores a new trigger with Revision 1, which it sets in t. most bounds the triggers of its version or alias.
//
// Errors: CodeNotFound, field "function", "version" or "alias"; CodeExists, field "trigger", when t.Unique is taken; CodeQuota,
// field "triggers".
func (db *DB) CreateTrigger(ctx context.Context, t *faas.Trigger, most int) error {
	err := db.change(ctx, "create trigger", func(tx *sql.Tx) error {
		key := t.Key
		if key.Version == "" {
			key.Version = faas.Latest
		}
		if _, err := lockFunction(ctx, tx, key); err != nil {
			return err
		}
		if t.Alias != "" {
			if _, err := alias(ctx, tx, key, t.Alias); err != nil {
				return err
			}
		}
		var held int
		err := tx.QueryRowContext(ctx, `select count(*) from triggers where project = $1 and package = $2 and name = $3 and qualifier = $4
			and gone_us = 0`, key.Project, key.Package, key.Name, t.Qualifier()).Scan(&held)
		switch {
		case err != nil:
			return err
		case held >= most:
			return faas.Errorf(faas.CodeQuota, "triggers", "this version has %d triggers already, which is the limit", held)
		}
		seq, err := nextTriggerSeq(ctx, tx)
		if err != nil {
			return err
		}
		added, err := insert(ctx, tx, `insert into triggers (id, seq, project, package, name, qualifier, kind, active, uniq, revision,
			since_us, fired_us, created_us, modified_us, gone_us, data, sealed, made_seq)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12, $13, 0, $14, $15, $2) on conflict do nothing`,
			t.ID, seq, key.Project, key.Package, key.Name, t.Qualifier(), t.Kind, t.Active, orNull(t.Unique),
			orZero(t.Since), orZero(t.Fired), orZero(t.CreatedAt), orZero(t.ModifiedAt), t.Data, t.Sealed)
		if err == nil && !added {
			return triggerExists(t)
		}
		return err
	})
	if err == nil {
		t.Revision = 1
	}
	return err
}

func triggerExists(t *faas.Trigger) error {
	return faas.Errorf(faas.CodeExists, "trigger", "another %s trigger has this already: %s", t.Kind, t.Unique)
}

func nextTriggerSeq(ctx context.Context, tx *sql.Tx) (seq int64, err error) {
	err = tx.QueryRowContext(ctx, `update trigger_changes set seq = seq + 1 returning seq`).Scan(&seq)
	return seq, err
}

// orNull lets rows without a unique text stand beside one another.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// orZero gives microseconds, and keeps the zero time apart from the others: it is 0.
func orZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func zeroOr(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// UpdateTrigger reads a trigger, lets change alter it, stores it with Revision + 1 and gives what it stored. An error of
// change leaves all as it was and is returned. The id, function, kind and creation time cannot be changed, and Fired is
// for MarkFired alone.
//
// Errors: CodeNotFound, field "trigger"; CodeExists, field "trigger", when the new Unique is taken.
func (db *DB) UpdateTrigger(ctx context.Context, project, id string, change func(*faas.Trigger) error) (t *faas.Trigger, err error) {
	err = db.change(ctx, "update trigger", func(tx *sql.Tx) error {
		seq, err := nextTriggerSeq(ctx, tx) // first, as it is the lock of all triggers
		if err != nil {
			return err
		}
		found, err := triggers(ctx, tx, faas.TriggerFilter{Project: project, ID: id})
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return faas.NotFound("trigger", id)
		}
		t = found[0]
		old := *t
		if err := change(t); err != nil {
			return err
		}
		if t.ID != old.ID || t.Key != old.Key || t.Alias != old.Alias || t.Kind != old.Kind || !t.CreatedAt.Equal(old.CreatedAt) {
			return fmt.Errorf("the change of trigger %s alters its identity", id)
		}
		t.Revision = old.Revision + 1
		if t.Unique != old.Unique && t.Unique != "" {
			var taken bool
			err := tx.QueryRowContext(ctx, `select exists (select 1 from triggers where uniq = $1)`, t.Unique).Scan(&taken)
			if err != nil {
				return err
			}
			if taken {
				return triggerExists(t)
			}
		}
		_, err = tx.ExecContext(ctx, `update triggers set seq = $1, active = $2, uniq = $3, revision = $4, since_us = $5,
			modified_us = $6, data = $7, sealed = $8 where id = $9`,
			seq, t.Active, orNull(t.Unique), t.Revision, orZero(t.Since), orZero(t.ModifiedAt), t.Data, t.Sealed, t.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// ListTriggers gives the triggers that match, oldest first.
func (db *DB) ListTriggers(ctx context.Context, filter faas.TriggerFilter) ([]*faas.Trigger, error) {
	if !storable(filter.Project, filter.Package, filter.Name, filter.Qualifier, filter.ID) {
		return nil, nil
	}
	found, err := triggers(ctx, db.read, filter)
	return found, db.failed("list triggers", err)
}

func triggers(ctx context.Context, q queries, filter faas.TriggerFilter) ([]*faas.Trigger, error) {
	where, args := matching(filter)
	rows, err := q.QueryContext(ctx, `select `+triggerColumns+` from triggers where `+where+` order by made_seq`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*faas.Trigger
	for rows.Next() {
		c, err := scanTrigger(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, c.Trigger)
	}
	return found, rows.Err()
}

// matching gives the condition of a filter. It names only the columns that count, so that an index serves it.
func matching(f faas.TriggerFilter) (where string, args []any) {
	conditions := []string{"gone_us = 0"}
	add := func(column, value string) {
		args = append(args, value)
		conditions = append(conditions, fmt.Sprintf("%s = $%d", column, len(args)))
	}
	add("project", f.Project)
	if f.Name != "" {
		add("package", f.Package)
		add("name", f.Name)
	}
	if f.Qualifier != "" {
		add("qualifier", f.Qualifier)
	}
	if f.ID != "" {
		add("id", f.ID)
	}
	return strings.Join(conditions, " and "), args
}

func scanTrigger(row interface{ Scan(...any) error }) (faas.TriggerChange, error) {
	t := new(faas.Trigger)
	c := faas.TriggerChange{Trigger: t}
	var qualifier string
	var since, fired, created, modified, gone int64
	err := row.Scan(&t.ID, &c.Seq, &t.Key.Project, &t.Key.Package, &t.Key.Name, &qualifier, &t.Kind, &t.Active, &t.Unique, &t.Revision,
		&since, &fired, &created, &modified, &gone, &t.Data, &t.Sealed)
	if err != nil {
		return c, err
	}
	alias, ok := strings.CutPrefix(qualifier, "!")
	if ok {
		t.Alias = alias
	} else {
		t.Key.Version = qualifier
	}
	t.Since, t.Fired, t.CreatedAt, t.ModifiedAt = zeroOr(since), zeroOr(fired), zeroOr(created), zeroOr(modified)
	c.Gone = gone != 0
	return c, nil
}

// DeleteTriggers removes the triggers that match and tells how many these were. The filter must name a function or an id.
func (db *DB) DeleteTriggers(ctx context.Context, filter faas.TriggerFilter) (deleted int64, err error) {
	if filter.Name == "" && filter.ID == "" {
		return 0, fmt.Errorf("store: delete triggers: neither a function nor a trigger is named")
	}
	if !storable(filter.Project, filter.Package, filter.Name, filter.Qualifier, filter.ID) {
		return 0, nil
	}
	err = db.change(ctx, "delete triggers", func(tx *sql.Tx) error {
		deleted, err = deleteTriggers(ctx, tx, filter)
		return err
	})
	return deleted, err
}

// deleteTriggers leaves rows without secrets and without a unique text, each with a number of its own.
func deleteTriggers(ctx context.Context, tx *sql.Tx, filter faas.TriggerFilter) (int64, error) {
	found, err := triggers(ctx, tx, filter)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	now := time.Now()
	for _, t := range found {
		seq, err := nextTriggerSeq(ctx, tx)
		if err != nil {
			return 0, err
		}
		_, err = tx.ExecContext(ctx, `update triggers set seq = $1, active = false, uniq = null, data = '', sealed = null, gone_us = $2
			where id = $3`, seq, now.UnixMicro(), t.ID)
		if err != nil {
			return 0, err
		}
	}
	_, err = tx.ExecContext(ctx, `delete from triggers where gone_us > 0 and gone_us < $1`, now.Add(-keepGone).UnixMicro())
	return int64(len(found)), err
}

// TriggerChanges gives what changed behind a number, in order, at most limit of it; 0 begins with all there is.
func (db *DB) TriggerChanges(ctx context.Context, after int64, limit int) ([]faas.TriggerChange, error) {
	changes, err := triggerChanges(ctx, db.read, after, limit)
	return changes, db.failed("read changes of triggers", err)
}

func triggerChanges(ctx context.Context, q queries, after int64, limit int) ([]faas.TriggerChange, error) {
	rows, err := q.QueryContext(ctx, `select `+triggerColumns+` from triggers where seq > $1 order by seq limit $2`, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var changes []faas.TriggerChange
	for rows.Next() {
		c, err := scanTrigger(rows)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, rows.Err()
}

// MarkFired keeps the newest occurrence of each trigger that was handed over. It is no change of the trigger. A time that is
// not newer than what is kept changes nothing.
func (db *DB) MarkFired(ctx context.Context, fired map[string]time.Time) error {
	return db.change(ctx, "mark triggers fired", func(tx *sql.Tx) error {
		mark, err := tx.PrepareContext(ctx, `update triggers set fired_us = $1 where id = $2 and fired_us < $1 and gone_us = 0`)
		if err != nil {
			return err
		}
		defer mark.Close()
		for _, id := range slices.Sorted(maps.Keys(fired)) { // in one order on every node, so that two never wait for each other
			if _, err := mark.ExecContext(ctx, fired[id].UnixMicro(), id); err != nil {
				return err
			}
		}
		return nil
	})
}
