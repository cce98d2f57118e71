package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Release is a version of the gateways' agent that the project keeps.
type Release struct {
	Version   string    `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	Programs  []struct {
		Arch   string `json:"arch"` // amd64 or arm64
		Size   int64  `json:"size"` // bytes
		SHA256 string `json:"sha256"`
	} `json:"programs"`
	UsedBy []ReleaseUse `json:"used_by"`
}

// ReleaseUse says who runs a release: a gateway, or without one all of a product, or without either all of the project.
type ReleaseUse struct {
	Product string `json:"product"`
	Gateway string `json:"gateway"`
	Version string `json:"version"` // "" for none
}

// GatewayRelease is the release that a gateway shall run, and how far it is with it.
type GatewayRelease struct {
	Version string `json:"version"`
	State   string `json:"state"`   // pending, running, reverted, refused or missing (no program for the gateway's processor)
	Message string `json:"message"` // why it does not run
}

// AddRelease keeps a version of the agent; programs are by processor: amd64, arm64.
func (c *Client) AddRelease(ctx context.Context, version string, programs map[string][]byte) (*Release, error) {
	var got Release
	body := map[string]any{"version": version, "programs": programs}
	return &got, c.call(ctx, request{method: http.MethodPost, path: c.adminPath("/releases"), timeout: uploadTime}, body, &got)
}

// Releases lists the releases of the project, the youngest first.
func (c *Client) Releases(ctx context.Context) ([]Release, error) {
	var got struct {
		Releases []Release `json:"releases"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: c.adminPath("/releases")}, nil, &got)
	return got.Releases, err
}

// RemoveRelease removes a release that nobody shall run. Gateways that run it go on.
func (c *Client) RemoveRelease(ctx context.Context, version string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: c.adminPath("/releases/" + url.PathEscape(version))}, nil, nil)
}

// RetryRelease has a gateway try once more a release that it gave up. The gateway must be online.
func (c *Client) RetryRelease(ctx context.Context, g GatewayRef) error {
	return c.call(ctx, request{method: http.MethodPost, path: c.gatewayPath(g, "/release-retry")}, nil, nil)
}

// UseRelease has a gateway run a release, or with g "" all gateways of a product, or with neither all of the project. Version "" takes
// that back.
func (c *Client) UseRelease(ctx context.Context, version, product string, g GatewayRef) (*ReleaseUse, error) {
	sn := string(g)
	if before, after, ok := strings.Cut(sn, "/"); ok {
		product, sn = before, after
	}
	var got ReleaseUse
	body := ReleaseUse{Product: product, Gateway: sn, Version: version}
	return &got, c.call(ctx, request{method: http.MethodPut, path: c.adminPath("/release-use")}, body, &got)
}
