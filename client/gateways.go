package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Gateway is a machine that runs functions where it stands.
type Gateway struct {
	Product     string            `json:"product"`
	Gateway     string            `json:"gateway"`
	Description string            `json:"description"`
	Status      string            `json:"status"` // inactivated, online, offline or disabled
	CreatedAt   time.Time         `json:"created_at"`
	ConnectedAt *time.Time        `json:"connected_at"`
	LeftAt      *time.Time        `json:"left_at"`
	Version     uint64            `json:"version"`  // of what it shall be
	Reported    uint64            `json:"reported"` // of what it is
	State       string            `json:"state"`    // applied, pending, failed or rolled_back
	Message     string            `json:"message"`
	Agent       string            `json:"agent"` // version of the agent
	ReportedAt  *time.Time        `json:"reported_at"`
	Functions   []GatewayFunction `json:"functions"` // of Gateway only
	Refused     []struct {
		Version uint64    `json:"version"`
		Reason  string    `json:"reason"`
		At      time.Time `json:"at"`
	} `json:"refused"`
	Host struct {
		OS       string `json:"os"`
		Arch     string `json:"arch"`
		RSS      int64  `json:"rss_bytes"`
		MemFree  int64  `json:"mem_free_bytes"`
		DiskFree int64  `json:"disk_free_bytes"`
	} `json:"host"`
	Release *GatewayRelease `json:"release"` // of Gateway only; nil where none is wanted
}

// GatewayFunction is a function on a gateway.
type GatewayFunction struct {
	Name     string     `json:"name"`
	Status   string     `json:"status"` // unreported, online or offline
	Cron     string     `json:"cron"`
	State    string     `json:"state"`
	Message  string     `json:"message"`
	Calls    int64      `json:"calls"`
	Errors   int64      `json:"errors"`
	LastRun  *time.Time `json:"last_run"`
	NextCron *time.Time `json:"next_cron"`
}

// GatewayRef names a gateway: by its serial number, or as PRODUCT/SERIAL where several products have one of that number.
type GatewayRef string

func (c *Client) gatewayPath(g GatewayRef, rest string) string {
	product, sn, ok := strings.Cut(string(g), "/")
	if !ok {
		product, sn = "-", product
	}
	return c.adminPath("/gateways/" + url.PathEscape(product) + "/" + url.PathEscape(sn) + rest)
}

// Gateways lists the gateways of the project, or of a product.
func (c *Client) Gateways(ctx context.Context, product string) ([]Gateway, error) {
	query := url.Values{}
	if product != "" {
		query.Set("product", product)
	}
	var got struct {
		Gateways []Gateway `json:"gateways"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: c.adminPath("/gateways"), query: query}, nil, &got)
	return got.Gateways, err
}

// Gateway shows a gateway with its functions.
func (c *Client) Gateway(ctx context.Context, g GatewayRef) (*Gateway, error) {
	var got Gateway
	return &got, c.call(ctx, request{method: http.MethodGet, path: c.gatewayPath(g, "")}, nil, &got)
}

// EnrollGateway makes a product and a gateway where they are not there ("" draws a serial number), and gives the file with which the
// gateway's agent starts. The file holds a secret.
func (c *Client) EnrollGateway(ctx context.Context, product, gateway, description string) ([]byte, error) {
	var got json.RawMessage
	body := map[string]string{"product": product, "gateway": gateway, "description": description}
	if err := c.call(ctx, request{method: http.MethodPost, path: c.adminPath("/gateways")}, body, &got); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err := json.Indent(&out, got, "", "  ")
	return append(out.Bytes(), '\n'), err
}

// BindFunction has a function of the package default run on a gateway, or with gateway "" on every gateway of the product, also those
// that come later (UIoT Stack, function/bind).
func (c *Client) BindFunction(ctx context.Context, function, product, gateway string) error {
	return c.place(ctx, "bind", function, product, gateway)
}

// UnbindFunction takes back a BindFunction of the same place.
func (c *Client) UnbindFunction(ctx context.Context, function, product, gateway string) error {
	return c.place(ctx, "unbind", function, product, gateway)
}

func (c *Client) place(ctx context.Context, what, function, product, gateway string) error {
	body := map[string]string{"FunctionName": function, "ProductSN": product}
	if gateway != "" {
		body["GatewaySN"] = gateway
	}
	inProject := http.Header{"X-Project-Id": {c.cfg.ProjectID}} // the path names none
	return c.call(ctx, request{method: http.MethodPost, path: "/api/v1/function/" + what, header: inProject}, body, nil)
}

// PushGateway sends a gateway anew what it shall be, and gives the version of that.
func (c *Client) PushGateway(ctx context.Context, g GatewayRef) (uint64, error) {
	var got struct {
		Version uint64 `json:"version"`
	}
	err := c.call(ctx, request{method: http.MethodPost, path: c.gatewayPath(g, "/push")}, nil, &got)
	return got.Version, err
}

// GatewayLogs gives the last lines of a function's log on a gateway, or with function "" of its agent's.
func (c *Client) GatewayLogs(ctx context.Context, g GatewayRef, function string, lines int) (string, error) {
	query := url.Values{"lines": {strconv.Itoa(lines)}}
	if function != "" {
		query.Set("function", function)
	}
	return c.gatewayText(ctx, g, "/logs", query)
}

// DiagnoseGateway has a gateway look at itself.
func (c *Client) DiagnoseGateway(ctx context.Context, g GatewayRef) (string, error) {
	return c.gatewayText(ctx, g, "/diagnosis", nil)
}

func (c *Client) gatewayText(ctx context.Context, g GatewayRef, rest string, query url.Values) (string, error) {
	var got struct {
		Text string `json:"text"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: c.gatewayPath(g, rest), query: query}, nil, &got)
	return got.Text, err
}

// GatewayMessage came from a gateway by a route that leads to the cloud.
type GatewayMessage struct {
	Seq     uint64     `json:"seq"`
	Route   int64      `json:"route"`
	Topic   string     `json:"topic"`
	Payload []byte     `json:"payload"`
	At      *time.Time `json:"at"`
}

// GatewayMessages lists the youngest messages that routes of a gateway brought, the oldest of them first.
func (c *Client) GatewayMessages(ctx context.Context, g GatewayRef, limit int) ([]GatewayMessage, error) {
	var got struct {
		Messages []GatewayMessage `json:"messages"`
	}
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	err := c.call(ctx, request{method: http.MethodGet, path: c.gatewayPath(g, "/messages"), query: query}, nil, &got)
	return got.Messages, err
}

// GatewayBundle gives a tar file with all that a gateway needs, for one that has no network.
func (c *Client) GatewayBundle(ctx context.Context, g GatewayRef) ([]byte, error) {
	a, err := c.send(ctx, request{method: http.MethodGet, path: c.gatewayPath(g, "/bundle"), timeout: uploadTime})
	if err != nil {
		return nil, err
	}
	return a.body, a.failure()
}

// GatewayAccounts gives the password_file and the acl_file of a mosquitto broker outside the server.
func (c *Client) GatewayAccounts(ctx context.Context) (passwords, acl string, err error) {
	var got struct {
		Passwords string `json:"password_file"`
		ACL       string `json:"acl_file"`
	}
	err = c.call(ctx, request{method: http.MethodGet, path: c.adminPath("/gateway-accounts")}, nil, &got)
	return got.Passwords, got.ACL, err
}
