package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const functionColumns = "seq, project, package, name, version, id, revision, digest, code_bytes, created_us, modified_us, doc"

// CreateFunction stores a new version of a function with Revision 1, which it sets in f with
// its Number. A version other than
// faas.Latest counts its code, but not as a function, in the project's usage.
//
// Errors: CodeExists, field "function" or "title"; CodeQuota, field "functions" or "code_bytes"; CodeNotFound, field "dependency";
// CodeInvalid, field "function", when its key is not text that can be stored.
func (db *DB) CreateFunction(ctx context.Context, f *faas.Function, quota faas.Quota) error {
	if !storable(f.Project, f.Package, f.Name, f.Version) {
		return faas.Errorf(faas.CodeInvalid, "function", "the function's name holds bytes that are not text")
	}
	made := *f
	err := db.change(ctx, "create function", func(tx *sql.Tx) error {
		delta := faas.Usage{CodeBytes: f.Code.Size}
		if f.Version == faas.Latest {
			delta.Functions = 1
		}
		usage, seq, err := take(ctx, tx, f.Project, delta)
		if err != nil {
			return err
		}
		made.Revision, made.Number = 1, seq
		added, err := insertFunction(ctx, tx, &made)
		switch {
		case err != nil:
			return err
		case !added:
			return faas.Errorf(faas.CodeExists, "function", "function %q exists already in package %q", f.Name, f.Package)
		}
		if err := setTitle(ctx, tx, f, ""); err != nil {
			return err
		}
		return within(usage, delta, quota)
	})
	if err == nil {
		f.Revision, f.Number = made.Revision, made.Number
	}
	return err
}

// take adds delta to what a project holds, locks the project until the end of the transaction, and gives what it then
// holds with the next sequence number. Every change of functions takes first, so changes of a project never deadlock.
func take(ctx context.Context, tx *sql.Tx, project string, delta faas.Usage) (usage faas.Usage, seq int64, err error) {
	err = tx.QueryRowContext(ctx, `insert into project_usage (project, functions, code_bytes, seq) values ($1, $2, $3, 1)
		on conflict (project) do update set
			functions = project_usage.functions + excluded.functions,
			code_bytes = project_usage.code_bytes + excluded.code_bytes,
			seq = project_usage.seq + 1
		returning functions, code_bytes, seq`,
		project, delta.Functions, delta.CodeBytes).Scan(&usage.Functions, &usage.CodeBytes, &seq)
	return usage, seq, err
}

// within holds a usage to the quota in those parts that have grown by delta.
func within(usage, delta faas.Usage, quota faas.Quota) error {
	switch {
	case delta.Functions > 0 && usage.Functions > quota.Functions:
		return faas.Errorf(faas.CodeQuota, "functions", "the project may hold %d functions and has them already", quota.Functions)
	case delta.CodeBytes > 0 && usage.CodeBytes > quota.CodeBytes:
		return faas.Errorf(faas.CodeQuota, "code_bytes", "the project may hold %d bytes of code and this would make it %d", quota.CodeBytes, usage.CodeBytes)
	}
	return nil
}

// Function gives one version. Error: CodeNotFound, field "function" or, when only the version is missing, "version".
func (db *DB) Function(ctx context.Context, key faas.FunctionKey) (*faas.Function, error) {
	f, err := function(ctx, db.read, key)
	return f, db.failed("read function", err)
}

func function(ctx context.Context, q queries, key faas.FunctionKey) (*faas.Function, error) {
	if !storable(key.Project, key.Package, key.Name, key.Version) {
		return nil, faas.NotFound("function", key.Name)
	}
	const named = ` from functions where project = $1 and package = $2 and name = $3`
	f, _, err := scan(q.QueryRowContext(ctx, `select `+functionColumns+named+` and version = $4`,
		key.Project, key.Package, key.Name, key.Version))
	if !errors.Is(err, sql.ErrNoRows) {
		return f, err
	}
	var others int64
	err = q.QueryRowContext(ctx, `select count(*)`+named, key.Project, key.Package, key.Name).Scan(&others)
	switch {
	case err != nil:
		return nil, err
	case others > 0:
		return nil, faas.NotFound("version", key.Version)
	}
	return nil, faas.NotFound("function", key.Name)
}

// scan reads a row of functionColumns.
func scan(row interface{ Scan(...any) error }) (f *faas.Function, seq int64, err error) {
	f = new(faas.Function)
	var created, modified int64
	var doc string
	err = row.Scan(&seq, &f.Project, &f.Package, &f.Name, &f.Version, &f.ID, &f.Revision, &f.Code.Digest, &f.Code.Size,
		&created, &modified, &doc)
	if err != nil {
		return nil, 0, err
	}
	f.Number = seq
	f.CreatedAt, f.ModifiedAt = time.UnixMicro(created).UTC(), time.UnixMicro(modified).UTC()
	if err := decode(doc, f); err != nil {
		return nil, 0, fmt.Errorf("function %s/%s/%s:%s: %w", f.Project, f.Package, f.Name, f.Version, err)
	}
	return f, seq, nil
}

// UpdateFunction reads a version, lets change alter it, stores it with Revision + 1 and gives what it stored. The
// project's functions are locked meanwhile, so change must be quick and must not call the store. An error of change
// leaves all as it was and is returned. The key, ID and creation time cannot be changed.
//
// Errors: CodeNotFound as Function, or field "dependency"; CodeQuota as CreateFunction, when the code grows.
func (db *DB) UpdateFunction(ctx context.Context, key faas.FunctionKey, quota faas.Quota, change func(*faas.Function) error) (f *faas.Function, err error) {
	err = db.change(ctx, "update function", func(tx *sql.Tx) error {
		if f, err = lockFunction(ctx, tx, key); err != nil {
			return err
		}
		old := *f
		if err := change(f); err != nil {
			return err
		}
		if f.Key() != key || f.ID != old.ID || !f.CreatedAt.Equal(old.CreatedAt) {
			return fmt.Errorf("the change of %s/%s/%s:%s alters its identity", key.Project, key.Package, key.Name, key.Version)
		}
		f.Revision = old.Revision + 1
		delta := faas.Usage{CodeBytes: f.Code.Size - old.Code.Size}
		usage, _, err := take(ctx, tx, key.Project, delta)
		if err != nil {
			return err
		}
		if err := within(usage, delta, quota); err != nil {
			return err
		}
		if err := setTitle(ctx, tx, f, old.Title); err != nil {
			return err
		}
		if !slices.Equal(f.Spec.Dependencies, old.Spec.Dependencies) {
			if err := holdDependencies(ctx, tx, f); err != nil {
				return err
			}
		}
		return replace(ctx, tx, f)
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// lockFunction locks the project and reads a version of one of its functions.
func lockFunction(ctx context.Context, tx *sql.Tx, key faas.FunctionKey) (*faas.Function, error) {
	if _, err := lockProject(ctx, tx, key.Project); err != nil {
		return nil, err
	}
	return function(ctx, tx, key)
}

// lockProject locks what a project holds, and tells whether it ever held anything.
func lockProject(ctx context.Context, tx *sql.Tx, project string) (bool, error) {
	if !storable(project) {
		return false, nil
	}
	return insert(ctx, tx, `update project_usage set seq = seq where project = $1`, project)
}

func replace(ctx context.Context, tx *sql.Tx, f *faas.Function) error {
	doc, err := encode(f)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `update functions set revision = $1, digest = $2, code_bytes = $3, modified_us = $4, doc = $5, reserves = $6
		where project = $7 and package = $8 and name = $9 and version = $10`,
		f.Revision, f.Code.Digest, f.Code.Size, f.ModifiedAt.UnixMicro(), doc, bit(keeps(f)), f.Project, f.Package, f.Name, f.Version)
	return err
}

// DeleteFunction removes all versions and aliases of a function, with their triggers, settings, jobs, records of calls, test events and tags;
// key.Version is ignored. Jobs that had not ended count as cancelled. Errors: CodeNotFound, field "function"; CodeConflict, field
// "binding", while it is bound to gateways.
func (db *DB) DeleteFunction(ctx context.Context, key faas.FunctionKey) error {
	if !storable(key.Project, key.Package, key.Name) {
		return faas.NotFound("function", key.Name)
	}
	return db.change(ctx, "delete function", func(tx *sql.Tx) error {
		if _, err := lockProject(ctx, tx, key.Project); err != nil {
			return err
		}
		const named = ` from functions where project = $1 and package = $2 and name = $3`
		var versions int64
		var held faas.Usage
		err := tx.QueryRowContext(ctx, `select count(*), coalesce(sum(case when version = '`+faas.Latest+`' then 1 else 0 end), 0),
			cast(coalesce(sum(code_bytes), 0) as bigint)`+named, key.Project, key.Package, key.Name).
			Scan(&versions, &held.Functions, &held.CodeBytes)
		switch {
		case err != nil:
			return err
		case versions == 0:
			return faas.NotFound("function", key.Name)
		}
		if err := unbound(ctx, tx, key); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `delete`+named, key.Project, key.Package, key.Name); err != nil {
			return err
		}
		for _, table := range []string{"function_titles", "aliases", "calls", "call_counts", "async_configs", "dependency_uses"} {
			if _, err := tx.ExecContext(ctx, `delete from `+table+` where project = $1 and package = $2 and name = $3`,
				key.Project, key.Package, key.Name); err != nil {
				return err
			}
		}
		if err := db.dropJobs(ctx, tx, key); err != nil {
			return err
		}
		if err := deleteBeside(ctx, tx, key); err != nil {
			return err
		}
		filter := faas.TriggerFilter{Project: key.Project, Package: key.Package, Name: key.Name}
		if _, err := deleteTriggers(ctx, tx, filter); err != nil {
			return err
		}
		_, _, err = take(ctx, tx, key.Project, faas.Usage{Functions: -held.Functions, CodeBytes: -held.CodeBytes})
		return err
	})
}

// ListFunctions gives a page of the Latest versions in a project, oldest first, with the count of all that match. Letter
// case is ignored in every script; "%" and "_" stand for themselves.
func (db *DB) ListFunctions(ctx context.Context, filter faas.FunctionFilter) (page faas.FunctionPage, err error) {
	if !storable(filter.Project, filter.Package, filter.NamePart) {
		return page, nil
	}
	matching, args := latest(filter, db.dialect.position)
	limit := max(1, filter.Limit)
	err = db.view(ctx, "list functions", func(tx *sql.Tx) error {
		count := `select count(*)` + matching
		if len(args) == 1 { // they are counted already
			count = `select coalesce(sum(functions), 0) from project_usage where project = $1`
		}
		if err := tx.QueryRowContext(ctx, count, args...).Scan(&page.Total); err != nil {
			return err
		}
		// The rows that are left out are passed over in the index, and not read; from the end where that is nearer.
		order, skip, want := "", filter.Skip, int64(limit)+1
		if behind := page.Total - filter.Skip; filter.After == 0 && 0 < behind && behind < filter.Skip {
			want = min(want, behind)
			order, skip = " desc", behind-want
		}
		n := len(args)
		rows, err := tx.QueryContext(ctx, fmt.Sprintf(`select %[1]s from functions where project = $1 and seq in (select seq%[2]s and seq > $%[3]d
			order by seq%[6]s limit $%[4]d offset $%[5]d) order by seq`, functionColumns, matching, n+1, n+2, n+3, order),
			append(args, filter.After, want, skip)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var last int64
		for rows.Next() {
			if len(page.Functions) == limit {
				page.Next = last
				break
			}
			f, seq, err := scan(rows)
			if err != nil {
				return err
			}
			page.Functions, last = append(page.Functions, f), seq
		}
		return rows.Err()
	})
	if err != nil {
		return faas.FunctionPage{}, err
	}
	return page, nil
}

// latest gives the condition of a filter, which names only the columns that count.
func latest(f faas.FunctionFilter, position string) (matching string, args []any) {
	matching, args = ` from functions where project = $1 and version = '`+faas.Latest+`'`, []any{f.Project}
	if f.Package != "" {
		args = append(args, f.Package)
		matching += ` and package = $` + strconv.Itoa(len(args))
	}
	if f.NamePart != "" {
		args = append(args, strings.ToLower(f.NamePart))
		matching += ` and ` + position + `(name_folded, $` + strconv.Itoa(len(args)) + `) > 0`
	}
	return matching, args
}

// Usage counts what a project holds: its functions, and the code of all their versions.
func (db *DB) Usage(ctx context.Context, project string) (usage faas.Usage, err error) {
	if !storable(project) {
		return usage, nil
	}
	err = db.read.QueryRowContext(ctx, `select functions, code_bytes from project_usage where project = $1`, project).
		Scan(&usage.Functions, &usage.CodeBytes)
	if errors.Is(err, sql.ErrNoRows) {
		return usage, nil
	}
	return usage, db.failed("read usage", err)
}

// DigestUsed tells whether any version of any function or dependency, or a release of the gateways' agent, has this code.
func (db *DB) DigestUsed(ctx context.Context, digest string) (used bool, err error) {
	if !storable(digest) {
		return false, nil
	}
	err = db.read.QueryRowContext(ctx, `select exists (select 1 from functions where digest = $1)`, digest).Scan(&used)
	if err == nil && !used {
		used, err = db.digestOfDependency(ctx, digest)
	}
	if err == nil && !used {
		return db.digestOfRelease(ctx, digest)
	}
	return used, db.failed("look up digest", err)
}
