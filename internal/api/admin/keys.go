package admin

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Keys keeps access keys.
type Keys interface {
	Keys(ctx context.Context, p faas.Principal, user string) ([]faas.AccessKey, error)
	KeyByID(ctx context.Context, p faas.Principal, id string) (faas.AccessKey, error)
	CreateKey(ctx context.Context, p faas.Principal, user, description string) (auth.Key, error)
	RotateKey(ctx context.Context, p faas.Principal, id string, grace time.Duration) (fresh auth.Key, old faas.AccessKey, err error)
	SetKey(ctx context.Context, p faas.Principal, id string, description *string, disabled *bool) (faas.AccessKey, error)
	DeleteKey(ctx context.Context, p faas.Principal, id string) error
}

// Agencies keeps agencies. One is named by id or by name.
type Agencies interface {
	Agency(ctx context.Context, p faas.Principal, agency string) (faas.Agency, error)
	Agencies(ctx context.Context, p faas.Principal, name string) ([]faas.Agency, error)
	CreateAgency(ctx context.Context, p faas.Principal, name, description string) (faas.Agency, error)
	DescribeAgency(ctx context.Context, p faas.Principal, agency, description string) (faas.Agency, error)
	DeleteAgency(ctx context.Context, p faas.Principal, agency string) error
}

type keyBody struct {
	AccessKey   string     `json:"access_key"`
	SecretKey   string     `json:"secret_key,omitempty"` // in the answer that makes the key, and never again
	UserID      string     `json:"user_id"`
	Description string     `json:"description"`
	Disabled    bool       `json:"disabled"`
	CreatedAt   *time.Time `json:"created_at"` // null for keys of releases that did not note it
	ExpiresAt   *time.Time `json:"expires_at"` // null for never
	Replaces    *keyBody   `json:"replaces,omitempty"`
}

func keyBodyOf(k faas.AccessKey) keyBody {
	b := keyBody{AccessKey: k.ID, UserID: k.UserID, Description: k.Description, Disabled: k.Disabled}
	if !k.CreatedAt.IsZero() {
		b.CreatedAt = &k.CreatedAt
	}
	if !k.ExpiresAt.IsZero() {
		b.ExpiresAt = &k.ExpiresAt
	}
	return b
}

type agencyBody struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	CreatedAt   time.Time  `json:"created_at"`
	Roles       []roleBody `json:"roles"`
}

func (f face) keyRoutes() []httpkit.Route {
	const administer, self = auth.ActionAdminister, auth.ActionSelf // whose key it is decides beside it
	const keys, agencies = "/admin/v1/keys", "/admin/v1/agencies"
	return []httpkit.Route{
		{Method: "GET", Path: keys, Operation: "ListKeys", Action: self, Handle: f.keys},
		{Method: "POST", Path: keys, Operation: "CreateKey", Action: self, Handle: f.createKey},
		{Method: "PATCH", Path: keys + "/{key}", Operation: "UpdateKey", Action: self, Handle: f.updateKey},
		{Method: "DELETE", Path: keys + "/{key}", Operation: "DeleteKey", Action: self, Handle: f.deleteKey},
		{Method: "POST", Path: keys + "/{key}/rotate", Operation: "RotateKey", Action: self, Handle: f.rotateKey},
		{Method: "GET", Path: agencies, Operation: "ListAgencies", Handle: f.agencies},
		{Method: "POST", Path: agencies, Operation: "CreateAgency", Action: administer, Handle: f.createAgency},
		{Method: "GET", Path: agencies + "/{agency}", Operation: "ShowAgency", Handle: f.showAgency},
		{Method: "PATCH", Path: agencies + "/{agency}", Operation: "UpdateAgency", Action: administer, Handle: f.updateAgency},
		{Method: "DELETE", Path: agencies + "/{agency}", Operation: "DeleteAgency", Action: administer, Handle: f.deleteAgency},
	}
}

// mayHold tells whether the caller may work with the keys of a user: with one's own, where the credentials are for all that one
// may do, and else as an administrator.
func (f face) mayHold(r *http.Request, userID string) error {
	p := httpkit.PrincipalOf(r.Context())
	if p.UserID == userID && !p.Agency && p.AtMost == "" && p.ProjectID == "" {
		return nil
	}
	return f.cfg.Permissions.Can(r.Context(), p, auth.ActionAdminister, auth.Resource{DomainID: p.DomainID})
}

// keyHolder is the user that a request names in user, or else the caller, whose keys the caller may work with.
func (f face) keyHolder(r *http.Request, user string) (string, error) {
	p := httpkit.PrincipalOf(r.Context())
	if user = cmp.Or(user, p.UserID); user != p.UserID && user != p.UserName {
		return user, f.mayHold(r, "") // before it is told whether there is such a user
	}
	return p.UserID, f.mayHold(r, p.UserID)
}

// ownKey refuses the key of the path where the caller may not work with it.
func (f face) ownKey(r *http.Request) (string, error) {
	k, err := f.cfg.People.KeyByID(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("key"))
	if faas.CodeOf(err) == faas.CodeNotFound {
		if denied := f.mayHold(r, ""); denied != nil {
			return "", denied // a key that is not there is refused as another's is
		}
	}
	if err != nil {
		return "", err
	}
	return k.ID, f.mayHold(r, k.UserID)
}

func (f face) keys(w http.ResponseWriter, r *http.Request) error {
	user, err := f.keyHolder(r, r.URL.Query().Get("user"))
	if err != nil {
		return err
	}
	all, err := f.cfg.People.Keys(r.Context(), httpkit.PrincipalOf(r.Context()), user)
	if err != nil {
		return err
	}
	out := make([]keyBody, 0, len(all))
	for _, k := range all {
		out = append(out, keyBodyOf(k))
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]keyBody{"keys": out})
}

func (f face) createKey(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		User        string `json:"user"` // id or name; "" for the caller
		Description string `json:"description"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	user, err := f.keyHolder(r, q.User)
	if err != nil {
		return err
	}
	k, err := f.cfg.People.CreateKey(r.Context(), httpkit.PrincipalOf(r.Context()), user, q.Description)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "key "+k.ID+" of user "+k.UserID)
	body := keyBodyOf(k.AccessKey)
	body.SecretKey = k.Secret
	return httpkit.WriteJSON(w, http.StatusCreated, body)
}

// defaultGrace is how long a key goes on that is replaced.
const defaultGrace = 24 * time.Hour

func (f face) rotateKey(w http.ResponseWriter, r *http.Request) error {
	id, err := f.ownKey(r)
	if err != nil {
		return err
	}
	grace := int64(defaultGrace / time.Second)
	q := struct {
		Grace *int64 `json:"grace_seconds"`
	}{&grace}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	if q.Grace == nil || *q.Grace < 0 || *q.Grace > int64(auth.MaxRotateGrace/time.Second) {
		return faas.Errorf(faas.CodeInvalid, "grace_seconds", "grace_seconds must be a number from 0 to %d", int64(auth.MaxRotateGrace/time.Second))
	}
	fresh, old, err := f.cfg.People.RotateKey(r.Context(), httpkit.PrincipalOf(r.Context()), id, time.Duration(*q.Grace)*time.Second)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "key "+fresh.ID+" of user "+fresh.UserID)
	body, before := keyBodyOf(fresh.AccessKey), keyBodyOf(old)
	body.SecretKey, body.Replaces = fresh.Secret, &before
	return httpkit.WriteJSON(w, http.StatusCreated, body)
}

func (f face) updateKey(w http.ResponseWriter, r *http.Request) error {
	id, err := f.ownKey(r)
	if err != nil {
		return err
	}
	var q struct {
		Description *string `json:"description"`
		Disabled    *bool   `json:"disabled"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	k, err := f.cfg.People.SetKey(r.Context(), httpkit.PrincipalOf(r.Context()), id, q.Description, q.Disabled)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, keyBodyOf(k))
}

func (f face) deleteKey(w http.ResponseWriter, r *http.Request) error {
	id, err := f.ownKey(r)
	if err != nil {
		return err
	}
	if err := f.cfg.People.DeleteKey(r.Context(), httpkit.PrincipalOf(r.Context()), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (f face) agencyBody(ctx context.Context, a faas.Agency) (agencyBody, error) {
	roles, err := f.rolesOf(ctx, a.ID)
	return agencyBody{ID: a.ID, Name: a.Name, Description: a.Description, CreatedAt: a.CreatedAt, Roles: roles}, err
}

func (f face) writeAgency(w http.ResponseWriter, r *http.Request, status int, a faas.Agency) error {
	body, err := f.agencyBody(r.Context(), a)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, status, body)
}

func (f face) agencies(w http.ResponseWriter, r *http.Request) error {
	all, err := f.cfg.People.Agencies(r.Context(), httpkit.PrincipalOf(r.Context()), r.URL.Query().Get("name"))
	if err != nil {
		return err
	}
	out := make([]agencyBody, 0, len(all))
	for _, a := range all {
		body, err := f.agencyBody(r.Context(), a)
		if err != nil {
			return err
		}
		out = append(out, body)
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]agencyBody{"agencies": out})
}

func (f face) showAgency(w http.ResponseWriter, r *http.Request) error {
	a, err := f.cfg.People.Agency(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("agency"))
	if err != nil {
		return err
	}
	return f.writeAgency(w, r, http.StatusOK, a)
}

func (f face) createAgency(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	a, err := f.cfg.People.CreateAgency(r.Context(), httpkit.PrincipalOf(r.Context()), q.Name, q.Description)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "agency "+a.Name+" "+a.ID)
	return f.writeAgency(w, r, http.StatusCreated, a)
}

func (f face) updateAgency(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Description string `json:"description"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	a, err := f.cfg.People.DescribeAgency(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("agency"), q.Description)
	if err != nil {
		return err
	}
	return f.writeAgency(w, r, http.StatusOK, a)
}

func (f face) deleteAgency(w http.ResponseWriter, r *http.Request) error {
	if err := f.cfg.People.DeleteAgency(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("agency")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
