package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func testPeople(t *testing.T, url string) {
	db := Open(t, url)
	owner(t, db)
	ctx := t.Context()
	admin := []faas.Binding{{HolderID: "u1", Role: faas.RoleAdmin}}
	got, err := db.Bindings(ctx, "u1")
	require.NoError(t, err)
	require.Equal(t, admin, got, "the first user")

	ada := faas.User{ID: "u2", DomainID: "d1", Name: "ada", PasswordHash: "h", Disabled: true}
	require.NoError(t, db.CreateUser(ctx, ada))
	u, err := db.UserByName(ctx, "d1", "ada")
	require.NoError(t, err)
	require.Equal(t, ada, u)
	ada.Disabled, ada.PasswordHash = false, "h2"
	require.NoError(t, db.UpdateUser(ctx, ada))
	u, err = db.UserByID(ctx, "u2")
	require.NoError(t, err)
	require.Equal(t, ada, u)
	requireError(t, db.UpdateUser(ctx, faas.User{ID: "x"}), faas.CodeNotFound, "user")

	for _, role := range []faas.Role{faas.RoleViewer, faas.RoleDeveloper} {
		b := faas.Binding{HolderID: "u2", ProjectID: "p1", Role: role}
		require.NoError(t, db.SetBinding(ctx, b))
		got, err = db.BindingsIn(ctx, "p1")
		require.NoError(t, err)
		require.Equal(t, []faas.Binding{b}, got)
	}
	requireError(t, db.SetBinding(ctx, faas.Binding{HolderID: "x", Role: faas.RoleViewer}), faas.CodeNotFound, "user")
	requireError(t, db.SetBinding(ctx, faas.Binding{HolderID: "u2", ProjectID: "x", Role: faas.RoleViewer}), faas.CodeNotFound, "project")
	require.NoError(t, db.SetBinding(ctx, faas.Binding{HolderID: "u2"}), "none to take away")

	require.NoError(t, db.CreateProject(ctx, faas.Project{ID: "p2", DomainID: "d1", Name: "second"}))
	require.NoError(t, db.SetBinding(ctx, faas.Binding{HolderID: "u2", ProjectID: "p2", Role: faas.RoleViewer}))
	f := function("p2", "f")
	require.NoError(t, db.CreateFunction(ctx, f, faas.DefaultQuota))
	requireError(t, db.DeleteProject(ctx, "p2"), faas.CodeConflict, "project")
	require.NoError(t, db.DeleteFunction(ctx, f.Key()))
	require.NoError(t, db.DeleteProject(ctx, "p2"))
	requireError(t, db.DeleteProject(ctx, "p2"), faas.CodeNotFound, "project")
	got, err = db.BindingsIn(ctx, "p2")
	require.NoError(t, err)
	require.Empty(t, got)

	require.NoError(t, db.CreateAccessKey(ctx, faas.AccessKey{ID: "K", UserID: "u2"}))
	require.NoError(t, db.DeleteUser(ctx, "u2"))
	requireError(t, db.DeleteUser(ctx, "u2"), faas.CodeNotFound, "user")
	_, err = db.AccessKey(ctx, "K")
	requireError(t, err, faas.CodeNotFound, "access_key")
	got, err = db.Bindings(ctx, "u2")
	require.NoError(t, err)
	require.Empty(t, got)
	got, err = db.Bindings(ctx, "u1")
	require.NoError(t, err)
	require.Equal(t, admin, got)
}

func testKeys(t *testing.T, url string) {
	db := Open(t, url)
	owner(t, db)
	ctx, at := t.Context(), time.Date(2026, 11, 21, 3, 0, 0, 1000, time.UTC)
	second := faas.AccessKey{ID: "AK2", UserID: "u1", SealedSecret: []byte{1}, Description: "ci", CreatedAt: at, ExpiresAt: at.Add(time.Hour)}
	require.NoError(t, db.CreateAccessKey(ctx, second))
	keys, err := db.AccessKeys(ctx, "u1")
	require.NoError(t, err)
	require.Equal(t, []faas.AccessKey{firstKey, second}, keys)
	third := faas.AccessKey{ID: "AK3", UserID: "u1", SealedSecret: []byte{2}, CreatedAt: at.Add(time.Minute)}
	requireError(t, db.CreateAccessKey(ctx, third), faas.CodeQuota, "access_key")
	requireError(t, db.RotateAccessKey(ctx, "AK1", at, third), faas.CodeQuota, "access_key")
	third.CreatedAt = at.Add(time.Hour) // the second has expired by then
	requireError(t, db.RotateAccessKey(ctx, "x", at, third), faas.CodeNotFound, "access_key")
	_, err = db.AccessKey(ctx, "AK2")
	require.NoError(t, err, "what failed changed nothing")
	require.NoError(t, db.RotateAccessKey(ctx, "AK1", at.Add(2*time.Hour), third))
	_, err = db.AccessKey(ctx, "AK2")
	requireError(t, err, faas.CodeNotFound, "access_key")
	k, err := db.AccessKey(ctx, "AK1")
	require.NoError(t, err)
	require.Equal(t, at.Add(2*time.Hour), k.ExpiresAt)
	k.Disabled, k.Description, k.ExpiresAt = true, "old", time.Time{}
	require.NoError(t, db.UpdateAccessKey(ctx, k))
	got, err := db.AccessKey(ctx, "AK1")
	require.NoError(t, err)
	require.Equal(t, k, got)
	requireError(t, db.UpdateAccessKey(ctx, faas.AccessKey{ID: "x"}), faas.CodeNotFound, "access_key")
	require.NoError(t, db.DeleteAccessKey(ctx, "AK1"))
	requireError(t, db.DeleteAccessKey(ctx, "AK1"), faas.CodeNotFound, "access_key")

	require.Equal(t, 1, together(t, 6, func(i int) error {
		return db.CreateAccessKey(ctx, faas.AccessKey{ID: "R" + numbered(i), UserID: "u1"})
	}), "two keys at most, however many are asked for at a time")
}

func testAgencies(t *testing.T, url string) {
	db := Open(t, url)
	owner(t, db)
	ctx := t.Context()
	a := faas.Agency{ID: "a1", DomainID: "d1", Name: "reader", Description: "d", CreatedAt: time.Date(2026, 11, 21, 3, 0, 0, 1000, time.UTC)}
	requireError(t, db.CreateAgency(ctx, faas.Agency{ID: "a9", DomainID: "x", Name: "n"}), faas.CodeNotFound, "domain")
	require.NoError(t, db.CreateAgency(ctx, a))
	requireError(t, db.CreateAgency(ctx, faas.Agency{ID: "a2", DomainID: "d1", Name: "reader"}), faas.CodeExists, "agency")
	require.NoError(t, db.CreateAgency(ctx, faas.Agency{ID: "a2", DomainID: "d1", Name: "Writer"}))
	a.Description = ""
	require.NoError(t, db.UpdateAgency(ctx, a))
	requireError(t, db.UpdateAgency(ctx, faas.Agency{ID: "x"}), faas.CodeNotFound, "agency")
	for _, get := range []func() (faas.Agency, error){
		func() (faas.Agency, error) { return db.AgencyByID(ctx, "a1") },
		func() (faas.Agency, error) { return db.AgencyByName(ctx, "d1", "reader") },
	} {
		got, err := get()
		require.NoError(t, err)
		require.Equal(t, a, got)
	}
	_, err := db.AgencyByName(ctx, "d2", "reader")
	requireError(t, err, faas.CodeNotFound, "agency")
	all, err := db.Agencies(ctx, "d1", "")
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "Writer", all[0].Name)
	all, err = db.Agencies(ctx, "d1", "reader")
	require.NoError(t, err)
	require.Equal(t, []faas.Agency{a}, all)
	require.NoError(t, db.SetBinding(ctx, faas.Binding{HolderID: "a1", ProjectID: "p1", Role: faas.RoleViewer}))
	require.NoError(t, db.DeleteAgency(ctx, "a1"))
	requireError(t, db.DeleteAgency(ctx, "a1"), faas.CodeNotFound, "agency")
	left, err := db.Bindings(ctx, "a1")
	require.NoError(t, err)
	require.Empty(t, left)
}

func testAudit(t *testing.T, url string) {
	db := Open(t, url)
	ctx, at := t.Context(), time.Date(2026, 11, 21, 3, 0, 0, 1000, time.UTC)
	entry := func(i int, change func(*faas.AuditEntry)) faas.AuditEntry {
		e := faas.AuditEntry{ID: fmt.Sprintf("0%d", i), At: at.Add(time.Duration(i) * time.Minute), DomainID: "d1", ProjectID: "p1", ActorID: "u1", Actor: "ada",
			For: "default/f", Face: "admin", Operation: "CreateUser", Action: faas.ActionAdminister, Resource: "/x", Source: "10.0.0.1", RequestID: "r", Status: 201}
		if change != nil {
			change(&e)
		}
		require.NoError(t, db.AddAudit(ctx, e))
		return e
	}
	e1 := entry(1, nil)
	e2 := entry(2, func(e *faas.AuditEntry) {
		e.Actor, e.ActorID, e.Status, e.Code, e.ProjectID = "bob", "u2", 403, faas.CodeForbidden, "p2"
	})
	e3 := entry(3, func(e *faas.AuditEntry) { e.DomainID, e.ActorID, e.Actor, e.Status, e.Skipped = "", "", "", 401, 7 })
	entry(4, func(e *faas.AuditEntry) { e.DomainID = "d2" })
	e5 := entry(5, func(e *faas.AuditEntry) { e.Operation = "DeleteUser"; e.Resource = "a\x00b\xff" })
	e5.Resource = "ab"
	for name, c := range map[string]struct {
		filter faas.AuditFilter
		want   []faas.AuditEntry
	}{
		"all":       {faas.AuditFilter{}, []faas.AuditEntry{e5, e3, e2, e1}},
		"page":      {faas.AuditFilter{Limit: 2}, []faas.AuditEntry{e5, e3}},
		"next page": {faas.AuditFilter{Before: e3.ID}, []faas.AuditEntry{e2, e1}},
		"after":     {faas.AuditFilter{After: e2.ID}, []faas.AuditEntry{e3, e5}},
		"project":   {faas.AuditFilter{ProjectID: "p2"}, []faas.AuditEntry{e2}},
		"actor":     {faas.AuditFilter{Actor: "bob"}, []faas.AuditEntry{e2}},
		"actor id":  {faas.AuditFilter{Actor: "u2"}, []faas.AuditEntry{e2}},
		"operation": {faas.AuditFilter{Operation: "DeleteUser"}, []faas.AuditEntry{e5}},
		"refused":   {faas.AuditFilter{Refused: true}, []faas.AuditEntry{e3, e2}},
		"no text":   {faas.AuditFilter{Actor: "\x00"}, nil},
	} {
		c.filter.DomainID = "d1"
		if c.filter.Limit == 0 {
			c.filter.Limit = 10
		}
		got, err := db.Audit(ctx, c.filter)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	gone, err := db.ForgetAudit(ctx, at.Add(2*time.Minute), 100)
	require.NoError(t, err)
	require.EqualValues(t, 1, gone, "the first is too old")
	gone, err = db.ForgetAudit(ctx, time.Time{}, 3)
	require.NoError(t, err)
	require.EqualValues(t, 1, gone, "of four, the oldest is one too many")
	got, err := db.Audit(ctx, faas.AuditFilter{DomainID: "d1", Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []faas.AuditEntry{e5, e3}, got)
	require.Error(t, db.AddAudit(ctx, e5), "an entry is never replaced")
}
