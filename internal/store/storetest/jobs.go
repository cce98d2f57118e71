package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// job makes one of a function.
func job(project, name string) faas.Job {
	return faas.Job{
		ID: uuid.NewString(), Key: faas.FunctionKey{Project: project, Package: "default", Name: name}, Source: faas.SourceAPI, Event: []byte(`{"n":1}`),
	}
}

func enqueue(t *testing.T, db *store.DB, j faas.Job) faas.JobPlace {
	t.Helper()
	place, err := db.EnqueueJob(t.Context(), j)
	require.NoError(t, err)
	return place
}

// claim takes up to n jobs of a lane.
func claim(t *testing.T, db *store.DB, lane int64, n int) faas.LaneClaimed {
	t.Helper()
	got, err := db.ClaimJobs(t.Context(), []faas.LaneClaim{{Lane: lane, Most: n}})
	require.NoError(t, err)
	require.Len(t, got, 1)
	return got[0]
}

func end(t *testing.T, db *store.DB, e faas.JobEnd) faas.JobEnded {
	t.Helper()
	got, err := db.EndJobs(t.Context(), []faas.JobEnd{e})
	require.NoError(t, err)
	return got[0]
}

func status(t *testing.T, db *store.DB, id string) faas.JobStatus {
	t.Helper()
	list, err := db.Jobs(t.Context(), faas.JobFilter{Project: "p", IDs: []string{id}, Deliveries: true, Limit: 1})
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0]
}

// requireJobBooks holds the books to the rows: nothing may have been forgotten in the meantime.
func requireJobBooks(t *testing.T, db *store.DB, project string) faas.JobBooks {
	t.Helper()
	books, err := db.JobBooks(t.Context())
	require.NoError(t, err)
	require.True(t, books.Balanced(), "%+v", books)
	counted := map[faas.JobState]int64{}
	all, err := db.Jobs(t.Context(), faas.JobFilter{Project: project, Deliveries: true, Limit: 1_000_000})
	require.NoError(t, err)
	for _, j := range all {
		counted[j.State]++
	}
	require.Equal(t, faas.JobBooks{
		Accepted: int64(len(all)), Done: counted[faas.JobDone], Dead: counted[faas.JobDead] + counted[faas.JobExpired],
		Cancelled: counted[faas.JobCancelled], Waiting: counted[faas.JobWaiting], Running: counted[faas.JobRunning], Kept: books.Kept,
	}, books)
	return books
}

func testJobLife(t *testing.T, url string) {
	db := Open(t, url)
	first := job("p", "a")
	first.Key.Version, first.MemoryMB, first.Parent, first.Event = "v7", 256, "its parent", []byte("{\"n\":\"\u00e9\\u0000\"}")
	place := enqueue(t, db, first)
	second := job("p", "a")
	require.Equal(t, place.Lane, enqueue(t, db, second).Lane)
	require.NotEqual(t, place.Lane, enqueue(t, db, job("p", "b")).Lane)
	delivery := job("p", "a")
	delivery.Target = &faas.Destination{Kind: faas.DestinationBucket, Name: "bucket", Prefix: "x/", Days: 3,
		Function: faas.FunctionKey{Project: "p", Package: "q", Name: "r", Version: "v"}, Alias: "al"}
	other := enqueue(t, db, delivery)
	require.NotEqual(t, place.Lane, other.Lane)
	require.Equal(t, delivery.Target, claim(t, db, other.Lane, 1).Jobs[0].Target)

	got := claim(t, db, place.Lane, 1)
	require.Len(t, got.Jobs, 1)
	require.False(t, got.Next.IsZero(), "another one waits")
	j := got.Jobs[0]
	require.Equal(t, first.ID, j.ID)
	require.Equal(t, first.Event, j.Event)
	require.Equal(t, []any{"v7", 256, "its parent", faas.JobRunning, 1}, []any{j.Key.Version, j.MemoryMB, j.Parent, j.State, j.Attempts})
	got = claim(t, db, place.Lane, 5)
	require.Len(t, got.Jobs, 1)
	require.Equal(t, second.ID, got.Jobs[0].ID)
	require.Equal(t, faas.Latest, got.Jobs[0].Key.Version)
	require.True(t, got.Next.IsZero(), "nothing waits")
	require.Empty(t, claim(t, db, place.Lane, 5).Jobs)

	later := time.Now().Add(time.Hour)
	done := end(t, db, faas.JobEnd{Seq: j.Seq, Attempt: 1, State: faas.JobWaiting, Due: later, Code: faas.CodeException, Message: "no \u51fd"})
	require.Equal(t, faas.JobWaiting, done.State)
	got = claim(t, db, place.Lane, 5)
	require.Empty(t, got.Jobs)
	require.WithinDuration(t, later, got.Next, time.Millisecond)
	s := status(t, db, j.ID)
	require.Equal(t, []any{faas.CodeException, "no \u51fd", 1, 1, "p", "a"}, []any{s.Code, s.Message, s.Attempts, s.Failures(), s.Key.Project, s.Key.Name})

	next := job("p", "b")
	next.Parent = second.ID
	done = end(t, db, faas.JobEnd{Seq: status(t, db, second.ID).Seq, Attempt: 1, State: faas.JobDone, Drop: true, Next: []faas.Job{next}})
	require.Equal(t, faas.JobDone, done.State)
	require.Len(t, done.Places, 1)
	s = status(t, db, second.ID)
	require.Nil(t, s.Event)
	require.False(t, s.Ended.IsZero())
	require.Equal(t, faas.JobWaiting, status(t, db, next.ID).State)

	stale := end(t, db, faas.JobEnd{Seq: s.Seq, Attempt: 1, State: faas.JobDead, Next: []faas.Job{job("p", "b")}})
	require.Empty(t, stale.State, "the second end of an attempt counts for nothing")
	require.Empty(t, stale.Places)
	require.Equal(t, faas.JobDone, status(t, db, second.ID).State)
	requireJobBooks(t, db, "p")
}

func testJobDedup(t *testing.T, url string) {
	db := Open(t, url)
	j := job("p", "a")
	j.Dedup = "tick 1"
	place := enqueue(t, db, j)
	enqueue(t, db, j) // the same id again
	again := j
	again.ID = uuid.NewString()
	enqueue(t, db, again)
	elsewhere := again
	elsewhere.Key.Name = "b"
	elsewhere.ID = uuid.NewString()
	enqueue(t, db, elsewhere)
	both := job("p", "a")
	both.Dedup = "tick 2"
	twin := both
	twin.ID = uuid.NewString()
	_, err := db.EnqueueJobs(t.Context(), []faas.Job{both, twin})
	require.NoError(t, err)
	require.Len(t, claim(t, db, place.Lane, 10).Jobs, 2)
	require.EqualValues(t, 3, requireJobBooks(t, db, "p").Accepted)
	together(t, 20, func(int) error {
		one := job("p", "a")
		one.Dedup = "tick 3"
		_, err := db.EnqueueJob(t.Context(), one)
		return err
	})
	require.EqualValues(t, 4, requireJobBooks(t, db, "p").Accepted)
	bad := job("p", "a\x00")
	_, err = db.EnqueueJob(t.Context(), bad)
	requireError(t, err, faas.CodeInvalid, "job")
}

func testJobTimes(t *testing.T, url string) {
	db := Open(t, url)
	later := job("p", "a")
	later.NotBefore = time.Now().Add(time.Hour)
	place := enqueue(t, db, later)
	require.WithinDuration(t, later.NotBefore, place.Due, time.Millisecond)
	require.Empty(t, claim(t, db, place.Lane, 1).Jobs)
	var ids []string
	for i := range 10 {
		j := job("p", "a")
		j.NotBefore = time.Now().Add(-time.Duration(i) * time.Minute) // past: at once, in the order of acceptance
		enqueue(t, db, j)
		ids = append(ids, j.ID)
	}
	enqueue(t, db, job("p", "b"))
	heads, err := db.JobHeads(t.Context())
	require.NoError(t, err)
	require.Len(t, heads, 2)
	for _, h := range heads {
		require.False(t, h.Due.After(time.Now()), "the first job's time, not the last one's")
		require.Equal(t, "p", h.Function.Project)
	}
	got := claim(t, db, place.Lane, 20)
	var order []string
	for _, j := range got.Jobs {
		order = append(order, j.ID)
	}
	require.Equal(t, ids, order)
	require.WithinDuration(t, later.NotBefore, got.Next, time.Millisecond)
}

func testJobCancel(t *testing.T, url string) {
	db := Open(t, url)
	f := faas.FunctionKey{Project: "p", Package: "default", Name: "a"}
	waiting, running := job("p", "a"), job("p", "a")
	place := enqueue(t, db, running)
	attempt := claim(t, db, place.Lane, 1).Jobs[0]
	enqueue(t, db, waiting)
	child, grandchild := job("p", "b"), job("p", "c")
	child.Parent, grandchild.Parent = running.ID, child.ID
	enqueue(t, db, child)
	enqueue(t, db, grandchild)

	_, err := db.CancelJob(t.Context(), f, "nobody", faas.CancelRetries, false)
	requireError(t, err, faas.CodeNotFound, "job")
	_, err = db.CancelJob(t.Context(), f, child.ID, faas.CancelRetries, false)
	requireError(t, err, faas.CodeNotFound, "job") // another function's
	left, err := db.CancelJob(t.Context(), f, waiting.ID, faas.CancelRetries, false)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Equal(t, faas.JobCancelled, status(t, db, waiting.ID).State)
	_, err = db.CancelJob(t.Context(), f, waiting.ID, faas.CancelRetries, false)
	requireError(t, err, faas.CodeConflict, "job")

	left, err = db.CancelJob(t.Context(), f, running.ID, faas.CancelForce, true)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, running.ID, left[0].ID)
	require.Equal(t, faas.JobCancelled, status(t, db, child.ID).State)
	require.Equal(t, faas.JobCancelled, status(t, db, grandchild.ID).State)
	called, err := db.CalledOffJobs(t.Context())
	require.NoError(t, err)
	require.Len(t, called, 1)
	require.Equal(t, faas.CancelForce, called[0].Cancel)
	ended := end(t, db, faas.JobEnd{Seq: attempt.Seq, Attempt: 1, State: faas.JobWaiting, Due: time.Now(), Code: faas.CodeExit})
	require.Equal(t, faas.JobCancelled, ended.State, "it is not tried again")
	require.False(t, status(t, db, running.ID).Ended.IsZero())

	// What succeeds before the cancellation reaches it has succeeded.
	late := job("p", "a")
	enqueue(t, db, late)
	attempt = claim(t, db, place.Lane, 1).Jobs[0]
	_, err = db.CancelJob(t.Context(), f, late.ID, faas.CancelRetries, false)
	require.NoError(t, err)
	require.Equal(t, faas.JobDone, end(t, db, faas.JobEnd{Seq: attempt.Seq, Attempt: 1, State: faas.JobDone}).State)
	requireJobBooks(t, db, "p")
}

func testJobRedrive(t *testing.T, url string) {
	db := Open(t, url)
	f := faas.FunctionKey{Project: "p", Package: "default", Name: "a"}
	j := job("p", "a")
	place := enqueue(t, db, j)
	_, err := db.RedriveJob(t.Context(), f, j.ID)
	requireError(t, err, faas.CodeConflict, "job")
	attempt := claim(t, db, place.Lane, 1).Jobs[0]
	end(t, db, faas.JobEnd{Seq: attempt.Seq, Attempt: 1, State: faas.JobDead, Code: faas.CodeException, Message: "no"})
	require.EqualValues(t, 1, requireJobBooks(t, db, "p").Dead)
	back, err := db.RedriveJob(t.Context(), f, j.ID)
	require.NoError(t, err)
	require.Equal(t, place.Lane, back.Lane)
	require.Zero(t, requireJobBooks(t, db, "p").Kept)
	attempt = claim(t, db, place.Lane, 1).Jobs[0]
	require.Equal(t, j.Event, attempt.Event)
	require.Equal(t, 1, attempt.Attempts)
	require.True(t, attempt.Since.After(attempt.Accepted()), "its age begins anew")
	_, err = db.RedriveJob(t.Context(), f, "nobody")
	requireError(t, err, faas.CodeNotFound, "job")
}

func testJobRestart(t *testing.T, url string) {
	db, err := store.Open(t.Context(), store.Config{URL: url})
	require.NoError(t, err)
	kept, called := job("p", "a"), job("p", "a")
	place := enqueue(t, db, kept)
	enqueue(t, db, called)
	enqueue(t, db, job("p", "b"))
	require.Len(t, claim(t, db, place.Lane, 2).Jobs, 2)
	_, err = db.CancelJob(t.Context(), called.Key, called.ID, faas.CancelRetries, false)
	require.NoError(t, err)
	others, err := db.BeatJobs(t.Context())
	require.NoError(t, err)
	require.Empty(t, others)
	require.NoError(t, db.Close())

	db = Open(t, url)
	node := ""
	if db.Shared() {
		require.EqualValues(t, 0, takeOver(t, db, ""), "a node that starts is a new one")
		others, err = db.BeatJobs(t.Context())
		require.NoError(t, err)
		require.Len(t, others, 1)
		for other, beat := range others {
			node = other
			require.EqualValues(t, 1, beat)
		}
	}
	require.EqualValues(t, 2, takeOver(t, db, node))
	require.EqualValues(t, 0, takeOver(t, db, node))
	if db.Shared() {
		others, err = db.BeatJobs(t.Context())
		require.NoError(t, err)
		require.Empty(t, others)
	}
	require.Equal(t, faas.JobCancelled, status(t, db, called.ID).State)
	s := status(t, db, kept.ID)
	require.Equal(t, []any{faas.JobWaiting, 1, 1, 0}, []any{s.State, s.Attempts, s.Interrupted, s.Failures()})
	require.Equal(t, 2, claim(t, db, place.Lane, 5).Jobs[0].Attempts)
	require.Empty(t, end(t, db, faas.JobEnd{Seq: s.Seq, Attempt: 1, State: faas.JobDead}).State, "another attempt is under way")
	require.Equal(t, faas.JobRunning, status(t, db, kept.ID).State)
	requireJobBooks(t, db, "p")
}

// testJobUnseen has a node that the others took for gone claim a job, and end before its next beat.
func testJobUnseen(t *testing.T, url string) {
	a, b := Open(t, url), Open(t, url)
	if !a.Shared() {
		return // one server at a time
	}
	nodeOf := func() string {
		others, err := b.BeatJobs(t.Context())
		require.NoError(t, err)
		require.Len(t, others, 1)
		for node := range others {
			return node
		}
		return ""
	}
	_, err := a.BeatJobs(t.Context())
	require.NoError(t, err)
	node := nodeOf()
	require.Zero(t, takeOver(t, b, node))
	place := enqueue(t, b, job("p", "a"))
	require.Len(t, claim(t, a, place.Lane, 1).Jobs, 1)
	require.Equal(t, node, nodeOf())
	require.EqualValues(t, 1, takeOver(t, b, node))
	require.Len(t, claim(t, b, place.Lane, 1).Jobs, 1)
	requireJobBooks(t, b, "p")
}

func testJobRelease(t *testing.T, url string) {
	db := Open(t, url)
	place := enqueue(t, db, job("p", "a"))
	for range 3 {
		enqueue(t, db, job("p", "a"))
	}
	held, older, called, lost := claim(t, db, place.Lane, 1).Jobs[0], claim(t, db, place.Lane, 1).Jobs[0], claim(t, db, place.Lane, 1).Jobs[0], claim(t, db, place.Lane, 1).Jobs[0]
	_, err := db.CancelJob(t.Context(), faas.FunctionKey{Project: "p", Package: "default", Name: "a"}, called.ID, faas.CancelRetries, false)
	require.NoError(t, err)
	n, err := db.ReleaseJobs(t.Context(), map[int64]int{held.Seq: 1, older.Seq: 0})
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.Equal(t, faas.JobRunning, status(t, db, held.ID).State)
	require.Equal(t, faas.JobCancelled, status(t, db, called.ID).State)
	for _, id := range []string{older.ID, lost.ID} {
		s := status(t, db, id)
		require.Equal(t, []any{faas.JobWaiting, 1, 1}, []any{s.State, s.Attempts, s.Interrupted})
	}
	require.Len(t, claim(t, db, place.Lane, 5).Jobs, 2)
	both, err := db.EndJobs(t.Context(), []faas.JobEnd{
		{Seq: lost.Seq, Attempt: 2, State: faas.JobDone}, {Seq: lost.Seq, Attempt: 1, State: faas.JobDead},
	})
	require.NoError(t, err)
	require.Equal(t, []faas.JobState{faas.JobDone, ""}, []faas.JobState{both[0].State, both[1].State}, "each attempt is told of its own end")
	requireJobBooks(t, db, "p")
}

func takeOver(t *testing.T, db *store.DB, node string) int64 {
	t.Helper()
	n, err := db.TakeOverJobs(t.Context(), node)
	require.NoError(t, err)
	return n
}

func testJobListing(t *testing.T, url string) {
	db := Open(t, url)
	var ids []string
	var lane int64
	for range 25 {
		j := job("p", "a")
		lane = enqueue(t, db, j).Lane
		ids = append(ids, j.ID)
	}
	enqueue(t, db, job("p", "b"))
	enqueue(t, db, job("q", "a"))
	for i, j := range claim(t, db, lane, 10).Jobs {
		if i < 5 {
			end(t, db, faas.JobEnd{Seq: j.Seq, Attempt: 1, State: []faas.JobState{faas.JobDone, faas.JobDead, faas.JobExpired}[i%3]})
		}
	}
	slices.Reverse(ids)
	filter := faas.JobFilter{Project: "p", Package: "default", Name: "a", Limit: 10}
	var paged []string
	for {
		page, err := db.Jobs(t.Context(), filter)
		require.NoError(t, err)
		for _, j := range page {
			paged = append(paged, j.ID)
			filter.Before = j.Seq
		}
		if len(page) < filter.Limit {
			break
		}
	}
	require.Equal(t, ids, paged)
	page, err := db.Jobs(t.Context(), faas.JobFilter{Project: "p", Package: "default", Name: "a", Skip: 20, Limit: 10})
	require.NoError(t, err)
	require.Len(t, page, 5)
	require.Equal(t, ids[20], page[0].ID)
	count := func(f faas.JobFilter) int {
		f.Project, f.Limit = "p", 1000
		page, err := db.Jobs(t.Context(), f)
		require.NoError(t, err)
		return len(page)
	}
	require.Equal(t, 26, count(faas.JobFilter{}))
	require.Equal(t, 2, count(faas.JobFilter{States: []faas.JobState{faas.JobDone}}))
	require.Equal(t, 20, count(faas.JobFilter{Package: "default", Name: "a", States: []faas.JobState{faas.JobWaiting, faas.JobRunning}}))
	require.Equal(t, 2, count(faas.JobFilter{Name: "a", Package: "default", IDs: []string{ids[3], ids[4], "nobody", "\x00"}}))
	tenth := status(t, db, ids[9])
	at := tenth.Accepted()
	require.Equal(t, 10, count(faas.JobFilter{Package: "default", Name: "a", From: at}))
	require.Equal(t, 16, count(faas.JobFilter{Package: "default", Name: "a", To: at}))
}

func testJobForget(t *testing.T, url string) {
	db := Open(t, url)
	var lane int64
	for range 20 {
		j := job("p", "a")
		j.Event = []byte(strings.Repeat(" ", 1000) + "1")
		lane = enqueue(t, db, j).Lane
	}
	for _, j := range claim(t, db, lane, 15).Jobs {
		end(t, db, faas.JobEnd{Seq: j.Seq, Attempt: 1, State: faas.JobDead})
	}
	before := requireJobBooks(t, db, "p")
	require.Greater(t, before.Kept, int64(15*1000))
	more, err := db.ForgetJobs(t.Context(), time.Now().Add(-time.Hour), 1<<40, 10)
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, before, requireJobBooks(t, db, "p"), "none is old, and there is room")

	for over := true; over; {
		_, err = db.ForgetJobs(t.Context(), time.Now().Add(-time.Hour), before.Kept/3, 2)
		require.NoError(t, err)
		books, err := db.JobBooks(t.Context())
		require.NoError(t, err)
		over = books.Kept > before.Kept/3
	}
	left, err := db.Jobs(t.Context(), faas.JobFilter{Project: "p", States: []faas.JobState{faas.JobDead}, Limit: 100})
	require.NoError(t, err)
	require.Len(t, left, 5, "a third of the bytes")
	for more = true; more; {
		more, err = db.ForgetJobs(t.Context(), time.Now().Add(time.Second), 1<<40, 2)
		require.NoError(t, err)
	}
	books, err := db.JobBooks(t.Context())
	require.NoError(t, err)
	require.True(t, books.Balanced())
	require.Equal(t, faas.JobBooks{Accepted: 20, Dead: 15, Waiting: 5}, books, "what was forgotten stays in the books")
}

// testJobModel does random things to jobs from several goroutines; at the end the books say what the rows say, and every job
// is in exactly one state.
func testJobModel(t *testing.T, url string) {
	db := Open(t, url)
	ctx := t.Context()
	var mu sync.Mutex
	accepted := map[string]bool{}
	together(t, 8, func(worker int) error {
		random := rand.New(rand.NewPCG(uint64(worker), 7))
		for range 60 {
			name := fmt.Sprintf("f%d", random.IntN(3))
			j := job("p", name)
			if random.IntN(3) == 0 {
				j.Dedup = fmt.Sprint(random.IntN(10))
			}
			place, err := db.EnqueueJob(ctx, j)
			if err != nil {
				return err
			}
			mu.Lock()
			accepted[j.ID] = j.Dedup == ""
			mu.Unlock()
			if err := anything(ctx, db, random, j, place.Lane); err != nil {
				return err
			}
		}
		return nil
	})
	requireJobBooks(t, db, "p")
	all, err := db.Jobs(ctx, faas.JobFilter{Project: "p", Deliveries: true, Limit: 100_000})
	require.NoError(t, err)
	there := map[string]bool{}
	for _, j := range all {
		require.False(t, there[j.ID])
		there[j.ID] = true
	}
	for id, alone := range accepted {
		require.True(t, there[id] || !alone, "%s was accepted and is gone", id)
	}
}

// anything does one random thing.
func anything(ctx context.Context, db *store.DB, random *rand.Rand, j faas.Job, lane int64) error {
	tolerate := func(err error) error {
		if err != nil && faas.CodeOf(err) == faas.CodeInternal {
			return err
		}
		return nil
	}
	switch random.IntN(4) {
	case 0:
		_, err := db.CancelJob(ctx, j.Key, j.ID, faas.CancelRetries, random.IntN(2) == 0)
		return tolerate(err)
	case 1:
		_, err := db.RedriveJob(ctx, j.Key, j.ID)
		return tolerate(err)
	}
	got, err := db.ClaimJobs(ctx, []faas.LaneClaim{{Lane: lane, Most: 1 + random.IntN(3)}})
	if err != nil {
		return err
	}
	var ends []faas.JobEnd
	for _, c := range got[0].Jobs {
		e := faas.JobEnd{Seq: c.Seq, Attempt: c.Attempts, State: faas.JobStates[random.IntN(len(faas.JobStates))], Due: time.Now()}
		if e.State == faas.JobRunning {
			continue // it stays so
		}
		if random.IntN(3) == 0 {
			e.Next = []faas.Job{job("p", "f0")}
		}
		ends = append(ends, e)
	}
	_, err = db.EndJobs(ctx, ends)
	return err
}

func testAsyncConfigs(t *testing.T, url string) {
	db := Open(t, url)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	create(t, db, function("p", "a"))
	key := function("p", "a").Key()
	c := faas.AsyncConfig{
		Key: key, MaxAge: time.Hour, Retries: 3, StatusLog: true, CreatedAt: at, ChangedAt: at,
		OnSuccess: &faas.Destination{Kind: faas.DestinationFunction, Function: faas.FunctionKey{Project: "p", Package: "default", Name: "b", Version: "v1"}},
		OnFailure: &faas.Destination{Kind: faas.DestinationBucket, Name: "bucket", Prefix: "a/", Days: 7},
	}
	fine := func([]faas.Edge) error { return nil }
	got, err := db.SetAsyncConfig(t.Context(), c, fine)
	require.NoError(t, err)
	require.Equal(t, c, got)
	later := c
	later.CreatedAt, later.ChangedAt, later.Retries = at.Add(time.Hour), at.Add(time.Hour), 0
	got, err = db.SetAsyncConfig(t.Context(), later, fine)
	require.NoError(t, err)
	require.Equal(t, at, got.CreatedAt, "it keeps the time of its making")
	alias := faas.DefaultAsyncConfig(faas.FunctionKey{Project: "p", Package: "default", Name: "a"}, "live")
	alias.CreatedAt, alias.ChangedAt = at.Add(time.Minute), at.Add(time.Minute)
	_, err = db.SetAsyncConfig(t.Context(), alias, fine)
	requireError(t, err, faas.CodeNotFound, "alias")
	addAlias(t, db, key, "live", faas.Latest)
	_, err = db.SetAsyncConfig(t.Context(), alias, fine)
	require.NoError(t, err)
	list, err := db.AsyncConfigs(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, []faas.AsyncConfig{got, alias}, list)

	no := faas.Errorf(faas.CodeInvalid, "destination_config", "no")
	back := c
	back.Key.Name = "b"
	_, err = db.SetAsyncConfig(t.Context(), back, fine)
	requireError(t, err, faas.CodeNotFound, "function")
	create(t, db, function("p", "b"))
	_, err = db.SetAsyncConfig(t.Context(), back, func(edges []faas.Edge) error {
		a, b := faas.FunctionKey{Project: "p", Package: "default", Name: "a"}, faas.FunctionKey{Project: "p", Package: "default", Name: "b"}
		require.ElementsMatch(t, []faas.Edge{{From: b, To: b}, {From: a, To: b}}, edges)
		return no
	})
	require.Same(t, no, err)
	require.NoError(t, db.DeleteAsyncConfig(t.Context(), key, ""))
	requireError(t, db.DeleteAsyncConfig(t.Context(), key, ""), faas.CodeNotFound, "async_config")
	require.NoError(t, db.DeleteFunction(t.Context(), key))
	list, err = db.AsyncConfigs(t.Context(), faas.FunctionKey{Project: "p"})
	require.NoError(t, err)
	require.Empty(t, list, "they go with their function")

	require.NoError(t, db.UpdateAsyncSettings(t.Context(), "p", func(s *faas.AsyncSettings) error {
		s.StatusLog = true
		s.Webhooks[faas.DestinationTopic] = faas.Webhook{URL: "http://x", SealedSecret: []byte{0, 1}}
		return nil
	}))
	require.Error(t, db.UpdateAsyncSettings(t.Context(), "p", func(s *faas.AsyncSettings) error {
		s.StatusLog = false
		return no
	}))
	s, err := db.AsyncSettings(t.Context(), "p")
	require.NoError(t, err)
	require.Equal(t, faas.AsyncSettings{StatusLog: true, Webhooks: map[faas.DestinationKind]faas.Webhook{
		faas.DestinationTopic: {URL: "http://x", SealedSecret: []byte{0, 1}},
	}}, s)
}
