package client

import (
	"context"
	"net/http"
	"net/url"
)

// ExportFunction gives a zip with a function's settings and package, which ImportFunction takes.
func (c *Client) ExportFunction(ctx context.Context, urn string) ([]byte, error) {
	a, err := c.send(ctx, request{
		method: http.MethodGet, path: c.functionPath(urn, "/export"), query: url.Values{"code": {"true"}, "config": {"true"}},
		header: http.Header{"Accept": {"application/zip"}}, timeout: uploadTime,
	})
	if err != nil {
		return nil, err
	}
	return a.body, a.failure()
}

// ImportFunction makes a function of an export. name and pkg may be "" for those of the exported function and for "default".
func (c *Client) ImportFunction(ctx context.Context, name, pkg string, export []byte) (*Function, error) {
	in := struct {
		Name     string `json:"func_name"`
		Package  string `json:"package,omitempty"`
		FileName string `json:"file_name"`
		FileType string `json:"file_type"`
		File     []byte `json:"file_code"`
	}{name, pkg, "function.zip", "zip", export}
	var f Function
	return &f, c.call(ctx, request{method: http.MethodPost, path: c.projectPath("/functions/import"), timeout: uploadTime}, in, &f)
}

// FunctionCode gives a function's package as it was sent; nil for an image, and for one that is too large to be sent inside an answer.
func (c *Client) FunctionCode(ctx context.Context, urn string) ([]byte, error) {
	var in struct {
		Code *Code `json:"func_code"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: c.functionPath(urn, "/code"), timeout: uploadTime}, nil, &in)
	if err != nil || in.Code == nil {
		return nil, err
	}
	return in.Code.File, nil
}
