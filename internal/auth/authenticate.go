package auth

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const (
	headerToken   = "X-Auth-Token"
	headerProject = "X-Project-Id"
	headerDomain  = "X-Domain-Id"
	// headerSecurity comes with signatures by temporary keys (FunctionGraph reference, section 7.2).
	headerSecurity = "X-Security-Token"
)

// refuse is the failure of a proof, in the words of the FunctionGraph reference, section 6.
func refuse(ending string) error {
	return faas.Errorf(faas.CodeUnauthenticated, "", "Incorrect IAM authentication information: %s", ending)
}

// gone turns "not found" into a refusal and leaves other errors.
func gone(err error, ending string) error {
	if faas.CodeOf(err) == faas.CodeNotFound {
		return refuse(ending)
	}
	return err
}

// Authenticate proves who makes a request, by X-Auth-Token, or by a token or the signature in Authorization. body reads the whole
// body; it is asked for only when a signature holds in all that can be seen without it.
// A key has no scope but what X-Project-Id asks for; a token has its own, and may not ask for another.
// Errors: CodeUnauthenticated; CodeForbidden, field "project" or "domain", for a scope that is not the caller's.
func (a *Auth) Authenticate(r *http.Request, body func() ([]byte, error)) (faas.Principal, error) {
	p, err := a.identify(r, body)
	if err != nil {
		return faas.Principal{}, err
	}
	if d := r.Header.Get(headerDomain); d != "" && d != p.DomainID {
		return faas.Principal{}, faas.Errorf(faas.CodeForbidden, "domain", "X-Domain-Id %.64q is not the domain of these credentials", d)
	}
	return a.scope(r.Context(), p, r.Header.Get(headerProject))
}

func (a *Auth) identify(r *http.Request, body func() ([]byte, error)) (faas.Principal, error) {
	if text := r.Header.Get(headerToken); text != "" {
		e, err := a.verify(r.Context(), text)
		return e.principal, err
	}
	if kind, text, ok := grantIn(r); ok {
		return a.byGrant(r.Context(), kind, text)
	}
	if text, ok := webTokenIn(r); ok {
		return a.byWebToken(r.Context(), text)
	}
	if header := r.Header.Get("Authorization"); header != "" {
		return a.bySignature(r, body, header)
	}
	if a.dev && fromOwnDesk(r) {
		return a.ownerOf(r.Context())
	}
	return faas.Principal{}, refuse("x-auth-token not found")
}

// scope narrows a principal to the project asked for.
func (a *Auth) scope(ctx context.Context, p faas.Principal, projectID string) (faas.Principal, error) {
	if projectID == "" || projectID == p.ProjectID {
		return p, nil
	}
	no := faas.Errorf(faas.CodeForbidden, "project", "X-Project-Id %.64q is not a project of these credentials", projectID)
	if p.ProjectID != "" {
		return faas.Principal{}, no
	}
	project, err := a.project(ctx, projectID)
	switch {
	case faas.CodeOf(err) == faas.CodeNotFound:
		return faas.Principal{}, no
	case err != nil:
		return faas.Principal{}, err
	case project.DomainID != p.DomainID:
		return faas.Principal{}, no
	}
	p.ProjectID, p.Project = project.ID, project.Name
	return p, nil
}

// keyEntry is an access key with its secret open, kept in memory only.
type keyEntry struct {
	secret    []byte
	principal faas.Principal
}

// keyLabel binds a sealed secret to its access key.
func keyLabel(accessKey string) string { return "access_key:" + accessKey }

// bySignature proves an SDK-HMAC-SHA256 signature. Five wrong ones lock the access key for five minutes; only keys that
// exist are counted.
func (a *Auth) bySignature(r *http.Request, read func() ([]byte, error), header string) (faas.Principal, error) {
	const fail = "verify aksk signature fail"
	s, err := parseSignature(header)
	if err != nil {
		return faas.Principal{}, refuse(fail)
	}
	now := a.now()
	at, err := signedAt(r)
	if err != nil {
		return faas.Principal{}, refuse(fail + ", x-sdk-date must be one time like 20060102T150405Z")
	}
	if age := now.Sub(at); age > signWindow || age < -signWindow {
		return faas.Principal{}, refuse(fail + ", the signature has expired: x-sdk-date is not within 15 minutes of the server's time")
	}
	if a.badKeys.locked(s.access, now) {
		return faas.Principal{}, refuse(fail + ", the access key is locked for 5 minutes after 5 wrong signatures")
	}
	k, err := a.keyOf(r, s.access)
	if err != nil {
		return faas.Principal{}, gone(err, fail)
	}
	body, err := read()
	if err != nil {
		return faas.Principal{}, err
	}
	if !s.matches(r, body, k.secret) {
		a.badKeys.failed(s.access, now)
		return faas.Principal{}, refuse(fail)
	}
	a.badKeys.passed(s.access, now)
	return k.principal, nil
}

// keyOf finds the key of a request: a temporary one comes in the security token beside it.
func (a *Auth) keyOf(r *http.Request, access string) (keyEntry, error) {
	text := r.Header.Get(headerSecurity)
	if text == "" {
		return a.key(r.Context(), access)
	}
	s, err := a.session(r.Context(), text)
	if err == nil && s.access != access {
		err = faas.NotFound("access_key", access)
	}
	return s.keyEntry, err
}

// key finds an access key with its secret open. Error: CodeNotFound, also for one that is disabled or has expired.
func (a *Auth) key(ctx context.Context, id string) (keyEntry, error) {
	now := a.now()
	return a.keys.find(id, now, func() (e keyEntry, end time.Time, err error) {
		k, err := a.store.AccessKey(ctx, id)
		if err != nil {
			return e, end, err
		}
		if end = now.Add(fresh); !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(end) {
			end = k.ExpiresAt
		}
		if k.Disabled || !now.Before(end) {
			return e, end, faas.NotFound("access_key", id)
		}
		u, d, err := a.person(ctx, k.UserID)
		if err != nil {
			return e, end, err
		}
		secret, err := a.sealer.Open(keyLabel(id), k.SealedSecret)
		return keyEntry{secret, faas.Principal{UserID: u.ID, UserName: u.Name, DomainID: d.ID, Domain: d.Name}}, end, err
	})
}

// fromOwnDesk tells whether a request was made on this machine by a program, not through a proxy and not by another site's page
// in a browser: a page of any site can reach loopback, and its name may be made to lead there.
func fromOwnDesk(r *http.Request) bool {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" && site != "same-origin" {
		return false
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback() && isLoopbackName(r.Host)
}

func isLoopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// ownerOf gives the owner, for dev mode.
func (a *Auth) ownerOf(ctx context.Context) (faas.Principal, error) {
	now := a.now()
	p, err := a.owner.find(struct{}{}, now, func() (faas.Principal, time.Time, error) {
		d, u, err := findOwner(ctx, a.store)
		return faas.Principal{UserID: u.ID, UserName: u.Name, DomainID: d.ID, Domain: d.Name}, now.Add(fresh), err
	})
	return p, gone(err, "there is no owner yet")
}
