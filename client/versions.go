package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// PublishVersionRequest describes a version to be published (FunctionGraph reference, section 1.2). Everything may be left out.
type PublishVersionRequest struct {
	Version     string `json:"version,omitempty"` // "" for one made of the time
	Description string `json:"description,omitempty"`
	Digest      string `json:"digest,omitempty"` // of the code that is meant; the server refuses when it has other code
}

// PublishVersion keeps a function as it is under the name of a version.
func (c *Client) PublishVersion(ctx context.Context, urn string, in PublishVersionRequest) (*Function, error) {
	var f Function
	return &f, c.call(ctx, request{method: http.MethodPost, path: c.functionPath(urn, "/versions")}, in, &f)
}

// ListVersions lists the versions of a function, latest first and the others in the order in which they were published.
func (c *Client) ListVersions(ctx context.Context, urn string) ([]*Function, error) {
	var all []*Function
	for {
		var page struct {
			Versions []*Function `json:"versions"`
			Count    int         `json:"count"`
		}
		query := url.Values{"marker": {strconv.Itoa(len(all))}, "maxitems": {"400"}}
		if err := c.call(ctx, request{method: http.MethodGet, path: c.functionPath(urn, "/versions"), query: query}, nil, &page); err != nil {
			return nil, err
		}
		if all = append(all, page.Versions...); len(page.Versions) == 0 || len(all) >= page.Count {
			return all, nil
		}
	}
}

// Alias is a name that leads to a version of a function, and perhaps some calls to a second one.
type Alias struct {
	Name         string              `json:"name,omitempty"`
	Version      string              `json:"version"`
	Description  *string             `json:"description,omitempty"` // nil leaves it as it is
	Weights      map[string]int      `json:"additional_version_weights,omitempty"`
	Strategies   map[string]Strategy `json:"additional_version_strategy,omitempty"`
	LastModified string              `json:"last_modified,omitempty"`
	URN          string              `json:"alias_urn,omitempty"`
}

// Strategy chooses the calls that go to a second version.
type Strategy struct {
	CombineType string      `json:"combine_type"` // "and" or "or"
	Rules       []AliasRule `json:"rules"`
}

// AliasRule looks at the request of a call.
type AliasRule struct {
	Type  string `json:"rule_type"` // "header" or "cookie"
	Param string `json:"param"`
	Op    string `json:"op"` // "=", or "in" for several values with commas between them
	Value string `json:"value"`
}

func aliasOperation(name string) string { return "/aliases/" + url.PathEscape(name) }

// CreateAlias makes an alias of the function that the URN names.
func (c *Client) CreateAlias(ctx context.Context, urn string, a Alias) (*Alias, error) {
	var made Alias
	return &made, c.call(ctx, request{method: http.MethodPost, path: c.functionPath(urn, "/aliases")}, a, &made)
}

// UpdateAlias leads an alias elsewhere. What a leaves out is taken away, but for the description.
func (c *Client) UpdateAlias(ctx context.Context, urn string, a Alias) (*Alias, error) {
	var changed Alias
	return &changed, c.call(ctx, request{method: http.MethodPut, path: c.functionPath(urn, aliasOperation(a.Name))}, a, &changed)
}

// ListAliases lists the aliases of a function by name.
func (c *Client) ListAliases(ctx context.Context, urn string) ([]Alias, error) {
	var all []Alias
	return all, c.call(ctx, request{method: http.MethodGet, path: c.functionPath(urn, "/aliases")}, nil, &all)
}

// DeleteAlias removes an alias, and not the version.
func (c *Client) DeleteAlias(ctx context.Context, urn, name string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: c.functionPath(urn, aliasOperation(name))}, nil, nil)
}
