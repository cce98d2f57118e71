package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// Function is a function as the server describes it (FunctionGraph reference, section 1.1). Raw has all that it said.
type Function struct {
	URN                string `json:"func_urn"`
	Name               string `json:"func_name"`
	Package            string `json:"package"`
	Version            string `json:"version"`
	VersionDescription string `json:"version_description"`
	Runtime            string `json:"runtime"`
	RuntimeNotice      string `json:"runtime_notice"` // which version serves the runtime, when it is not the one named
	Handler            string `json:"handler"`
	InitializerHandler string `json:"initializer_handler"`
	InitializerTimeout int    `json:"initializer_timeout"` // seconds
	MemorySize         int    `json:"memory_size"`         // MB
	CPU                int    `json:"cpu"`                 // thousandths of a core
	Timeout            int    `json:"timeout"`             // seconds
	Description        string `json:"description"`
	UserData           string `json:"user_data"` // a JSON object as text
	CodeType           string `json:"code_type"`
	CodeFilename       string `json:"code_filename"`
	CodeSize           int64  `json:"code_size"` // bytes
	Digest             string `json:"digest"`    // SHA-512 of the package, hexadecimal
	LastModified       string `json:"last_modified"`
	Egress             string `json:"egress"`    // what it may reach over the network; "" for what its project has
	Isolation          string `json:"isolation"` // its level; "" for what its project has
	Agency             string `json:"xrole"`     // whose rights on the server its calls have; "" for none

	Dependencies []string `json:"depend_version_list"` // ids of versions, in order

	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON reads the fields and keeps the text.
func (f *Function) UnmarshalJSON(text []byte) error {
	type plain Function
	if err := json.Unmarshal(text, (*plain)(f)); err != nil {
		return err
	}
	f.Raw = append(json.RawMessage(nil), text...)
	return nil
}

// MarshalJSON writes what the server said.
func (f Function) MarshalJSON() ([]byte, error) {
	if f.Raw != nil {
		return f.Raw, nil
	}
	type plain Function
	return json.Marshal(plain(f))
}

// Code is a package.
type Code struct {
	File []byte `json:"file,omitempty"`
	Link string `json:"link,omitempty"`
}

// CreateFunctionRequest describes a new function. Fields as in Function; empty optional ones take the server's defaults.
type CreateFunctionRequest struct {
	Name               string `json:"func_name"`
	Package            string `json:"package"`
	Runtime            string `json:"runtime"`
	Handler            string `json:"handler"`
	MemorySize         int    `json:"memory_size"`
	Timeout            int    `json:"timeout"`
	CodeType           string `json:"code_type"` // "zip", "inline", "jar" or "obs"
	CodeFilename       string `json:"code_filename,omitempty"`
	CodeURL            string `json:"code_url,omitempty"`
	Code               *Code  `json:"func_code,omitempty"`
	UserData           string `json:"user_data,omitempty"`
	Description        string `json:"description,omitempty"`
	InitializerHandler string `json:"initializer_handler,omitempty"`
	InitializerTimeout int    `json:"initializer_timeout,omitempty"`
	Egress             string `json:"egress,omitempty"`
	Isolation          string `json:"isolation,omitempty"`
	Agency             string `json:"xrole,omitempty"`

	Dependencies []string `json:"depend_version_list,omitempty"`
}

// UpdateFunctionCodeRequest is a new package of a function. Where Dependencies are given, Code may be empty: then it stays.
type UpdateFunctionCodeRequest struct {
	CodeType     string `json:"code_type"`
	CodeFilename string `json:"code_filename,omitempty"`
	CodeURL      string `json:"code_url,omitempty"`
	Code         Code   `json:"func_code"`

	Dependencies *[]string `json:"depend_version_list,omitempty"` // nil leaves them
}

// UpdateFunctionConfigRequest changes a function's settings; a nil field is left as it is.
type UpdateFunctionConfigRequest struct {
	Name               string  `json:"func_name"`
	Runtime            string  `json:"runtime"`
	Handler            string  `json:"handler"`
	MemorySize         int     `json:"memory_size"`
	Timeout            int     `json:"timeout"`
	UserData           *string `json:"user_data,omitempty"`
	Description        *string `json:"description,omitempty"`
	InitializerHandler *string `json:"initializer_handler,omitempty"`
	InitializerTimeout *int    `json:"initializer_timeout,omitempty"`
	Egress             *string `json:"egress,omitempty"`
	Isolation          *string `json:"isolation,omitempty"`
	Agency             *string `json:"xrole,omitempty"`
}

// CreateFunction makes a function.
func (c *Client) CreateFunction(ctx context.Context, in CreateFunctionRequest) (*Function, error) {
	var f Function
	return &f, c.call(ctx, request{method: http.MethodPost, path: c.projectPath("/functions"), timeout: uploadTime}, in, &f)
}

// UpdateFunctionCode gives a function a new package. The answer holds what concerns the code.
func (c *Client) UpdateFunctionCode(ctx context.Context, urn string, in UpdateFunctionCodeRequest) (*Function, error) {
	var f Function
	return &f, c.call(ctx, request{method: http.MethodPut, path: c.functionPath(urn, "/code"), timeout: uploadTime}, in, &f)
}

// UpdateFunctionConfig changes a function's settings.
func (c *Client) UpdateFunctionConfig(ctx context.Context, urn string, in UpdateFunctionConfigRequest) (*Function, error) {
	var f Function
	return &f, c.call(ctx, request{method: http.MethodPut, path: c.functionPath(urn, "/config")}, in, &f)
}

// ShowFunctionConfig gives a function's settings.
func (c *Client) ShowFunctionConfig(ctx context.Context, urn string) (*Function, error) {
	var f Function
	return &f, c.call(ctx, request{method: http.MethodGet, path: c.functionPath(urn, "/config")}, nil, &f)
}

// DeleteFunction removes a function, or the version that the URN names.
func (c *Client) DeleteFunction(ctx context.Context, urn string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: c.functionPath(urn, "")}, nil, nil)
}

// ListOptions narrow a list. The zero ListOptions take all.
type ListOptions struct {
	Package string
	Name    string // part of the name
}

// ListFunctions goes through the functions of the project, a page at a time. It ends with the first error.
func (c *Client) ListFunctions(ctx context.Context, o ListOptions) iter.Seq2[*Function, error] {
	return func(yield func(*Function, error) bool) {
		marker := int64(0)
		for {
			query := url.Values{"marker": {strconv.FormatInt(marker, 10)}, "maxitems": {"400"}}
			if o.Package != "" {
				query.Set("package_name", o.Package)
			}
			if o.Name != "" {
				query.Set("func_name", o.Name)
			}
			var page struct {
				Functions  []*Function `json:"functions"`
				NextMarker int64       `json:"next_marker"`
				Count      int64       `json:"count"`
			}
			if err := c.call(ctx, request{method: http.MethodGet, path: c.projectPath("/functions"), query: query}, nil, &page); err != nil {
				yield(nil, err)
				return
			}
			for _, f := range page.Functions {
				if !yield(f, nil) {
					return
				}
			}
			if len(page.Functions) == 0 || page.NextMarker <= marker || page.NextMarker >= page.Count {
				return
			}
			marker = page.NextMarker
		}
	}
}
