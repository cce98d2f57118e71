package iam

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// People changes projects and users; auth.Auth is one. A user is named by id here.
type People interface {
	CreateProject(ctx context.Context, p faas.Principal, name string) (faas.Project, error)
	User(ctx context.Context, p faas.Principal, user string) (faas.User, error)
	CreateUser(ctx context.Context, p faas.Principal, name, password string) (faas.User, error)
	SetUser(ctx context.Context, p faas.Principal, user string, password *string, disabled *bool) (faas.User, error)
	DeleteUser(ctx context.Context, p faas.Principal, user string) error
	ChangePassword(ctx context.Context, p faas.Principal, old, fresh, source string) error
}

// Keys changes access keys; auth.Auth is one.
type Keys interface {
	Can(ctx context.Context, p faas.Principal, action auth.Action, r auth.Resource) error
	Keys(ctx context.Context, p faas.Principal, user string) ([]faas.AccessKey, error)
	KeyByID(ctx context.Context, p faas.Principal, id string) (faas.AccessKey, error)
	CreateKey(ctx context.Context, p faas.Principal, user, description string) (auth.Key, error)
	SetKey(ctx context.Context, p faas.Principal, id string, description *string, disabled *bool) (faas.AccessKey, error)
	DeleteKey(ctx context.Context, p faas.Principal, id string) error
}

func (f face) peopleRoutes() []httpkit.Route {
	const administer, self = auth.ActionAdminister, auth.ActionSelf
	const user, keys = "/v3/users/{user_id}", "/v3.0/OS-CREDENTIAL/credentials"
	return []httpkit.Route{
		{Method: "POST", Path: "/v3/projects", Operation: "KeystoneCreateProject", Action: administer, Handle: f.createProject},
		{Method: "GET", Path: "/v3/projects/{project_id}", Operation: "KeystoneShowProject", Action: self, Handle: f.showProject},
		{Method: "POST", Path: "/v3/users", Operation: "KeystoneCreateUser", Action: administer, Handle: f.createUser},
		{Method: "GET", Path: user, Operation: "KeystoneShowUser", Action: self, Handle: f.showUser},
		{Method: "PATCH", Path: user, Operation: "KeystoneUpdateUserByAdmin", Action: administer, Handle: f.updateUser},
		{Method: "DELETE", Path: user, Operation: "KeystoneDeleteUser", Action: administer, Handle: f.deleteUser},
		{Method: "POST", Path: user + "/password", Operation: "KeystoneUpdateUserPassword", Action: self, Handle: f.changePassword},
		{Method: "GET", Path: keys, Operation: "ListPermanentAccessKeys", Action: self, Handle: f.listKeys},
		{Method: "POST", Path: keys, Operation: "CreatePermanentAccessKey", Action: self, Handle: f.createKey},
		{Method: "GET", Path: keys + "/{access_key}", Operation: "ShowPermanentAccessKey", Action: self, Handle: f.showKey},
		{Method: "PUT", Path: keys + "/{access_key}", Operation: "UpdatePermanentAccessKey", Action: self, Handle: f.updateKey},
		{Method: "DELETE", Path: keys + "/{access_key}", Operation: "DeletePermanentAccessKey", Action: self, Handle: f.deleteKey},
	}
}

// ownDomain refuses another domain than the caller's, where a request names one.
func ownDomain(p faas.Principal, ids ...string) error {
	for _, id := range ids {
		if cmp.Or(id, p.DomainID) != p.DomainID {
			return faas.Errorf(faas.CodeForbidden, "domain", "You have no right to do this action")
		}
	}
	return nil
}

// notKept refuses a field that this server has no place for, unless it says nothing.
func notKept(field, value string) error {
	if value == "" {
		return nil
	}
	return faas.Errorf(faas.CodeUnsupported, field, "%s is not kept by this server; leave it out", field)
}

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func (f face) createProject(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Project struct {
			Name        string `json:"name"`
			ParentID    string `json:"parent_id"`
			DomainID    string `json:"domain_id"`
			Description string `json:"description"`
		} `json:"project"`
	}
	p := httpkit.PrincipalOf(r.Context())
	err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q)
	if err = firstError(err, ownDomain(p, q.Project.ParentID, q.Project.DomainID), notKept("description", q.Project.Description)); err != nil {
		return err
	}
	made, err := f.People.CreateProject(r.Context(), p, q.Project.Name)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "project "+made.ID)
	return httpkit.WriteJSON(w, http.StatusCreated, map[string]projectItem{"project": projectOf(r, made)})
}

func (f face) showProject(w http.ResponseWriter, r *http.Request) error {
	all, err := f.Identities.Projects(r.Context(), httpkit.PrincipalOf(r.Context()), "")
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.ID == r.PathValue("project_id") {
			return httpkit.WriteJSON(w, http.StatusOK, map[string]projectItem{"project": projectOf(r, p)})
		}
	}
	return faas.Errorf(faas.CodeForbidden, "project", "You have no right to do this action")
}

type userRequest struct {
	User struct {
		Name        string  `json:"name"`
		DomainID    string  `json:"domain_id"`
		Password    *string `json:"password"`
		Enabled     *bool   `json:"enabled"`
		Description string  `json:"description"`
	} `json:"user"`
}

func (f face) readUser(r *http.Request) (faas.Principal, userRequest, error) {
	var q userRequest
	p := httpkit.PrincipalOf(r.Context())
	err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q)
	return p, q, firstError(err, ownDomain(p, q.User.DomainID), notKept("description", q.User.Description))
}

func writeUser(w http.ResponseWriter, r *http.Request, status int, u faas.User) error {
	return httpkit.WriteJSON(w, status, map[string]userItem{"user": userOf(r, u)})
}

func (f face) createUser(w http.ResponseWriter, r *http.Request) error {
	p, q, err := f.readUser(r)
	if err != nil {
		return err
	}
	password := ""
	if q.User.Password != nil {
		password = *q.User.Password
	}
	u, err := f.People.CreateUser(r.Context(), p, q.User.Name, password)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "user "+u.Name+" "+u.ID)
	if q.User.Enabled != nil && !*q.User.Enabled {
		off := true
		if u, err = f.People.SetUser(r.Context(), p, u.ID, nil, &off); err != nil {
			return err
		}
	}
	return writeUser(w, r, http.StatusCreated, u)
}

// showUser shows oneself, and others to those who may see them.
func (f face) showUser(w http.ResponseWriter, r *http.Request) error {
	p := httpkit.PrincipalOf(r.Context())
	if id := r.PathValue("user_id"); id != p.UserID || p.Agency {
		if err := f.Keys.Can(r.Context(), p, auth.ActionRead, auth.Resource{DomainID: p.DomainID}); err != nil {
			return err
		}
	}
	u, err := f.People.User(r.Context(), p, r.PathValue("user_id"))
	if err != nil {
		return err
	}
	return writeUser(w, r, http.StatusOK, u)
}

func (f face) updateUser(w http.ResponseWriter, r *http.Request) error {
	p, q, err := f.readUser(r)
	if err != nil {
		return err
	}
	u, err := f.People.User(r.Context(), p, r.PathValue("user_id"))
	if err != nil {
		return err
	}
	if cmp.Or(q.User.Name, u.Name) != u.Name {
		return faas.Errorf(faas.CodeUnsupported, "name", "a user cannot be renamed on this server")
	}
	var disabled *bool
	if q.User.Enabled != nil {
		off := !*q.User.Enabled
		disabled = &off
	}
	if u, err = f.People.SetUser(r.Context(), p, u.ID, q.User.Password, disabled); err != nil {
		return err
	}
	return writeUser(w, r, http.StatusOK, u)
}

func (f face) deleteUser(w http.ResponseWriter, r *http.Request) error {
	if err := f.People.DeleteUser(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("user_id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (f face) changePassword(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		User struct {
			Password string `json:"password"`
			Original string `json:"original_password"`
		} `json:"user"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	p := httpkit.PrincipalOf(r.Context())
	if r.PathValue("user_id") != p.UserID {
		return faas.Errorf(faas.CodeForbidden, "user", "You have no right to do this action")
	}
	if err := f.People.ChangePassword(r.Context(), p, q.User.Original, q.User.Password, source(r)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// credentialItem is an access key (reference 7.1; shape of OS-CREDENTIAL).
type credentialItem struct {
	UserID      string `json:"user_id"`
	Access      string `json:"access"`
	Secret      string `json:"secret,omitempty"` // when it is made, and never again
	Status      string `json:"status"`           // active or inactive
	CreateTime  string `json:"create_time"`
	Description string `json:"description"`
}

const (
	keyActive   = "active"
	keyInactive = "inactive"
)

func credentialOf(k faas.AccessKey) credentialItem {
	item := credentialItem{UserID: k.UserID, Access: k.ID, Status: keyActive, CreateTime: wireTime(k.CreatedAt), Description: k.Description}
	if k.Disabled {
		item.Status = keyInactive
	}
	return item
}

// mayHold tells whether the caller may work with the keys of a user: with one's own, where the credentials are for all that one
// may do, and else as an administrator.
func (f face) mayHold(r *http.Request, userID string) error {
	p := httpkit.PrincipalOf(r.Context())
	if p.UserID == userID && !p.Agency && p.AtMost == "" && p.ProjectID == "" {
		return nil
	}
	return f.Keys.Can(r.Context(), p, auth.ActionAdminister, auth.Resource{DomainID: p.DomainID})
}

// ownKey finds the key of the path, where the caller may work with it.
func (f face) ownKey(r *http.Request) (faas.AccessKey, error) {
	k, err := f.Keys.KeyByID(r.Context(), httpkit.PrincipalOf(r.Context()), r.PathValue("access_key"))
	if faas.CodeOf(err) == faas.CodeNotFound {
		if denied := f.mayHold(r, ""); denied != nil {
			return k, denied // a key that is not there is refused as another's is
		}
	}
	if err != nil {
		return k, err
	}
	return k, f.mayHold(r, k.UserID)
}

func (f face) listKeys(w http.ResponseWriter, r *http.Request) error {
	p := httpkit.PrincipalOf(r.Context())
	user := cmp.Or(r.URL.Query().Get("user_id"), p.UserID)
	if err := f.mayHold(r, user); err != nil {
		return err
	}
	all, err := f.Keys.Keys(r.Context(), p, user)
	if err != nil {
		return err
	}
	out := make([]credentialItem, 0, len(all))
	for _, k := range all {
		out = append(out, credentialOf(k))
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]credentialItem{"credentials": out})
}

func (f face) createKey(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Credential struct {
			UserID      string `json:"user_id"`
			Description string `json:"description"`
		} `json:"credential"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	p := httpkit.PrincipalOf(r.Context())
	user := cmp.Or(q.Credential.UserID, p.UserID)
	if err := f.mayHold(r, user); err != nil {
		return err
	}
	k, err := f.Keys.CreateKey(r.Context(), p, user, q.Credential.Description)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "key "+k.ID+" of user "+k.UserID)
	item := credentialOf(k.AccessKey)
	item.Secret = k.Secret
	return httpkit.WriteJSON(w, http.StatusCreated, map[string]credentialItem{"credential": item})
}

func (f face) showKey(w http.ResponseWriter, r *http.Request) error {
	k, err := f.ownKey(r)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]credentialItem{"credential": credentialOf(k)})
}

func (f face) updateKey(w http.ResponseWriter, r *http.Request) error {
	k, err := f.ownKey(r)
	if err != nil {
		return err
	}
	var q struct {
		Credential struct {
			Status      *string `json:"status"`
			Description *string `json:"description"`
		} `json:"credential"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	var disabled *bool
	if s := q.Credential.Status; s != nil {
		if *s != keyActive && *s != keyInactive {
			return faas.Errorf(faas.CodeInvalid, "status", "status must be active or inactive")
		}
		off := *s == keyInactive
		disabled = &off
	}
	if k, err = f.Keys.SetKey(r.Context(), httpkit.PrincipalOf(r.Context()), k.ID, q.Credential.Description, disabled); err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]credentialItem{"credential": credentialOf(k)})
}

func (f face) deleteKey(w http.ResponseWriter, r *http.Request) error {
	k, err := f.ownKey(r)
	if err != nil {
		return err
	}
	if err := f.Keys.DeleteKey(r.Context(), httpkit.PrincipalOf(r.Context()), k.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// lifeOf reads how many seconds a temporary key is asked for; 15 minutes where nothing is said.
func lifeOf(seconds *int64) time.Duration {
	const usual = 15 * time.Minute
	if seconds == nil {
		return usual
	}
	return time.Duration(min(max(*seconds, 0), 1<<20)) * time.Second
}
