// Package apig is the trigger of the API gateway: an HTTP route of the data plane that leads to a function.
//
// It must not know how a request is read or answered: that is the data plane's, which asks it where a request leads.
package apig

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

// Codes of the kind in requests. A dedicated gateway differs by its instance_id, which has no effect here.
const (
	Code          = "APIG"
	CodeDedicated = "DEDICATEDGATEWAY"
)

const (
	maxTimeout   = 60_000 // ms (FunctionGraph reference, section 1.5, ApigTriggerFuncInfo)
	usualTimeout = 5_000  // ms
	usualStage   = "RELEASE"
)

// fields are the rules of event data (FunctionGraph reference, section 4.1).
var fields = []trigger.Field{
	{Name: "name", Need: true, Min: 1, Max: 64},
	{Name: "path", Need: true, Min: 1, Max: 512},
	{Name: "auth", Need: true, OneOf: []string{faas.AuthIAM, faas.AuthApp, faas.AuthNone}},
	{Name: "req_method", Need: true, OneOf: []string{"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "ANY"}, Default: "ANY"},
	{Name: "match_mode", Need: true, OneOf: []string{"SWA", "NORMAL"}, Default: "NORMAL"},
	{Name: "func_info", Type: trigger.Object},
	{Name: "sl_domain", Max: 253},
	{Name: "app_code", Min: 16, Max: 180, Secret: true},
	{Name: "env_name", Max: 64},
	{Name: "protocol", OneOf: []string{"HTTP", "HTTPS"}, Kept: "a route answers on the data plane's listener, whatever that speaks"},
	{Name: "env_id", Max: 64, Kept: "there is one environment"},
	{Name: "group_id", Max: 64, Kept: "routes are told apart by host name, method and path"},
	{Name: "group_name", Max: 64, Kept: "as group_id"},
	{Name: "backend_type", OneOf: []string{"FUNCTION"}, Kept: "it has one value"},
	{Name: "type", Type: trigger.Number, Min: 1, Max: 2, Kept: "who reaches the listener is for the network to say"},
	{Name: "instance_id", Max: 64, Kept: "the data plane is this server"},
	{Name: "roma_app_id", Max: 64, Kept: "there is no ROMA here"},
	{Name: "created_time", Max: 64, Kept: "the trigger has its own"},
	{Name: "invoke_url", Made: true}, {Name: "api_id", Made: true}, {Name: "api_name", Made: true}, {Name: "triggerid", Made: true},
	{Name: "instance_addrs", Made: true}, {Name: "mode", Made: true},
}

var funcFields = []trigger.Field{
	{Name: "timeout", Type: trigger.Number, Min: 1, Max: maxTimeout},
	{Name: "invocation_type", OneOf: []string{"sync", "async"}},
	{Name: "function_urn", Max: 1024, Kept: "a route leads to the function that the trigger belongs to"},
	{Name: "version", Max: 64, Kept: "as function_urn"},
}

type data struct {
	Name      string `json:"name"`
	Path      string `json:"path"`
	Auth      string `json:"auth"`
	Method    string `json:"req_method"`
	MatchMode string `json:"match_mode"`
	Domain    string `json:"sl_domain"`
	Stage     string `json:"env_name"`
	Func      struct {
		Timeout    int    `json:"timeout"`
		Invocation string `json:"invocation_type"`
	} `json:"func_info"`
}

var (
	domain  = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	segment = regexp.MustCompile(`^([A-Za-z0-9._~!$&'()*+,;=:@%-]+|\{[A-Za-z][A-Za-z0-9_-]{0,31}\})$`)
)

// Config is what a Kind needs.
type Config struct {
	// URL is where clients find the data plane, with the prefix before every path, and without a "/" at its end.
	URL *url.URL
}

// Codes is of trigger.Kind.
func (k *Kind) Codes() []string { return []string{Code, CodeDedicated} }

// Check is of trigger.Kind. A trigger with the auth APP has a code: the owner's own, or one that is made here and told once.
func (k *Kind) Check(t *faas.Trigger, set map[string]any, secrets map[string]string) (faas.TriggerData, error) {
	checked, err := trigger.Check(t.Kind, fields, set, secrets)
	if err != nil {
		return checked, err
	}
	if info, ok := checked.Plain["func_info"].(map[string]any); ok {
		if _, err := trigger.Check(t.Kind, funcFields, info, nil); err != nil {
			return checked, err
		}
	}
	var d data
	if err := trigger.Decode(checked.Plain, &d); err != nil {
		return checked, err
	}
	pattern, err := d.pattern(t.Kind)
	if err != nil {
		return checked, err
	}
	if err := k.fits(t.ID, d, pattern); err != nil {
		return checked, err
	}
	switch {
	case d.Auth != faas.AuthApp:
		checked.Secrets = nil
	case checked.Secrets["app_code"] == "":
		code := rand.Text() + rand.Text()
		checked.Secrets = map[string]string{"app_code": code}
		checked.Told = map[string]string{"app_code": code}
	}
	checked.Unique = "route " + d.method() + " " + d.host() + pattern
	return checked, nil
}

func (d *data) host() string { return strings.ToLower(d.Domain) }

// method is "" for any.
func (d *data) method() string { return strings.TrimSuffix(d.Method, "ANY") }

// pattern writes the path for a ServeMux: parameters are numbered, so that equal routes have equal patterns.
func (d *data) pattern(code string) (string, error) {
	if d.Domain != "" && !domain.MatchString(d.host()) {
		return "", trigger.Bad(code, "event_data.sl_domain %.80q is no host name", d.Domain)
	}
	path, ok := strings.CutPrefix(d.Path, "/")
	if !ok {
		return "", trigger.Bad(code, "event_data.path %.80q must begin with /", d.Path)
	}
	path = strings.TrimSuffix(path, "/")
	var b strings.Builder
	seen := map[string]bool{}
	if path != "" {
		for i, part := range strings.Split(path, "/") {
			if !segment.MatchString(part) || part == "." || part == ".." || seen[part] {
				return "", trigger.Bad(code, "event_data.path %.80q must be parts between slashes, each a text or a {parameter} of its own", d.Path)
			}
			plain, err := url.PathUnescape(part)
			if err != nil || strings.ContainsAny(plain, "/{}") && part[0] != '{' {
				return "", trigger.Bad(code, "event_data.path %.80q has a part that cannot be read: %.40q", d.Path, part)
			}
			if plain = url.PathEscape(plain); part[0] == '{' {
				seen[part] = true
				plain = fmt.Sprintf("{p%d}", i)
			}
			b.WriteString("/" + plain)
		}
	}
	if d.MatchMode == "SWA" {
		return b.String() + "/{rest...}", nil
	}
	return b.String() + "/{$}", nil
}

// parameters gives the names of the path's parameters by their names in the pattern.
func (d *data) parameters() map[string]string {
	names := map[string]string{}
	for i, part := range strings.Split(strings.Trim(d.Path, "/"), "/") {
		if strings.HasPrefix(part, "{") {
			names[fmt.Sprintf("p%d", i)] = strings.Trim(part, "{}")
		}
	}
	return names
}

// route gives the data plane what it needs.
func (d *data) route(t *faas.Trigger, secrets map[string]string) *faas.Route {
	return &faas.Route{
		Trigger: t.ID, Name: d.Name, Key: t.Key, Alias: t.Alias, Path: d.Path, Auth: d.Auth, AppCode: secrets["app_code"],
		Stage: cmp.Or(d.Stage, usualStage), Async: d.Func.Invocation == "async",
		Timeout: time.Duration(cmp.Or(d.Func.Timeout, usualTimeout)) * time.Millisecond,
	}
}

// Show is of trigger.Kind: the address, and ids for clients that want some.
func (k *Kind) Show(t *faas.Trigger, _ map[string]string, shown map[string]any) {
	var d data
	if trigger.Decode(t.Data, &d) != nil {
		return
	}
	u := *k.cfg.URL
	if d.Domain != "" {
		u.Host = d.host()
		if port := k.cfg.URL.Port(); port != "" {
			u.Host += ":" + port
		}
	}
	shown["invoke_url"] = u.String() + d.Path
	shown["api_id"], shown["api_name"], shown["triggerid"] = strings.ReplaceAll(t.ID, "-", ""), d.Name, t.ID
}
