package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

// jobList is what was measured of minapp's list of jobs.
type jobList struct {
	pages map[string][]float64 // ms, by filter
}

const (
	listedJobs  = 1_000_000
	listedPages = 300 // of each filter
	listedDays  = 30
)

// jobFilters are the queries of the pages; the offset stands behind them.
var jobFilters = []struct{ name, query string }{
	{"all", ""},
	{"one status", "&status=execution_failed"},
	{"the last 7 days", fmt.Sprint("&created_at__gte=", time.Now().AddDate(0, 0, -7).Unix())},
}

func lineJobs(filter string) string { return "job list, a page of 1,000,000, " + filter + ", p99" }

// measureJobs lists jobs among a million. They are laid into the database between two runs of the server: to make them would take
// longer than all other measurements together.
func (b *bench) measureJobs(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "hanshu-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := startServer(ctx, os.Environ(), b.opts.binary, dir)
	if err != nil {
		return err
	}
	code := map[string]string{"name": "listed", "function_code": "exports.main = async function () { return 1 }"}
	err = s.api(ctx, http.MethodPost, "/oserve/v1.3/cloud-function/", code, nil)
	s.stop()
	if err != nil {
		return err
	}
	if err := layJobs(ctx, filepath.Join(dir, "data", "hanshu.db"), s.ProjectID); err != nil {
		return fmt.Errorf("lay jobs: %w", err)
	}
	if s, err = startServer(ctx, os.Environ(), b.opts.binary, dir); err != nil {
		return err
	}
	defer s.stop()
	b.jobs = &jobList{pages: map[string][]float64{}}
	for _, f := range jobFilters {
		if b.jobs.pages[f.name], err = s.jobPages(ctx, f.query); err != nil {
			return err
		}
		fmt.Fprintf(b.log, "job list, %s: p50 %.1f, p99 %.1f ms\n", f.name, quantile(b.jobs.pages[f.name], 0.5), quantile(b.jobs.pages[f.name], 0.99))
	}
	return nil
}

// jobPages reads pages at random places.
func (s *server) jobPages(ctx context.Context, query string) (times []float64, err error) {
	var answer struct {
		Meta struct {
			Total int64 `json:"total_count"`
		} `json:"meta"`
		Objects []struct {
			ID int64 `json:"id"`
		} `json:"objects"`
	}
	total := int64(1)
	for range listedPages + 1 {
		path := fmt.Sprint("/oserve/v1.3/cloud-function/listed/job/?limit=20&offset=", rand.Int64N(total), query)
		begun := time.Now()
		if err := s.api(ctx, http.MethodGet, path, nil, &answer); err != nil {
			return nil, err
		}
		times = append(times, ms(time.Since(begun)))
		if total = answer.Meta.Total; total < listedJobs/20 || len(answer.Objects) == 0 {
			return nil, fmt.Errorf("%s: %d of %d jobs", path, len(answer.Objects), total)
		}
	}
	return times[1:], nil
}

// layJobs writes the rows that so many calls over a month would have left.
func layJobs(ctx context.Context, file, project string) error {
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	var name string
	if err := tx.QueryRowContext(ctx, `select name from functions where project = ?`, project).Scan(&name); err != nil {
		return err
	}
	lay, err := tx.PrepareContext(ctx, `insert into calls (id, number, project, package, name, source, async, state, created_us, started_us, ended_us, memory, code, log)
		values (?, ?, ?, 'default', ?, ?, ?, ?, ?, ?, ?, ?, '', ?)`)
	if err != nil {
		return err
	}
	begin, step := time.Now().AddDate(0, 0, -listedDays).UnixMicro()+int64(time.Hour/time.Microsecond), int64(listedDays*24*time.Hour/time.Microsecond)/(listedJobs*102/100)
	log := "2026-01-01T00:00:00.000Z INFO one line that a function printed\n"
	for i := range int64(listedJobs) {
		at, state := begin+i*step, 2
		if i%10 == 0 {
			state = 3
		}
		if _, err := lay.ExecContext(ctx, uuid.NewString(), at, project, name, []string{"sdk", "timer", "open_api"}[i%3], i%2, state, at, at+1000, at+3000, 30<<20, log); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `insert into call_counts (project, package, name, hour, source, async, state, n)
		select project, package, name, created_us / 3600000000, source, async, state, count(*) from calls group by 1, 2, 3, 4, 5, 6, 7`); err != nil {
		return err
	}
	return tx.Commit()
}

// rows are the lines of the table.
func (j *jobList) rows() []row {
	if j == nil {
		return nil
	}
	var rows []row
	for _, f := range jobFilters {
		rows = append(rows, row{Line: lineJobs(f.name), Unit: millisecond, Value: quantile(j.pages[f.name], 0.99)})
	}
	return rows
}
