package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// Dependency is a version of a package that functions share (FunctionGraph reference, section 1.6). In a list of dependencies it is
// the newest, and ID that of the dependency.
type Dependency struct {
	ID           string `json:"id"` // of the version; functions name it
	DependencyID string `json:"dep_id,omitempty"`
	Owner        string `json:"owner"` // "public" for one that every project may use
	Name         string `json:"name"`
	Version      int64  `json:"version"`
	Runtime      string `json:"runtime"`
	Description  string `json:"description"`
	Link         string `json:"link"`
	ETag         string `json:"etag"` // MD5 of the package, hexadecimal
	Size         int64  `json:"size"` // bytes
	FileName     string `json:"file_name"`
	LastModified int64  `json:"last_modified"` // milliseconds since 1970
}

// CreateDependencyRequest describes a version. It makes the dependency where there is none of its name.
type CreateDependencyRequest struct {
	Name        string `json:"name"`
	Runtime     string `json:"runtime"`
	Type        string `json:"depend_type"` // "zip" or "obs"
	File        []byte `json:"depend_file,omitempty"`
	Link        string `json:"depend_link,omitempty"`
	Description string `json:"description,omitempty"`
}

func dependencyPath(id string, version int64) string {
	path := "/dependencies/" + url.PathEscape(id)
	if version > 0 {
		path += "/version/" + strconv.FormatInt(version, 10)
	}
	return path
}

// CreateDependencyVersion stores a version.
func (c *Client) CreateDependencyVersion(ctx context.Context, in CreateDependencyRequest) (*Dependency, error) {
	var d Dependency
	return &d, c.call(ctx, request{method: http.MethodPost, path: c.projectPath("/dependencies/version"), timeout: uploadTime}, in, &d)
}

// ListDependencies goes through the dependencies that the project may use. It ends with the first error.
func (c *Client) ListDependencies(ctx context.Context) iter.Seq2[*Dependency, error] {
	return c.dependencies(ctx, "/dependencies")
}

// ListDependencyVersions goes through the versions of a dependency, oldest first. It ends with the first error.
func (c *Client) ListDependencyVersions(ctx context.Context, id string) iter.Seq2[*Dependency, error] {
	return c.dependencies(ctx, dependencyPath(id, 0)+"/version")
}

func (c *Client) dependencies(ctx context.Context, path string) iter.Seq2[*Dependency, error] {
	return func(yield func(*Dependency, error) bool) {
		for marker := int64(0); ; {
			query := url.Values{"marker": {strconv.FormatInt(marker, 10)}, "maxitems": {"400"}}
			var page struct {
				Dependencies []*Dependency `json:"dependencies"`
				NextMarker   int64         `json:"next_marker"`
				Count        int64         `json:"count"`
			}
			if err := c.call(ctx, request{method: http.MethodGet, path: c.projectPath(path), query: query}, nil, &page); err != nil {
				yield(nil, err)
				return
			}
			for _, d := range page.Dependencies {
				if !yield(d, nil) {
					return
				}
			}
			if len(page.Dependencies) == 0 || page.NextMarker <= marker || page.NextMarker >= page.Count {
				return
			}
			marker = page.NextMarker
		}
	}
}

// DeleteDependency removes a version, or the whole dependency for version 0. What a function uses is refused.
func (c *Client) DeleteDependency(ctx context.Context, id string, version int64) error {
	return c.call(ctx, request{method: http.MethodDelete, path: c.projectPath(dependencyPath(id, version))}, nil, nil)
}

// SetDependencyPublic lets every project use a dependency of this one, or this one alone.
func (c *Client) SetDependencyPublic(ctx context.Context, id string, public bool) error {
	path := "/admin/v1/projects/" + url.PathEscape(c.cfg.ProjectID) + "/dependencies/" + url.PathEscape(id) + "/public"
	return c.call(ctx, request{method: http.MethodPut, path: path}, map[string]bool{"public": public}, nil)
}
