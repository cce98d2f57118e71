package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxAnswer bounds what is read of one answer, in bytes: well over the largest result of a function, which is 6 MB.
const maxAnswer = 64 << 20

// Bounds of one exchange. A call of a function has none but its context: it may run for days.
const (
	plainTime  = time.Minute
	uploadTime = 10 * time.Minute
)

// Config says which server to speak to, and as whom.
type Config struct {
	Endpoint  string // base URL, e.g. http://127.0.0.1:8080
	ProjectID string // 32 hexadecimal digits; may be empty for Status, Runtimes, Projects and Token
	Region    string // stands in URNs

	AccessKey string // requests are signed with the key ...
	SecretKey string
	Domain    string // ... or, where there is none, carry a token that is asked for with name and password
	User      string
	Password  string

	HTTP *http.Client // nil for one that follows no redirects
}

// Client speaks to one server. Make one with New. It is safe for concurrent use.
type Client struct {
	cfg Config

	mu    sync.Mutex
	token Token // empty until it is needed
}

// New makes a Client. It sends nothing. It fails when the endpoint is no http or https URL, or there is nothing to prove an
// identity with.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.Endpoint)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.RawQuery != "" || base.User != nil {
		return nil, fmt.Errorf("endpoint %q must be http://host:port or https://host:port", cfg.Endpoint)
	}
	if (cfg.AccessKey == "" || cfg.SecretKey == "") && (cfg.User == "" || cfg.Password == "") {
		return nil, errors.New("an access key with its secret key is needed, or a user with a password")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{CheckRedirect: StayHere}
	}
	cfg.Endpoint = strings.TrimSuffix(cfg.Endpoint, "/")
	return &Client{cfg: cfg}, nil
}

// StayHere is a http.Client.CheckRedirect that follows none: credentials go to the named server only.
func StayHere(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Config gives the settings of the client.
func (c *Client) Config() Config { return c.cfg }

// request is one exchange.
type request struct {
	method  string
	path    string // escaped
	query   url.Values
	header  http.Header
	body    []byte
	timeout time.Duration // 0 for none
	open    bool          // without credentials
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// functionPath is the path of a function's operation; urn may have any of its forms.
func (c *Client) functionPath(urn, operation string) string {
	return c.projectPath("/functions/" + url.PathEscape(urn) + operation)
}

func (c *Client) projectPath(rest string) string {
	return "/v2/" + url.PathEscape(c.cfg.ProjectID) + "/fgs" + rest
}

// call exchanges JSON: in and out may be nil.
func (c *Client) call(ctx context.Context, r request, in, out any) error {
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		r.body = body
	}
	if r.timeout == 0 {
		r.timeout = plainTime
	}
	a, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	if err := a.failure(); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not what it should be: %w", r.method, c.cfg.Endpoint+r.path, err)
	}
	return nil
}

// send exchanges bytes. Its errors are those of the connection; what the server refused stands in the answer.
func (c *Client) send(ctx context.Context, r request) (*answer, error) {
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	target := c.cfg.Endpoint + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	if !r.open {
		if err := c.authorise(ctx, req, r.body); err != nil {
			return nil, err
		}
	}
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // all of it was read, or the answer is given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.cfg.Endpoint, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s has more than %d bytes", c.cfg.Endpoint, maxAnswer)
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// authorise signs the request, or gives it a token.
func (c *Client) authorise(ctx context.Context, req *http.Request, body []byte) error {
	if c.cfg.AccessKey != "" {
		Sign(req, body, c.cfg.AccessKey, c.cfg.SecretKey, time.Now())
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Until(c.token.ExpiresAt) < time.Minute {
		token, err := c.login(ctx, "")
		if err != nil {
			return err
		}
		c.token = *token
	}
	req.Header.Set("X-Auth-Token", c.token.Token)
	return nil
}
