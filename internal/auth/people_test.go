package auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/client"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// boss is the owner as a domain-wide principal.
func (o *office) boss() faas.Principal {
	return faas.Principal{UserID: o.owner.UserID, UserName: "admin", DomainID: o.owner.DomainID, Domain: "hanshu"}
}

// signed is a request with a signature; security "" for lasting keys.
func (o *office) signed(access, secret, security string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v2/x", nil)
	if security != "" {
		r.Header.Set("X-Security-Token", security)
	}
	client.Sign(r, nil, access, secret, o.clock)
	return r
}

func (o *office) who(r *http.Request) (faas.Principal, error) {
	return o.Authenticate(r, func() ([]byte, error) { return nil, nil })
}

func (o *office) user(t *testing.T, name, password, project string, role faas.Role) (faas.User, auth.Key) {
	t.Helper()
	u, err := o.CreateUser(t.Context(), o.boss(), name, password)
	require.NoError(t, err)
	require.NoError(t, o.SetRole(t.Context(), o.boss(), faas.Binding{HolderID: u.ID, ProjectID: project, Role: role}))
	k, err := o.CreateKey(t.Context(), o.boss(), u.ID, "")
	require.NoError(t, err)
	return u, k
}

// TestRoles: every role, in one project or everywhere, against every action there, in another project, in the domain and elsewhere.
func TestRoles(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	second, err := o.CreateProject(t.Context(), o.boss(), "second")
	require.NoError(t, err)
	require.NoError(t, o.db.SetBinding(t.Context(), faas.Binding{HolderID: o.owner.UserID, Role: faas.RoleAdmin}))
	may := map[faas.Role]string{
		faas.RoleAdmin: "read write invoke administer", faas.RoleDeveloper: "read write invoke", faas.RoleInvoker: "invoke", faas.RoleViewer: "read", "": "",
	}
	for role, want := range may {
		for _, everywhere := range []bool{false, true} {
			name, at := "u-"+string(role), o.owner.ProjectID
			if everywhere {
				name, at = name+"-all", ""
			}
			u, err := o.CreateUser(t.Context(), o.boss(), name, "")
			require.NoError(t, err)
			require.NoError(t, o.SetRole(t.Context(), o.boss(), faas.Binding{HolderID: u.ID, ProjectID: at, Role: role}))
			p := faas.Principal{UserID: u.ID, DomainID: o.owner.DomainID}
			scoped := p
			scoped.ProjectID = o.owner.ProjectID
			allowed := func(p faas.Principal, r auth.Resource) (out string) {
				for _, a := range []faas.Action{auth.ActionRead, auth.ActionWrite, auth.ActionInvoke, auth.ActionAdminister} {
					if err := o.Can(t.Context(), p, a, r); err == nil {
						out += " " + string(a)
					} else {
						require.Equal(t, faas.CodeForbidden, faas.CodeOf(err), "%v", err)
					}
				}
				require.NoError(t, o.Can(t.Context(), p, auth.ActionSelf, r))
				return out
			}
			here, elsewhere := "", ""
			if want != "" {
				here = " " + want
			}
			if everywhere {
				elsewhere = here
			}
			require.Equal(t, here, allowed(p, auth.Resource{ProjectID: o.owner.ProjectID}), name)
			require.Equal(t, here, allowed(scoped, auth.Resource{ProjectID: o.owner.ProjectID}), name)
			require.Equal(t, elsewhere, allowed(p, auth.Resource{ProjectID: second.ID}), name)
			require.Equal(t, elsewhere, allowed(p, auth.Resource{DomainID: o.owner.DomainID}), name)
			require.Empty(t, allowed(scoped, auth.Resource{ProjectID: second.ID}), "beyond the scope")
			require.Empty(t, allowed(scoped, auth.Resource{DomainID: o.owner.DomainID}), "a project's token does not rule the domain")
			for _, r := range []auth.Resource{{}, {ProjectID: "none"}, {DomainID: "other"}} {
				require.Empty(t, allowed(p, r), name)
			}
			bounded := p
			bounded.AtMost = faas.RoleViewer
			require.NotContains(t, allowed(bounded, auth.Resource{ProjectID: o.owner.ProjectID}), "write")
		}
	}
	require.Error(t, o.Can(t.Context(), faas.Principal{}, auth.ActionSelf, auth.Resource{}), "nobody")
}

// TestChangesHoldAtOnce: with a clock that stands still, nothing expires from a cache.
func TestChangesHoldAtOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx, project := t.Context(), o.owner.ProjectID
	u, k := o.user(t, "ada", "password-1", project, faas.RoleDeveloper)
	token, err := o.Login(ctx, auth.Proof{UserName: "ada", DomainName: "hanshu", Password: "password-1"}, auth.Scope{ProjectID: project}, "here")
	require.NoError(t, err)
	byToken := httptest.NewRequest(http.MethodGet, "/", nil)
	byToken.Header.Set("X-Auth-Token", token.Text)
	works := func(key, tok bool) {
		t.Helper()
		p, err := o.who(o.signed(k.ID, k.Secret, ""))
		require.Equal(t, key, err == nil, "key: %v", err)
		if err == nil {
			require.Equal(t, u.ID, p.UserID)
		}
		_, err = o.who(byToken)
		require.Equal(t, tok, err == nil, "token: %v", err)
	}
	on, off := false, true
	works(true, true)
	_, err = o.SetKey(ctx, o.boss(), k.ID, nil, &off)
	require.NoError(t, err)
	works(false, true)
	_, err = o.SetKey(ctx, o.boss(), k.ID, nil, &on)
	require.NoError(t, err)
	works(true, true)
	_, err = o.SetUser(ctx, o.boss(), "ada", nil, &off)
	require.NoError(t, err)
	works(false, false)
	_, err = o.Login(ctx, auth.Proof{UserID: u.ID, Password: "password-1"}, auth.Scope{}, "here")
	require.Equal(t, faas.CodeUnauthenticated, faas.CodeOf(err))
	_, err = o.SetUser(ctx, o.boss(), "ada", nil, &on)
	require.NoError(t, err)
	works(true, true)

	p := faas.Principal{UserID: u.ID, DomainID: o.owner.DomainID}
	require.NoError(t, o.Can(ctx, p, auth.ActionWrite, auth.Resource{ProjectID: project}))
	require.NoError(t, o.SetRole(ctx, o.boss(), faas.Binding{HolderID: u.ID, ProjectID: project, Role: faas.RoleViewer}))
	require.Error(t, o.Can(ctx, p, auth.ActionWrite, auth.Resource{ProjectID: project}))

	require.Equal(t, faas.CodeUnauthenticated, faas.CodeOf(o.ChangePassword(ctx, p, "wrong", "password-2", "here")))
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(o.ChangePassword(ctx, p, "password-1", "short", "here")))
	require.NoError(t, o.ChangePassword(ctx, p, "password-1", "password-2", "here"))
	works(true, false)
	require.NoError(t, o.DeleteKey(ctx, o.boss(), k.ID))
	works(false, false)
	require.NoError(t, o.DeleteUser(ctx, o.boss(), "ada"))
	_, err = o.User(ctx, o.boss(), "ada")
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
	require.Error(t, o.Can(ctx, p, auth.ActionRead, auth.Resource{ProjectID: project}))
}

// TestRotation: two keys live at once, the old one ends by itself, and there is never a third.
func TestRotation(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, old := o.user(t, "ada", "", o.owner.ProjectID, faas.RoleInvoker)
	fresh, replaced, err := o.RotateKey(t.Context(), o.boss(), old.ID, time.Hour)
	require.NoError(t, err)
	require.Equal(t, o.clock.Add(time.Hour), replaced.ExpiresAt)
	works := func(k auth.Key) bool {
		_, err := o.who(o.signed(k.ID, k.Secret, ""))
		return err == nil
	}
	require.True(t, works(old) && works(fresh), "no time without a key")
	_, err = o.CreateKey(t.Context(), o.boss(), "ada", "")
	require.Equal(t, faas.CodeQuota, faas.CodeOf(err))
	o.clock = o.clock.Add(time.Hour - time.Nanosecond)
	require.True(t, works(old))
	o.clock = o.clock.Add(time.Nanosecond)
	require.False(t, works(old))
	require.True(t, works(fresh))
	_, _, err = o.RotateKey(t.Context(), o.boss(), old.ID, time.Hour)
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err), "the expired key makes room, and is no more")
	_, _, err = o.RotateKey(t.Context(), o.boss(), fresh.ID, 0)
	require.NoError(t, err)
	require.False(t, works(fresh), "without grace it ends at once")
}

// TestOwnerStays: nobody can lock everybody out.
func TestOwnerStays(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	off := true
	_, err := o.SetUser(t.Context(), o.boss(), "admin", nil, &off)
	require.Equal(t, faas.CodeConflict, faas.CodeOf(err))
	require.Equal(t, faas.CodeConflict, faas.CodeOf(o.DeleteUser(t.Context(), o.boss(), o.owner.UserID)))
	for _, role := range []faas.Role{"", faas.RoleViewer} {
		require.Equal(t, faas.CodeConflict, faas.CodeOf(o.SetRole(t.Context(), o.boss(), faas.Binding{HolderID: o.owner.UserID, Role: role})))
	}
	require.Equal(t, faas.CodeConflict, faas.CodeOf(o.DeleteProject(t.Context(), o.boss(), o.owner.ProjectID)), "the last project")
	stranger := o.boss()
	stranger.DomainID = "another"
	_, err = o.User(t.Context(), stranger, o.owner.UserID)
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
	_, err = o.KeyByID(t.Context(), stranger, o.owner.AccessKey)
	require.Equal(t, faas.CodeNotFound, faas.CodeOf(err))
}

// TestAgency: what a function is given works for its project, as far as the agency's role goes, until it ends or the agency does.
func TestAgency(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx, project := t.Context(), o.owner.ProjectID
	second, err := o.CreateProject(ctx, o.boss(), "second")
	require.NoError(t, err)
	none, err := o.FunctionCredentials(ctx, project, "default/f", "reader", time.Minute)
	require.NoError(t, err)
	require.Empty(t, none.AuthToken)
	require.Equal(t, o.clock.Add(time.Minute), none.RenewAt, "asked again: the agency may be made later")

	a, err := o.CreateAgency(ctx, o.boss(), "reader", "")
	require.NoError(t, err)
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(o.SetRole(ctx, o.boss(), faas.Binding{HolderID: a.ID, Role: faas.RoleAdmin})))
	require.NoError(t, o.SetRole(ctx, o.boss(), faas.Binding{HolderID: a.ID, Role: faas.RoleViewer}))
	c, err := o.FunctionCredentials(ctx, project, "default/f", "reader", time.Minute)
	require.NoError(t, err)
	require.Equal(t, o.clock.Add(auth.AgencyRenew), c.RenewAt)
	require.Equal(t, o.clock.Add(auth.AgencyLife+time.Minute), c.ExpiresAt)

	byToken := httptest.NewRequest(http.MethodGet, "/", nil)
	byToken.Header.Set("X-Auth-Token", c.AuthToken)
	both := func() []*http.Request {
		return []*http.Request{o.signed(c.AccessKey, c.SecretKey, c.SecurityToken), byToken}
	}
	for _, r := range both() {
		p, err := o.who(r)
		require.NoError(t, err)
		require.Equal(t, faas.Principal{UserID: a.ID, UserName: "reader", DomainID: o.owner.DomainID, Domain: "hanshu", ProjectID: project, Project: "local",
			Agency: true, For: "default/f", AtMost: faas.RoleDeveloper}, p)
		require.NoError(t, o.Can(ctx, p, auth.ActionRead, auth.Resource{ProjectID: project}))
		require.Error(t, o.Can(ctx, p, auth.ActionWrite, auth.Resource{ProjectID: project}))
		require.Error(t, o.Can(ctx, p, auth.ActionRead, auth.Resource{ProjectID: second.ID}), "the role is everywhere, the credentials are not")
		require.Error(t, o.Can(ctx, p, auth.ActionRead, auth.Resource{DomainID: o.owner.DomainID}))
	}
	_, err = o.who(o.signed(c.AccessKey, c.SecretKey, ""))
	require.Error(t, err, "a temporary key without its security token")
	_, err = o.who(o.signed(o.owner.AccessKey, o.owner.SecretKey, c.SecurityToken))
	require.Error(t, err, "another key with the security token")
	_, err = o.who(o.signed(c.AccessKey, "x"+c.SecretKey, c.SecurityToken))
	require.Error(t, err)
	_, err = o.Login(ctx, auth.Proof{Token: c.AuthToken}, auth.Scope{}, "here")
	require.Equal(t, faas.CodeForbidden, faas.CodeOf(err), "no other token for it")

	issued := o.clock
	o.clock = c.ExpiresAt
	for _, r := range both() {
		_, err := o.who(r)
		require.ErrorContains(t, err, "expires, expires_at: ")
	}
	o.clock = issued
	require.NoError(t, o.DeleteAgency(ctx, o.boss(), "reader"))
	for _, r := range both() {
		_, err := o.who(r)
		require.Equal(t, faas.CodeUnauthenticated, faas.CodeOf(err))
	}
}

// TestAssume: who may change functions in a project may act as an agency there; nobody gains by it.
func TestAssume(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx, project := t.Context(), o.owner.ProjectID
	a, err := o.CreateAgency(ctx, o.boss(), "deployer", "")
	require.NoError(t, err)
	require.NoError(t, o.SetRole(ctx, o.boss(), faas.Binding{HolderID: a.ID, ProjectID: project, Role: faas.RoleDeveloper}))
	for role, ok := range map[faas.Role]bool{faas.RoleAdmin: true, faas.RoleDeveloper: true, faas.RoleInvoker: false, faas.RoleViewer: false} {
		u, _ := o.user(t, "u-"+string(role), "", project, role)
		p := faas.Principal{UserID: u.ID, DomainID: o.owner.DomainID}
		token, err := o.AssumeAgency(ctx, p, "deployer", auth.Scope{ProjectID: project})
		require.Equal(t, ok, err == nil, "%s: %v", role, err)
		if !ok {
			require.Equal(t, faas.CodeForbidden, faas.CodeOf(err))
			continue
		}
		c, err := o.TemporaryKey(ctx, token.Text, time.Hour)
		require.NoError(t, err)
		require.Equal(t, o.clock.Add(time.Hour), c.ExpiresAt)
		who, err := o.who(o.signed(c.AccessKey, c.SecretKey, c.SecurityToken))
		require.NoError(t, err)
		require.Equal(t, a.ID, who.UserID)
		off := true
		_, err = o.SetUser(ctx, o.boss(), u.ID, nil, &off)
		require.NoError(t, err)
		_, err = o.who(o.signed(c.AccessKey, c.SecretKey, c.SecurityToken))
		require.Error(t, err, "it ends with the user who got it")
	}
	_, err = o.AssumeAgency(ctx, o.boss(), "none", auth.Scope{ProjectID: project})
	require.Equal(t, faas.CodeForbidden, faas.CodeOf(err))
}

// TestClientsAreBounded: an application does no more than a developer and its people no more than an invoker, though its user is an
// administrator; and no more than the user.
func TestClientsAreBounded(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	p, ok := o.enters(t, "Bearer "+o.pair(t).Access)
	require.True(t, ok)
	here := auth.Resource{ProjectID: o.owner.ProjectID}
	require.NoError(t, o.Can(t.Context(), p, auth.ActionWrite, here))
	require.Error(t, o.Can(t.Context(), p, auth.ActionAdminister, here))
	o.user(t, "ada", "password-1", o.owner.ProjectID, faas.RoleDeveloper)
	token, err := o.LoginToClient(t.Context(), o.id, "ada", "password-1", "here")
	require.NoError(t, err)
	p, ok = o.enters(t, "Hydrogen-r1 "+token.Text)
	require.True(t, ok)
	require.NoError(t, o.Can(t.Context(), p, auth.ActionInvoke, here))
	require.Error(t, o.Can(t.Context(), p, auth.ActionWrite, here))
	require.Error(t, o.Can(t.Context(), p, auth.ActionRead, here))
	require.NoError(t, o.SetRole(t.Context(), o.boss(), faas.Binding{HolderID: p.UserID, ProjectID: here.ProjectID}))
	require.Error(t, o.Can(t.Context(), p, auth.ActionInvoke, here), "the user has lost the role")
}

// BenchmarkTemporarySignature is a request of a function with its agency's key: with the ask whether it may do that.
func BenchmarkTemporarySignature(b *testing.B) {
	o := newOfficeFor(b)
	ctx := b.Context()
	a, err := o.CreateAgency(ctx, o.boss(), "caller", "")
	require.NoError(b, err)
	require.NoError(b, o.SetRole(ctx, o.boss(), faas.Binding{HolderID: a.ID, Role: faas.RoleInvoker}))
	c, err := o.FunctionCredentials(ctx, o.owner.ProjectID, "default/f", "caller", time.Minute)
	require.NoError(b, err)
	r := o.signed(c.AccessKey, c.SecretKey, c.SecurityToken)
	for b.Loop() {
		p, err := o.who(r)
		if err == nil {
			err = o.Can(ctx, p, auth.ActionInvoke, auth.Resource{ProjectID: o.owner.ProjectID})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
