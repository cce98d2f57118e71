package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// testTestEvents goes through the life of a function's events, and sees them go with it.
func testTestEvents(t *testing.T, url string) {
	db := Open(t, url)
	f := function("p", "a")
	key := f.Key()
	key.Version = ""
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	event := func(n int) *faas.TestEvent {
		return &faas.TestEvent{ID: fmt.Sprint("id", n), Function: key, Name: fmt.Sprint("e", n), Content: []byte(`{"n":"\u0000"}`), CreatedAt: at.Add(time.Duration(n)), ChangedAt: at}
	}
	requireError(t, db.CreateTestEvent(t.Context(), event(1), 2), faas.CodeNotFound, "function")
	create(t, db, f)
	for n := range 2 {
		require.NoError(t, db.CreateTestEvent(t.Context(), event(n), 3))
	}
	again := event(9)
	again.Name = "e1"
	requireError(t, db.CreateTestEvent(t.Context(), again, 3), faas.CodeExists, "event")
	requireError(t, db.CreateTestEvent(t.Context(), event(3), 2), faas.CodeQuota, "events")
	found, err := db.TestEvents(t.Context(), key)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, "id0", found[0].ID)
	require.Equal(t, event(1).Content, found[1].Content)
	require.Equal(t, key, found[1].Function)

	other := key
	other.Name = "b"
	change := func(e *faas.TestEvent) error {
		e.Content, e.ChangedAt = []byte("2"), at.Add(time.Hour)
		return nil
	}
	_, err = db.UpdateTestEvent(t.Context(), other, "id1", change)
	requireError(t, err, faas.CodeNotFound, "event")
	_, err = db.UpdateTestEvent(t.Context(), key, "\x00", change)
	requireError(t, err, faas.CodeNotFound, "event")
	changed, err := db.UpdateTestEvent(t.Context(), key, "id1", change)
	require.NoError(t, err)
	found, err = db.TestEvents(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, changed, found[1])
	require.Equal(t, "2", string(changed.Content))

	requireError(t, db.DeleteTestEvent(t.Context(), other, "id0"), faas.CodeNotFound, "event")
	require.NoError(t, db.DeleteTestEvent(t.Context(), key, "id0"))
	requireError(t, db.DeleteTestEvent(t.Context(), key, "id0"), faas.CodeNotFound, "event")
	require.NoError(t, db.DeleteFunction(t.Context(), key))
	create(t, db, function("p", "a"))
	found, err = db.TestEvents(t.Context(), key)
	require.NoError(t, err)
	require.Empty(t, found)
}

// testTags sets, replaces, takes away and finds tags.
func testTags(t *testing.T, url string) {
	db := Open(t, url)
	a, b := function("p", "a").Key(), function("p", "b").Key()
	requireError(t, db.SetTags(t.Context(), a, []faas.Tag{{Key: "k"}}, 3), faas.CodeNotFound, "function")
	create(t, db, function("p", "a"))
	create(t, db, function("p", "b"))
	create(t, db, function("q", "a"))
	require.NoError(t, db.SetTags(t.Context(), a, []faas.Tag{{Key: "z", Value: "1"}, {Key: "k", Value: "函数"}}, 3))
	require.NoError(t, db.SetTags(t.Context(), a, []faas.Tag{{Key: "z", Value: "2"}, {Key: "y"}}, 3))
	require.NoError(t, db.SetTags(t.Context(), b, []faas.Tag{{Key: "z", Value: "2"}}, 3))
	requireError(t, db.SetTags(t.Context(), a, []faas.Tag{{Key: "z", Value: "3"}, {Key: "x"}}, 3), faas.CodeQuota, "tags")
	list := func(f faas.FunctionKey) (texts []string) {
		found, err := db.Tags(t.Context(), f)
		require.NoError(t, err)
		for _, x := range found {
			texts = append(texts, x.Function.Project+" "+x.Function.Name+" "+x.Tag.Key+"="+x.Tag.Value)
		}
		return texts
	}
	require.Equal(t, []string{"p a k=函数", "p a y=", "p a z=2"}, list(a))
	require.Equal(t, []string{"p a k=函数", "p a y=", "p a z=2", "p b z=2"}, list(faas.FunctionKey{Project: "p"}))
	require.Empty(t, list(faas.FunctionKey{Project: "q"}))
	require.NoError(t, db.DeleteTags(t.Context(), a, []string{"y", "none", "\x00"}))
	require.Equal(t, []string{"p a k=函数", "p a z=2"}, list(a))
	require.NoError(t, db.DeleteFunction(t.Context(), a))
	require.Empty(t, list(a))
	require.Equal(t, []string{"p b z=2"}, list(faas.FunctionKey{Project: "p"}))
}

// testApplications keeps what was made from templates.
func testApplications(t *testing.T, url string) {
	db := Open(t, url)
	app := func(n int) *faas.Application {
		return &faas.Application{
			ID: fmt.Sprint("id", n), Project: "p", Name: fmt.Sprint("app", n), Description: "d", Template: "t",
			Function: faas.FunctionKey{Project: "p", Package: "default", Name: "f"}, CreatedAt: time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC),
		}
	}
	require.NoError(t, db.CreateApplication(t.Context(), app(2), 2))
	require.NoError(t, db.CreateApplication(t.Context(), app(1), 2))
	requireError(t, db.CreateApplication(t.Context(), app(3), 2), faas.CodeQuota, "applications")
	again := app(4)
	again.Name = "app1"
	requireError(t, db.CreateApplication(t.Context(), again, 9), faas.CodeExists, "application")
	require.NoError(t, db.CompleteApplication(t.Context(), "p", "id2", "f-id", "http://x"))
	all, err := db.Applications(t.Context(), "p", "")
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, app(1), all[0])
	require.Equal(t, []string{"f-id", "http://x"}, []string{all[1].FunctionID, all[1].URL})
	one, err := db.Applications(t.Context(), "p", "id2")
	require.NoError(t, err)
	require.Equal(t, all[1:], one)
	one, err = db.Applications(t.Context(), "q", "id2")
	require.NoError(t, err)
	require.Empty(t, one)
	require.NoError(t, db.DeleteApplication(t.Context(), "p", "id2"))
	require.NoError(t, db.DeleteApplication(t.Context(), "p", "id2"))
	all, err = db.Applications(t.Context(), "p", "")
	require.NoError(t, err)
	require.Len(t, all, 1)
}
