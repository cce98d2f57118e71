package auth_test

import (
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/store"
	"github.com/hanshu-faas/hanshu/internal/store/freshtest"
)

// office is a server's identities with one application, over a real store and a clock that stands still.
type office struct {
	*auth.Auth
	db         *store.DB
	sealer     *auth.Sealer
	owner      *auth.Credentials
	id, secret string
	clock      time.Time
}

func newOffice(t *testing.T) *office { return newOfficeFor(t) }

func newOfficeFor(t testing.TB) *office {
	t.Helper()
	dir := t.TempDir()
	o := &office{clock: time.Date(2026, 11, 21, 3, 13, 8, 0, time.UTC)}
	o.db = freshtest.Open(t)
	var err error
	o.sealer, err = auth.NewSealer(filepath.Join(dir, "key"), true)
	require.NoError(t, err)
	o.owner, err = auth.EnsureOwner(t.Context(), o.db, o.sealer, "local")
	require.NoError(t, err)
	o.id, o.secret, err = auth.EnsureClient(t.Context(), o.db, o.db, o.owner.ProjectID)
	require.NoError(t, err)
	o.Auth, err = auth.New(auth.Config{Store: o.db, Clients: o.db, Registry: o.db, Sealer: o.sealer, Now: func() time.Time { return o.clock }})
	require.NoError(t, err)
	return o
}

// enters tells whether a request with this Authorization is let in, and as whom.
func (o *office) enters(t *testing.T, header string) (faas.Principal, bool) {
	t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", header)
	p, err := o.Authenticate(r, func() ([]byte, error) { return nil, nil })
	if err != nil {
		require.Equal(t, faas.CodeUnauthenticated, faas.CodeOf(err), "%v", err)
	}
	return p, err == nil
}

func (o *office) pair(t *testing.T) auth.Pair {
	t.Helper()
	code, life, err := o.ClientCode(t.Context(), o.id, o.secret)
	require.NoError(t, err)
	require.Equal(t, 10*time.Minute, life)
	p, err := o.Exchange(t.Context(), o.id, o.secret, faas.GrantCode, code)
	require.NoError(t, err)
	return p
}

func refused(t *testing.T, err error) {
	t.Helper()
	require.Equal(t, faas.CodeUnauthenticated, faas.CodeOf(err), "%v", err)
}

func TestClientLogsIn(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, c := range [][2]string{{o.id, "wrong"}, {"nobody", o.secret}, {o.id, ""}, {"", ""}} {
		_, _, err := o.ClientCode(t.Context(), c[0], c[1])
		refused(t, err)
	}
	p := o.pair(t)
	require.Regexp(t, "^[0-9a-f]{40}$", p.Access)
	who, ok := o.enters(t, "Bearer "+p.Access)
	require.True(t, ok)
	require.Equal(t, faas.Principal{UserID: o.owner.UserID, UserName: "admin", DomainID: o.owner.DomainID, Domain: "hanshu",
		ProjectID: o.owner.ProjectID, Project: "local", AtMost: faas.RoleDeveloper}, who)
	for _, header := range []string{"Bearer " + p.Refresh, "Hydrogen-r1 " + p.Access, "Bearer ", "Bearer x"} {
		_, ok := o.enters(t, header)
		require.False(t, ok, header)
	}
	o.clock = o.clock.Add(auth.AccessLife)
	_, ok = o.enters(t, "Bearer "+p.Access)
	require.False(t, ok, "it has expired")
}

func TestCodeServesOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	code, _, err := o.ClientCode(t.Context(), o.id, o.secret)
	require.NoError(t, err)
	id, secret, err := auth.EnsureClient(t.Context(), o.db, o.db, o.owner.ProjectID)
	require.NoError(t, err)
	_, err = o.Exchange(t.Context(), id, secret, faas.GrantCode, code)
	refused(t, err) // another client's
	_, err = o.Exchange(t.Context(), o.id, o.secret, faas.GrantRefresh, code)
	refused(t, err)
	_, err = o.Exchange(t.Context(), o.id, o.secret, faas.GrantCode, code)
	require.NoError(t, err)
	_, err = o.Exchange(t.Context(), o.id, o.secret, faas.GrantCode, code)
	refused(t, err)
	late, _, err := o.ClientCode(t.Context(), o.id, o.secret)
	require.NoError(t, err)
	o.clock = o.clock.Add(auth.CodeLife)
	_, err = o.Exchange(t.Context(), o.id, o.secret, faas.GrantCode, late)
	refused(t, err)
}

func TestRefreshEndsThePairBefore(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	first := o.pair(t)
	second, err := o.Exchange(t.Context(), o.id, o.secret, faas.GrantRefresh, first.Refresh)
	require.NoError(t, err)
	_, ok := o.enters(t, "Bearer "+first.Access)
	require.False(t, ok, "the old access token ends")
	_, ok = o.enters(t, "Bearer "+second.Access)
	require.True(t, ok)
	_, err = o.Exchange(t.Context(), o.id, o.secret, faas.GrantRefresh, first.Refresh)
	refused(t, err)
}

func TestUserOfAClient(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, err := o.LoginToClient(t.Context(), o.id, "admin", "wrong", "here")
	refused(t, err)
	_, err = o.LoginToClient(t.Context(), "nobody", "admin", o.owner.Password, "here")
	refused(t, err)
	u, err := o.LoginToClient(t.Context(), o.id, "admin", o.owner.Password, "here")
	require.NoError(t, err)
	who, ok := o.enters(t, "Hydrogen-r1 "+u.Text)
	require.True(t, ok)
	require.Equal(t, o.owner.ProjectID, who.ProjectID)
	_, ok = o.enters(t, "Bearer "+u.Text)
	require.False(t, ok)
}

// TestResetEndsClients: whoever lost the admin file gets new credentials, and the old ones end with their tokens.
func TestResetEndsClients(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	p := o.pair(t)
	_, err := auth.ResetOwner(t.Context(), o.db, o.sealer, "local")
	require.NoError(t, err)
	_, ok := o.enters(t, "Bearer "+p.Access)
	require.False(t, ok)
	_, _, err = o.ClientCode(t.Context(), o.id, o.secret)
	refused(t, err)
}
