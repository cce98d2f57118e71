package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// RoleIn is a role that somebody has.
type RoleIn struct {
	ProjectID string `json:"project_id"` // "" for all projects, and all that is in none
	Role      string `json:"role"`       // admin, developer, invoker or viewer
}

// User can be given roles and access keys.
type User struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Disabled bool     `json:"disabled"`
	Password bool     `json:"has_password"`
	Roles    []RoleIn `json:"roles"`
}

// Agency is what functions act as.
type Agency struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	CreatedAt   time.Time `json:"created_at"`
	Roles       []RoleIn  `json:"roles"`
}

// AccessKey signs requests.
type AccessKey struct {
	AccessKey   string     `json:"access_key"`
	SecretKey   string     `json:"secret_key,omitempty"` // when it is made, and never again
	UserID      string     `json:"user_id"`
	Description string     `json:"description"`
	Disabled    bool       `json:"disabled"`
	CreatedAt   *time.Time `json:"created_at"`
	ExpiresAt   *time.Time `json:"expires_at"` // nil for never
	Replaces    *AccessKey `json:"replaces,omitempty"`
}

// AuditEntry tells who did what, or was refused it.
type AuditEntry struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	ProjectID string    `json:"project_id"`
	ActorID   string    `json:"actor_id"`
	Actor     string    `json:"actor"` // "" for one who proved no identity
	For       string    `json:"for"`   // the function that acted with an agency's credentials
	Face      string    `json:"face"`
	Operation string    `json:"operation"`
	Action    string    `json:"action"`
	Resource  string    `json:"resource"`
	Source    string    `json:"source"`
	RequestID string    `json:"request_id"`
	Status    int       `json:"status"`
	Code      string    `json:"code"` // "" for success
	Skipped   int64     `json:"skipped"`
}

func (c *Client) admin(ctx context.Context, method, path string, in, out any) error {
	return c.call(ctx, request{method: method, path: "/admin/v1" + path}, in, out)
}

// CreateProject makes a project.
func (c *Client) CreateProject(ctx context.Context, name string) (p Project, err error) {
	return p, c.admin(ctx, http.MethodPost, "/projects", map[string]string{"name": name}, &p)
}

// DeleteProject removes a project without functions, by id.
func (c *Client) DeleteProject(ctx context.Context, id string) error {
	return c.admin(ctx, http.MethodDelete, "/projects/"+url.PathEscape(id), nil, nil)
}

// Users lists the users.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	var got struct {
		Users []User `json:"users"`
	}
	return got.Users, c.admin(ctx, http.MethodGet, "/users", nil, &got)
}

// CreateUser makes a user without any role; password "" for one who works with keys alone.
func (c *Client) CreateUser(ctx context.Context, name, password string) (u User, err error) {
	return u, c.admin(ctx, http.MethodPost, "/users", map[string]string{"name": name, "password": password}, &u)
}

// SetPassword replaces a user's password, as an administrator.
func (c *Client) SetPassword(ctx context.Context, user, password string) error {
	return c.admin(ctx, http.MethodPatch, "/users/"+url.PathEscape(user), map[string]string{"password": password}, nil)
}

// ChangePassword replaces one's own password.
func (c *Client) ChangePassword(ctx context.Context, old, fresh string) error {
	return c.admin(ctx, http.MethodPut, "/me/password", map[string]string{"old": old, "new": fresh}, nil)
}

// SetUserDisabled shuts a user out, or lets the user in again.
func (c *Client) SetUserDisabled(ctx context.Context, user string, disabled bool) error {
	return c.admin(ctx, http.MethodPatch, "/users/"+url.PathEscape(user), map[string]bool{"disabled": disabled}, nil)
}

// DeleteUser removes a user with keys and roles.
func (c *Client) DeleteUser(ctx context.Context, user string) error {
	return c.admin(ctx, http.MethodDelete, "/users/"+url.PathEscape(user), nil, nil)
}

// SetRole gives a user or agency a role in a project, or everywhere with project ""; role "" takes it away.
func (c *Client) SetRole(ctx context.Context, holder, project, role string) error {
	path := "/roles/" + url.PathEscape(holder)
	if project != "" {
		path = "/projects/" + url.PathEscape(project) + path
	}
	if role == "" {
		return c.admin(ctx, http.MethodDelete, path, nil, nil)
	}
	return c.admin(ctx, http.MethodPut, path, map[string]string{"role": role}, nil)
}

// Agencies lists the agencies.
func (c *Client) Agencies(ctx context.Context) ([]Agency, error) {
	var got struct {
		Agencies []Agency `json:"agencies"`
	}
	return got.Agencies, c.admin(ctx, http.MethodGet, "/agencies", nil, &got)
}

// CreateAgency makes an agency without any role.
func (c *Client) CreateAgency(ctx context.Context, name, description string) (a Agency, err error) {
	return a, c.admin(ctx, http.MethodPost, "/agencies", map[string]string{"name": name, "description": description}, &a)
}

// DeleteAgency removes an agency; the credentials of functions that act as it end.
func (c *Client) DeleteAgency(ctx context.Context, agency string) error {
	return c.admin(ctx, http.MethodDelete, "/agencies/"+url.PathEscape(agency), nil, nil)
}

// AccessKeys lists the keys of a user; user "" for one's own.
func (c *Client) AccessKeys(ctx context.Context, user string) ([]AccessKey, error) {
	var got struct {
		Keys []AccessKey `json:"keys"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: "/admin/v1/keys", query: url.Values{"user": {user}}}, nil, &got)
	return got.Keys, err
}

// CreateAccessKey makes a key; user "" for oneself.
func (c *Client) CreateAccessKey(ctx context.Context, user, description string) (k AccessKey, err error) {
	return k, c.admin(ctx, http.MethodPost, "/keys", map[string]string{"user": user, "description": description}, &k)
}

// RotateAccessKey makes a key in the place of another, which goes on for grace.
func (c *Client) RotateAccessKey(ctx context.Context, key string, grace time.Duration) (k AccessKey, err error) {
	body := map[string]int64{"grace_seconds": int64(grace / time.Second)}
	return k, c.admin(ctx, http.MethodPost, "/keys/"+url.PathEscape(key)+"/rotate", body, &k)
}

// SetAccessKeyDisabled switches a key off or on.
func (c *Client) SetAccessKeyDisabled(ctx context.Context, key string, disabled bool) error {
	return c.admin(ctx, http.MethodPatch, "/keys/"+url.PathEscape(key), map[string]bool{"disabled": disabled}, nil)
}

// DeleteAccessKey removes a key.
func (c *Client) DeleteAccessKey(ctx context.Context, key string) error {
	return c.admin(ctx, http.MethodDelete, "/keys/"+url.PathEscape(key), nil, nil)
}

// AuditOptions say which entries. The zero AuditOptions mean the youngest of the server.
type AuditOptions struct {
	ProjectOnly      bool // those of the client's project, which its administrators may see
	Actor, Operation string
	Refused          bool          // only what was refused or failed
	Before, After    string        // Next of the page before
	Limit            int           // 0 for the server's choice
	Wait             time.Duration // with After: whole seconds until an answer without entries
}

// AuditPage is a part of the audit log.
type AuditPage struct {
	Entries []AuditEntry `json:"entries"`
	Next    string       `json:"next"` // "" at the end
}

// Audit lists who did what, the youngest first; with After, the oldest first.
func (c *Client) Audit(ctx context.Context, o AuditOptions) (AuditPage, error) {
	query := url.Values{}
	for name, value := range map[string]string{"actor": o.Actor, "operation": o.Operation, "before": o.Before, "after": o.After} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, n := range map[string]int64{"limit": int64(o.Limit), "wait": int64(o.Wait / time.Second)} {
		if n > 0 {
			query.Set(name, strconv.FormatInt(n, 10))
		}
	}
	if o.Refused {
		query.Set("refused", "true")
	}
	path := "/admin/v1/audit"
	if o.ProjectOnly {
		path = c.adminPath("/audit")
	}
	var page AuditPage
	err := c.call(ctx, request{method: http.MethodGet, path: path, query: query, timeout: o.Wait + plainTime}, nil, &page)
	return page, err
}
