package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// Servers on one database hand over the same occurrences of timers at the same time, each in an order of its own and beside jobs that
// only it has: each becomes one job.
func testJobBatches(t *testing.T, url string) {
	nodes := []*store.DB{Open(t, url), Open(t, url), Open(t, url)}
	const most, rounds = 100, 10
	for range rounds {
		batch := make([]faas.Job, most)
		for i := range batch {
			batch[i] = job("p", "f"+strconv.Itoa(i%10))
			batch[i].Dedup = "tick " + batch[i].ID
		}
		together(t, len(nodes)*3, func(i int) error {
			mine := slices.Clone(batch)
			rand.Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
			own := []faas.Job{job("p", "own"), job("p", "own")}
			places, err := nodes[i%len(nodes)].EnqueueJobs(t.Context(), slices.Concat(own[:1], mine, own[1:]))
			if err == nil && len(places) != most+2 {
				err = fmt.Errorf("%d places", len(places))
			}
			return err
		})
	}
	require.EqualValues(t, rounds*(most+len(nodes)*3*2), requireJobBooks(t, nodes[0], "p").Accepted)
}

// A job that several begin anew while others end it is in one state in the end, and the books say which.
func testJobRedriveRace(t *testing.T, url string) {
	db := Open(t, url)
	j := job("p", "a")
	lane := enqueue(t, db, j).Lane
	together(t, 6, func(worker int) error {
		for range 60 {
			if worker%2 == 0 {
				if _, err := db.RedriveJob(t.Context(), j.Key, j.ID); faas.CodeOf(err) == faas.CodeInternal && err != nil {
					return err
				}
				continue
			}
			got, err := db.ClaimJobs(t.Context(), []faas.LaneClaim{{Lane: lane, Most: 1}})
			if err != nil {
				return err
			}
			for _, c := range got[0].Jobs {
				if _, err := db.EndJobs(t.Context(), []faas.JobEnd{{Seq: c.Seq, Attempt: c.Attempts, State: faas.JobDead}}); err != nil {
					return err
				}
			}
			if _, err := db.ForgetJobs(t.Context(), time.Now().Add(-time.Hour), 1<<40, 10); err != nil {
				return err
			}
		}
		return nil
	})
	requireJobBooks(t, db, "p")
}
