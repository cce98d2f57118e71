package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Credentials are where a server is and who may use it: the content of admin.json.
type Credentials struct {
	Endpoint  string `json:"endpoint"`
	Region    string `json:"region"`
	ProjectID string `json:"project_id"`
	Domain    string `json:"domain,omitempty"`
	User      string `json:"user,omitempty"`
	Password  string `json:"password,omitempty"`
	AccessKey string `json:"access_key,omitempty"`
	SecretKey string `json:"secret_key,omitempty"`
}

// LoadCredentials reads them from a file such as admin.json. The error names the file; it is one of os for a file that
// cannot be read.
func LoadCredentials(path string) (Credentials, error) {
	f, err := os.Open(path)
	if err != nil {
		return Credentials{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return Credentials{}, err
	}
	var c Credentials
	if err := json.Unmarshal(text, &c); err != nil {
		return Credentials{}, fmt.Errorf("%s holds no credentials: %w", path, err)
	}
	if _, err := New(c.Config()); err != nil {
		return Credentials{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Config gives the settings of a client that uses them.
func (c Credentials) Config() Config {
	return Config{
		Endpoint: c.Endpoint, ProjectID: c.ProjectID, Region: c.Region, AccessKey: c.AccessKey, SecretKey: c.SecretKey,
		Domain: c.Domain, User: c.User, Password: c.Password,
	}
}

// Token is an identity's proof for a while, sent as X-Auth-Token.
type Token struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Token asks for one with user and password (FunctionGraph reference, section 7.1), for the project where it is set. Every
// call asks anew.
func (c *Client) Token(ctx context.Context) (*Token, error) { return c.login(ctx, c.cfg.ProjectID) }

// login asks for a token for a project, or with "" for all that the user may do.
func (c *Client) login(ctx context.Context, project string) (*Token, error) {
	if c.cfg.User == "" || c.cfg.Password == "" {
		return nil, fmt.Errorf("a token is given for a user and a password; there is only an access key for %s", c.cfg.Endpoint)
	}
	type named struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
	}
	var body struct {
		Auth struct {
			Identity struct {
				Methods  []string `json:"methods"`
				Password struct {
					User struct {
						named
						Password string `json:"password"`
						Domain   named  `json:"domain"`
					} `json:"user"`
				} `json:"password"`
			} `json:"identity"`
			Scope struct {
				Project *named `json:"project,omitempty"`
				Domain  *named `json:"domain,omitempty"`
			} `json:"scope"`
		} `json:"auth"`
	}
	id := &body.Auth.Identity
	id.Methods = []string{"password"}
	id.Password.User.Name, id.Password.User.Password, id.Password.User.Domain.Name = c.cfg.User, c.cfg.Password, c.cfg.Domain
	if project != "" {
		body.Auth.Scope.Project = &named{ID: project}
	} else {
		body.Auth.Scope.Domain = &named{Name: c.cfg.Domain}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return c.askToken(ctx, text)
}

func (c *Client) askToken(ctx context.Context, body []byte) (*Token, error) {
	a, err := c.send(ctx, request{
		method: http.MethodPost, path: "/v3/auth/tokens", query: url.Values{"nocatalog": {"true"}}, body: body, timeout: plainTime, open: true,
	})
	if err != nil {
		return nil, err
	}
	if err := a.failure(); err != nil {
		return nil, err
	}
	var got struct {
		Token struct {
			ExpiresAt time.Time `json:"expires_at"`
		} `json:"token"`
	}
	if err := json.Unmarshal(a.body, &got); err != nil {
		return nil, fmt.Errorf("%s gave no token: %w", c.cfg.Endpoint, err)
	}
	t := &Token{Token: a.header.Get("X-Subject-Token"), ExpiresAt: got.Token.ExpiresAt}
	if t.Token == "" {
		return nil, fmt.Errorf("%s gave no token", c.cfg.Endpoint)
	}
	return t, nil
}

// Project is one of those that an identity may use.
type Project struct {
	ID   string `json:"id"`
	Name string `json:"name"` // that of the region, for the first one
}

// Projects lists the projects of the identity.
func (c *Client) Projects(ctx context.Context) ([]Project, error) {
	var got struct {
		Projects []Project `json:"projects"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: "/v3/projects"}, nil, &got)
	return got.Projects, err
}
