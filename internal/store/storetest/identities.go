package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
)

var (
	firstDomain  = faas.Domain{ID: "d1", Name: "acme"}
	firstProject = faas.Project{ID: "p1", DomainID: "d1", Name: "region-1"}
	firstUser    = faas.User{ID: "u1", DomainID: "d1", Name: "admin", PasswordHash: "$argon2id$v=19$x"}
	firstKey     = faas.AccessKey{ID: "AK1", UserID: "u1", SealedSecret: []byte{0, 1, 0xff}}
)

func owner(t *testing.T, db *store.DB) {
	t.Helper()
	require.NoError(t, db.CreateOwner(t.Context(), firstDomain, firstProject, firstUser, firstKey))
}

func testIdentities(t *testing.T, url string) {
	db := Open(t, url)
	ctx := t.Context()
	broken := firstKey
	broken.UserID = "nobody"
	requireError(t, db.CreateOwner(ctx, firstDomain, firstProject, firstUser, broken), faas.CodeNotFound, "user")
	_, err := db.DomainByID(ctx, "d1")
	requireError(t, err, faas.CodeNotFound, "domain") // the failed owner left nothing
	owner(t, db)
	requireError(t, db.CreateOwner(ctx, faas.Domain{ID: "d2", Name: "other"}, firstProject, firstUser, firstKey), faas.CodeExists, "domain")

	d, err := db.DomainByID(ctx, "d1")
	require.NoError(t, err)
	require.Equal(t, firstDomain, d)
	d, err = db.DomainByName(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, firstDomain, d)
	p, err := db.ProjectByID(ctx, "p1")
	require.NoError(t, err)
	require.Equal(t, firstProject, p)
	u, err := db.UserByID(ctx, "u1")
	require.NoError(t, err)
	require.Equal(t, firstUser, u)
	u, err = db.UserByName(ctx, "d1", "admin")
	require.NoError(t, err)
	require.Equal(t, firstUser, u)
	k, err := db.AccessKey(ctx, "AK1")
	require.NoError(t, err)
	require.Equal(t, firstKey, k)

	for _, c := range []struct {
		field string
		call  func() error
	}{
		{"domain", func() error { _, err := db.DomainByID(ctx, "x"); return err }},
		{"domain", func() error { _, err := db.DomainByName(ctx, "ACME"); return err }},
		{"project", func() error { _, err := db.ProjectByID(ctx, "x"); return err }},
		{"user", func() error { _, err := db.UserByID(ctx, "x"); return err }},
		{"user", func() error { _, err := db.UserByName(ctx, "d1", "x"); return err }},
		{"user", func() error { _, err := db.UserByName(ctx, "d2", "admin"); return err }},
		{"access_key", func() error { _, err := db.AccessKey(ctx, "x"); return err }},
		{"domain", func() error { return db.CreateProject(ctx, faas.Project{ID: "p9", DomainID: "x", Name: "n"}) }},
		{"domain", func() error { return db.CreateUser(ctx, faas.User{ID: "u9", DomainID: "x", Name: "n"}) }},
		{"user", func() error { return db.CreateAccessKey(ctx, faas.AccessKey{ID: "AK9", UserID: "x"}) }},
	} {
		requireError(t, c.call(), faas.CodeNotFound, c.field)
	}
	testMoreIdentities(t, db)
	testResetUser(t, db)
}

// testResetUser goes on where testMoreIdentities ends: users admin and Admin, each with a key.
func testResetUser(t *testing.T, db *store.DB) {
	ctx := t.Context()
	require.NoError(t, db.CreateAccessKey(ctx, faas.AccessKey{ID: "AK3", UserID: "u1"}))
	fresh := faas.AccessKey{ID: "AK4", UserID: "u1", SealedSecret: []byte("new")}
	requireError(t, db.ResetUser(ctx, "x", "hash", faas.AccessKey{ID: "AK4", UserID: "x"}), faas.CodeNotFound, "user")
	requireError(t, db.ResetUser(ctx, "u1", "hash", faas.AccessKey{ID: "AK2", UserID: "u1"}), faas.CodeExists, "access_key")
	require.Error(t, db.ResetUser(ctx, "u1", "hash", faas.AccessKey{ID: "AK4", UserID: "u2"}))
	u, err := db.UserByID(ctx, "u1")
	require.NoError(t, err)
	require.Equal(t, firstUser, u, "a reset that failed changes nothing")
	_, err = db.AccessKey(ctx, "AK1")
	require.NoError(t, err)

	require.NoError(t, db.ResetUser(ctx, "u1", "hash", fresh))
	u, err = db.UserByID(ctx, "u1")
	require.NoError(t, err)
	require.Equal(t, "hash", u.PasswordHash)
	for _, old := range []string{"AK1", "AK3"} {
		_, err = db.AccessKey(ctx, old)
		requireError(t, err, faas.CodeNotFound, "access_key")
	}
	k, err := db.AccessKey(ctx, "AK4")
	require.NoError(t, err)
	require.Equal(t, fresh, k)
	_, err = db.AccessKey(ctx, "AK2")
	require.NoError(t, err, "another user's key stays")
}

func testMoreIdentities(t *testing.T, db *store.DB) {
	ctx := t.Context()
	second := faas.Project{ID: "p2", DomainID: "d1", Name: "Region-0"}
	require.NoError(t, db.CreateProject(ctx, second))
	for _, taken := range []faas.Project{{ID: "p2", DomainID: "d1", Name: "new"}, {ID: "p3", DomainID: "d1", Name: "Region-0"}} {
		requireError(t, db.CreateProject(ctx, taken), faas.CodeExists, "project")
	}
	projects, err := db.Projects(ctx, "d1", "")
	require.NoError(t, err)
	require.Equal(t, []faas.Project{second, firstProject}, projects)
	projects, err = db.Projects(ctx, "d1", "region-1")
	require.NoError(t, err)
	require.Equal(t, []faas.Project{firstProject}, projects)
	for _, none := range [][2]string{{"d1", "x"}, {"d2", ""}} {
		projects, err = db.Projects(ctx, none[0], none[1])
		require.NoError(t, err)
		require.Empty(t, projects)
	}

	require.NoError(t, db.CreateUser(ctx, faas.User{ID: "u2", DomainID: "d1", Name: "Admin"}))
	for _, taken := range []faas.User{{ID: "u2", DomainID: "d1", Name: "new"}, {ID: "u3", DomainID: "d1", Name: "Admin"}} {
		requireError(t, db.CreateUser(ctx, taken), faas.CodeExists, "user")
	}
	users, err := db.Users(ctx, "d1", "")
	require.NoError(t, err)
	require.Equal(t, []faas.User{{ID: "u2", DomainID: "d1", Name: "Admin"}, firstUser}, users)
	users, err = db.Users(ctx, "d1", "admin")
	require.NoError(t, err)
	require.Equal(t, []faas.User{firstUser}, users)
	for _, none := range [][2]string{{"d1", "x"}, {"d2", ""}, {"d1", "\x00"}} {
		users, err = db.Users(ctx, none[0], none[1])
		require.NoError(t, err)
		require.Empty(t, users)
	}
	require.NoError(t, db.CreateAccessKey(ctx, faas.AccessKey{ID: "AK2", UserID: "u2"}))
	requireError(t, db.CreateAccessKey(ctx, faas.AccessKey{ID: "AK2", UserID: "u1"}), faas.CodeExists, "access_key")
	k, err := db.AccessKey(ctx, "AK2")
	require.NoError(t, err)
	require.Equal(t, "u2", k.UserID)
	require.Empty(t, k.SealedSecret)
	testUsers(t, db)
}

func testUsers(t *testing.T, db *store.DB) {
	ctx := t.Context()
	second := faas.User{ID: "u2", DomainID: "d1", Name: "Admin"}
	for _, c := range []struct {
		domain, name string
		want         []faas.User
	}{
		{"d1", "", []faas.User{second, firstUser}}, {"d1", "admin", []faas.User{firstUser}}, {"d1", "x", nil}, {"d2", "", nil}, {"d1", "\xff", nil},
	} {
		users, err := db.Users(ctx, c.domain, c.name)
		require.NoError(t, err)
		require.Equal(t, c.want, users)
	}

	fresh := faas.AccessKey{ID: "AK3", UserID: "u1", SealedSecret: []byte{2}}
	requireError(t, db.ResetUser(ctx, "x", "h", fresh), faas.CodeNotFound, "user")
	requireError(t, db.ResetUser(ctx, "u1", "h", faas.AccessKey{ID: "AK2"}), faas.CodeExists, "access_key")
	u, err := db.UserByID(ctx, "u1")
	require.NoError(t, err)
	require.Equal(t, firstUser, u) // the failed reset left all as it was
	_, err = db.AccessKey(ctx, firstKey.ID)
	require.NoError(t, err)

	require.NoError(t, db.ResetUser(ctx, "u1", "h", fresh))
	u, err = db.UserByID(ctx, "u1")
	require.NoError(t, err)
	require.Equal(t, "h", u.PasswordHash)
	_, err = db.AccessKey(ctx, firstKey.ID)
	requireError(t, err, faas.CodeNotFound, "access_key")
	k, err := db.AccessKey(ctx, "AK3")
	require.NoError(t, err)
	require.Equal(t, fresh, k)
	_, err = db.AccessKey(ctx, "AK2") // another user's
	require.NoError(t, err)
}

func testOwnerRace(t *testing.T, url string) {
	db := Open(t, url)
	require.Equal(t, 1, together(t, 6, func(i int) error {
		id := numbered(i)
		return db.CreateOwner(t.Context(), faas.Domain{ID: "d" + id, Name: id}, faas.Project{ID: "p" + id, DomainID: "d" + id, Name: "region"},
			faas.User{ID: "u" + id, DomainID: "d" + id, Name: "admin"}, faas.AccessKey{ID: "k" + id, UserID: "u" + id})
	}))
}
