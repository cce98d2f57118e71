package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
)

func flow(project, name string) *faas.Flow {
	return &faas.Flow{
		ID: "id-of-" + name, Project: project, Name: name, Description: "说明", Mode: faas.FlowNormal, EnterpriseID: "0", Streaming: true,
		Definition: `{"name":"` + name + `"}`, CreatedBy: "ada", CreatedAt: someTime, ModifiedAt: someTime.Add(time.Hour),
	}
}

func addFlow(t *testing.T, db *store.DB, f *faas.Flow, triggers ...*faas.Trigger) {
	t.Helper()
	require.NoError(t, db.CreateFlow(t.Context(), f, triggers, 10))
}

func flowTrigger(f *faas.Flow, id, unique string) *faas.Trigger {
	return &faas.Trigger{
		ID: id, Key: faas.FunctionKey{Project: f.Project, Package: faas.FlowPackage, Name: f.ID, Version: faas.Latest}, Kind: "APIG", Active: true,
		Data: `{}`, Unique: unique, Since: someTime, CreatedAt: someTime, ModifiedAt: someTime,
	}
}

func testFlows(t *testing.T, url string) {
	db := Open(t, url)
	f, g := flow("p", "f"), flow("p", "g")
	g.Mode = faas.FlowExpress
	addFlow(t, db, f, flowTrigger(f, "t1", "GET /f"))
	addFlow(t, db, g)
	got, err := db.Flow(t.Context(), "p", f.ID)
	require.NoError(t, err)
	require.Equal(t, f, got, "given back whole")
	got, err = db.FlowNamed(t.Context(), "p", "g")
	require.NoError(t, err)
	require.Equal(t, g, got)
	_, err = db.Flow(t.Context(), "q", f.ID)
	requireError(t, err, faas.CodeNotFound, "workflow")
	requireError(t, db.CreateFlow(t.Context(), flow("p", "f"), nil, 10), faas.CodeExists, "workflow")
	requireError(t, db.CreateFlow(t.Context(), flow("p", "h"), nil, 2), faas.CodeQuota, "workflows")
	h := flow("p", "h")
	requireError(t, db.CreateFlow(t.Context(), h, []*faas.Trigger{flowTrigger(h, "t2", "GET /f")}, 10), faas.CodeExists, "trigger")
	_, err = db.FlowNamed(t.Context(), "p", "h")
	requireError(t, err, faas.CodeNotFound, "workflow")

	page, total, err := db.ListFlows(t.Context(), faas.FlowFilter{Project: "p", Limit: 1, Offset: 1})
	require.NoError(t, err)
	require.EqualValues(t, 2, total)
	require.Equal(t, []*faas.Flow{g}, page)
	page, total, err = db.ListFlows(t.Context(), faas.FlowFilter{Project: "p", Limit: 10, Mode: faas.FlowExpress, Name: "g"})
	require.NoError(t, err)
	require.EqualValues(t, 1, total)
	require.Len(t, page, 1)

	changed, err := db.UpdateFlow(t.Context(), "p", f.ID, func(f *faas.Flow) ([]*faas.Trigger, error) {
		f.Definition = `{"name":"other"}`
		return []*faas.Trigger{flowTrigger(f, "t1", "GET /f2"), flowTrigger(f, "t3", "GET /f")}, nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 2, changed.Revision)
	require.Len(t, list(t, db, faas.TriggerFilter{Project: "p", Package: faas.FlowPackage, Name: f.ID}), 2)
	_, err = db.UpdateFlow(t.Context(), "p", f.ID, func(f *faas.Flow) ([]*faas.Trigger, error) { f.Name = "g"; return nil, nil })
	requireError(t, err, faas.CodeExists, "workflow")
	_, err = db.UpdateFlow(t.Context(), "p", f.ID, func(*faas.Flow) ([]*faas.Trigger, error) {
		return nil, nil
	})
	require.NoError(t, err)
	_, err = db.UpdateFlow(t.Context(), "p", f.ID, func(f *faas.Flow) ([]*faas.Trigger, error) {
		return []*faas.Trigger{flowTrigger(f, "t1", "GET /f")}, nil
	})
	require.NoError(t, err, "a trigger comes back under its id")
	require.NoError(t, db.DeleteFlow(t.Context(), "p", f.ID, []byte(`{}`)))
	require.Empty(t, list(t, db, faas.TriggerFilter{Project: "p"}))
	requireError(t, db.DeleteFlow(t.Context(), "p", f.ID, []byte(`{}`)), faas.CodeNotFound, "workflow")
}

func flowRun(f *faas.Flow, seq int64, id string) faas.FlowRun {
	at := time.Now().UTC().Truncate(time.Microsecond)
	return faas.FlowRun{
		Seq: seq, ID: id, Flow: f.ID, Project: f.Project, Revision: 1, Mode: faas.FlowNormal, Status: faas.FlowRunning, Source: faas.SourceAPI,
		Input: []byte(`{"n":1}`), CreatedBy: "ada", BeganAt: at, UpdatedAt: at,
	}
}

func testFlowRuns(t *testing.T, url string) {
	db := Open(t, url)
	f := flow("p", "f")
	addFlow(t, db, f)
	held, asleep, later := flowRun(f, 1, "held"), flowRun(f, 2, "asleep"), flowRun(f, 3, "later")
	asleep.Asleep, asleep.WakeAt = true, time.Now().Add(-time.Second).UTC().Truncate(time.Microsecond)
	later.Asleep, later.WakeAt = true, time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	held.Merge, held.Headers = true, []byte(`{"a":"b"}`)
	fresh, err := db.StartFlowRuns(t.Context(), []faas.FlowRun{held, asleep, later})
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, true}, fresh)
	fresh, err = db.StartFlowRuns(t.Context(), []faas.FlowRun{flowRun(f, 4, "held")})
	require.NoError(t, err)
	require.Equal(t, []bool{false}, fresh)
	_, err = db.StartFlowRuns(t.Context(), []faas.FlowRun{flowRun(flow("p", "gone"), 5, "x")})
	requireError(t, err, faas.CodeNotFound, "workflow")
	for _, want := range []faas.FlowRun{held, later} {
		got, err := db.FlowRun(t.Context(), f.ID, want.ID)
		require.NoError(t, err)
		require.Equal(t, want, got, "given back whole")
	}

	runs, next, err := db.ClaimFlowRuns(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, []int64{2}, runs)
	require.Equal(t, later.WakeAt, next)
	ok, err := db.HoldFlowRun(t.Context(), 3, false)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = db.HoldFlowRun(t.Context(), 3, false)
	require.NoError(t, err)
	require.False(t, ok, "it is held already")

	write := faas.FlowWrite{Run: 1, Events: [][]byte{[]byte(`{"k":"a"}`), []byte(`{"k":"b"}`)}, Status: faas.FlowRunning, At: time.Now()}
	due, err := db.WriteFlowRun(t.Context(), write)
	require.NoError(t, err)
	require.False(t, due)
	_, err = db.WriteFlowRun(t.Context(), write)
	requireError(t, err, faas.CodeConflict, "execution")
	child := flowRun(f, 6, "child")
	child.Parent, child.ParentTask, child.Asleep, child.WakeAt = 1, "task", true, time.Now()
	_, err = db.WriteFlowRun(t.Context(), faas.FlowWrite{
		Run: 1, From: 2, Status: faas.FlowRunning, At: time.Now(), Children: []faas.FlowRun{child}, Notes: []faas.FlowNote{{Parent: 1, Task: "task", Doc: []byte(`{"k":"cancel"}`)}},
	})
	require.NoError(t, err)
	require.NoError(t, db.NoteFlowRun(t.Context(), faas.FlowNote{Run: 1, Doc: []byte(`{"k":"child"}`)}))
	noted, err := db.NotedFlowRuns(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int64{1}, noted, "the child is held by nobody")
	due, err = db.WriteFlowRun(t.Context(), faas.FlowWrite{Run: 1, From: 2, Status: faas.FlowRunning, At: time.Now(), Release: true})
	require.NoError(t, err)
	require.True(t, due, "a note that came before the run was let go of")
	runs, _, err = db.ClaimFlowRuns(t.Context(), 10)
	require.NoError(t, err)
	require.ElementsMatch(t, []int64{1, 6}, runs, "a note wakes, even one that came before the run was let go of")
	log, err := db.FlowLog(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte(`{"k":"a"}`), []byte(`{"k":"b"}`)}, log.Events)
	require.Len(t, log.Notes, 1)
	require.Equal(t, f.Definition, log.Definition)

	end := time.Now().UTC().Truncate(time.Microsecond)
	due, err = db.WriteFlowRun(t.Context(), faas.FlowWrite{Run: 1, From: 2, Status: faas.FlowRunning, At: time.Now(), Release: true, Taken: []int64{log.Notes[0].ID}})
	require.NoError(t, err)
	require.False(t, due, "the note was taken in")
	ok, err = db.HoldFlowRun(t.Context(), 1, false)
	require.NoError(t, err)
	require.True(t, ok)
	_, err = db.WriteFlowRun(t.Context(), faas.FlowWrite{Run: 1, From: 2, Status: faas.FlowDone, At: end, EndedAt: end, Output: []byte(`{"n":2}`)})
	require.NoError(t, err)
	notes, err := db.FlowNotes(t.Context(), 1)
	require.NoError(t, err)
	require.Empty(t, notes)
	require.NoError(t, db.NoteFlowRun(t.Context(), faas.FlowNote{Run: 1, Doc: []byte(`{}`)}), "one that has ended takes none")
	done, err := db.FlowRun(t.Context(), f.ID, "held")
	require.NoError(t, err)
	require.Equal(t, end, done.EndedAt)
	require.JSONEq(t, `{"n":2}`, string(done.Output))
	testFlowBooks(t, db, f)
}

// testFlowBooks lists, counts and forgets what testFlowRuns has left: four runs, one of which has ended.
func testFlowBooks(t *testing.T, db *store.DB, f *faas.Flow) {
	t.Helper()
	ok, err := db.HoldFlowRun(t.Context(), 1, true)
	require.NoError(t, err)
	require.True(t, ok, "to be retried")
	require.NoError(t, db.LeaveFlowRun(t.Context(), 1))
	list, total, err := db.FlowRuns(t.Context(), faas.FlowRunFilter{Flow: f.ID, Limit: 2, Status: faas.FlowRunning})
	require.NoError(t, err)
	require.EqualValues(t, 3, total)
	require.Equal(t, []string{"child", "later"}, []string{list[0].ID, list[1].ID}, "the youngest first")
	_, total, err = db.FlowRuns(t.Context(), faas.FlowRunFilter{Flow: f.ID, Limit: 2, To: time.Now().Add(-time.Hour)})
	require.NoError(t, err)
	require.Zero(t, total)
	running, err := db.FlowsRunning(t.Context(), "p", "")
	require.NoError(t, err)
	require.EqualValues(t, 3, running)
	sums, err := db.FlowSums(t.Context(), "p", f.ID, 0, 1<<40)
	require.NoError(t, err)
	var started, ended int64
	for _, s := range sums {
		started += s.Started
		ended += s.Ended
	}
	require.Equal(t, []int64{4, 1}, []int64{started, ended})

	n, err := db.FreeFlowRuns(t.Context(), true)
	require.NoError(t, err)
	require.EqualValues(t, 3, n, "asleep, later and child were held here")
	n, err = db.FreeFlowRuns(t.Context(), false)
	require.NoError(t, err)
	require.Zero(t, n)
	more, err := db.ForgetFlowRuns(t.Context(), time.Now().Add(-time.Hour), 1<<30, 10)
	require.NoError(t, err)
	require.False(t, more)
	_, err = db.FlowRun(t.Context(), f.ID, "held")
	require.NoError(t, err)
	_, err = db.ForgetFlowRuns(t.Context(), time.Now().Add(-time.Hour), 0, 10)
	require.NoError(t, err)
	_, err = db.FlowRun(t.Context(), f.ID, "held")
	requireError(t, err, faas.CodeNotFound, "execution")

	other := flow("p", "other")
	addFlow(t, db, other)
	waiting := flowRun(f, 10, "waiting")
	waited := flowRun(other, 11, "waited")
	waited.Parent, waited.ParentTask = 10, "its task"
	_, err = db.StartFlowRuns(t.Context(), []faas.FlowRun{waiting, waited})
	require.NoError(t, err)
	require.NoError(t, db.DeleteFlow(t.Context(), "p", other.ID, []byte(`{"k":"child"}`)))
	notes, err := db.FlowNotes(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, notes, 1, "who waits for a run that went is told")
	require.JSONEq(t, `{"k":"child","t":"its task"}`, string(notes[0].Doc))
	_, err = db.FlowRun(t.Context(), other.ID, "waited")
	requireError(t, err, faas.CodeNotFound, "execution")
}

// testFlowRace has many callers write to runs of their own at once: all is there afterwards, in order.
func testFlowRace(t *testing.T, url string) {
	db := Open(t, url)
	f := flow("p", "f")
	addFlow(t, db, f)
	const runs, events = 16, 20
	done := make(chan error, runs)
	for i := range runs {
		go func() {
			seq := int64(i + 1)
			_, err := db.StartFlowRuns(t.Context(), []faas.FlowRun{flowRun(f, seq, fmt.Sprint(i))})
			for n := 0; err == nil && n < events; n++ {
				_, err = db.WriteFlowRun(t.Context(), faas.FlowWrite{Run: seq, From: n, Events: [][]byte{fmt.Append(nil, n)}, Status: faas.FlowRunning, At: time.Now()})
			}
			done <- err
		}()
	}
	for range runs {
		require.NoError(t, <-done)
	}
	for i := range runs {
		log, err := db.FlowLog(t.Context(), int64(i+1))
		require.NoError(t, err)
		require.Len(t, log.Events, events)
		require.Equal(t, "7", string(log.Events[7]))
	}
}
