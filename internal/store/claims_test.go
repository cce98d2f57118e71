package store

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// crowd fills a table: so many jobs wait in the first lane, and one in each of the others.
func crowd(t testing.TB, db *DB, jobs, lanes int) {
	t.Helper()
	_, err := db.write.Exec(fmt.Sprintf(`insert into lanes (id, project, package, name, delivery)
		with recursive n (i) as (select 1 union all select i + 1 from n where i < %d)
		select i, 'p', 'default', 'f' || i, 0 from n`, lanes))
	require.NoError(t, err)
	_, err = db.write.Exec(fmt.Sprintf(`insert into jobs (seq, id, lane, state, due_us, since_us, version, alias, source, memory_mb, parent, target, bytes, event)
		with recursive n (i) as (select 1 union all select i + 1 from n where i < %d)
		select i, 'id' || i, case when i <= %d then 1 else i - %d + 1 end, 0, i, i, 'latest', '', 'api', 0, '', '', 512, null from n`,
		jobs+lanes-1, jobs, jobs))
	require.NoError(t, err)
	_, err = db.write.Exec(`insert into job_books values ('here', $1, 0, 0, 0, $1, 0, 0)`, jobs+lanes-1)
	require.NoError(t, err)
}

// plan is how SQLite goes about a statement.
func plan(t *testing.T, db *DB, statement string, args ...any) string {
	t.Helper()
	rows, err := db.write.Query("explain query plan "+statement, args...)
	require.NoError(t, err)
	var steps []string
	require.NoError(t, each(rows, func() error {
		var id, parent, unused int
		var step string
		err := rows.Scan(&id, &parent, &unused, &step)
		steps = append(steps, step)
		return err
	}))
	return strings.Join(steps, "\n")
}

// TestPlans: no statement of the path of a job looks through a table or an index; each goes to its place in one.
func TestPlans(t *testing.T) {
	db, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "a.db")})
	require.NoError(t, err)
	defer db.Close()
	ends := []any{"here", 1}
	for range 4 {
		ends = append(ends, 1, 1, 0, 0, "", "", 0, 0, 0)
	}
	for name, c := range map[string]struct {
		statement string
		args      []any
		uses      string
	}{
		"claim": {db.dialect.claimOf(), []any{1, 1, 1, ""}, "jobs_waiting"},
		"next":  {nextOf, []any{1}, "jobs_waiting"},
		"end":   {endOf(4), ends, "SEARCH jobs USING INDEX jobs_running (node=? AND seq=?)"},
		"list":  {listedOf, []any{1, 1, 1, 1, 1}, "COVERING INDEX jobs_listed"},
		"heads": {headsOf, nil, "jobs_waiting"},
	} {
		steps := plan(t, db, c.statement, c.args...)
		require.Contains(t, steps, c.uses, name)
		for step := range strings.Lines(steps) {
			onJobs := strings.Contains(step, "SCAN jobs") || strings.Contains(step, "SCAN j")
			require.False(t, onJobs && !strings.Contains(step, "SCAN j USING COVERING INDEX jobs_waiting"), "%s: %s", name, steps)
			require.NotContains(t, step, "TEMP B-TREE FOR ORDER BY", name)
		}
	}
}

// TestClaimAmongMany: a lane with 1,000,000 waiting jobs costs those beside it, and itself, next to nothing. Under the race detector,
// which takes minutes to make a million, they are fewer, and a look through them all would still be as plain to see.
func TestClaimAmongMany(t *testing.T) {
	jobs := 1_000_000
	if race {
		jobs = 30_000
	}
	few, many := claimCost(t, 1, jobs), claimCost(t, jobs, jobs)
	t.Logf("claim of a neighbour: %v beside 1 job, %v beside %d; heads: %v and %v; claim in the crowd: %v",
		few.neighbour, many.neighbour, jobs, few.heads, many.heads, many.crowd)
	require.Less(t, many.neighbour, 5*few.neighbour+time.Millisecond)
	require.Less(t, many.crowd, 5*few.neighbour+time.Millisecond)
	require.Less(t, many.heads, 5*few.heads+5*time.Millisecond)
}

type cost struct{ neighbour, crowd, heads time.Duration }

// claimCost measures claims with so many jobs in one lane and 999 lanes beside it.
func claimCost(t *testing.T, jobs, most int) cost {
	db, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "a.db")})
	require.NoError(t, err)
	defer db.Close()
	crowd(t, db, jobs, 1000)
	timed := func(times int, run func(i int)) time.Duration {
		var took []time.Duration
		for i := range times {
			begun := time.Now()
			run(i)
			took = append(took, time.Since(begun))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	claim := func(lane int64) {
		got, err := db.ClaimJobs(context.Background(), []faas.LaneClaim{{Lane: lane, Most: 1}})
		require.NoError(t, err)
		require.True(t, len(got[0].Jobs) == 1 || jobs != most && lane == 1)
	}
	c := cost{neighbour: timed(50, func(i int) { claim(int64(i + 2)) }), crowd: timed(50, func(int) { claim(1) })}
	c.heads = timed(15, func(int) {
		heads, err := db.JobHeads(context.Background())
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(heads), 949)
	})
	return c
}
