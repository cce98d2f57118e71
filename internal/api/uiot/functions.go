package uiot

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// functionItem is a function in a list (seed "uiot-edge-function-api", "functionlist").
type functionItem struct {
	FunctionID       int64
	ProjectID        uint64
	FunctionName     string
	Runtime          string
	Handler          string
	Description      string
	CreatedTime      int64 // ms
	LastModifiedTime int64 `json:",omitempty"`
	CodeURL          string
	CodeChecksum     string // MD5 of the code
	CodeSize         int64
	Config           string
}

// functionInfo is a function by itself.
type functionInfo struct {
	FunctionID   int64
	ProjectID    uint64
	FunctionName string
	Runtime      string
	Handler      string
	Description  string
	CreatedTime  int64
	FunctionCode string // base64
	Config       string // base64
}

const (
	runtimeName    = "Python3"
	defaultHandler = "index.handler"
	defaultTimeout = 60 // seconds; the dialect has none
	defaultMemory  = 128
)

var (
	functionName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,29}[A-Za-z0-9]$`) })
	handlerName  = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,29}[A-Za-z]\.[A-Za-z][A-Za-z0-9_-]{0,29}[A-Za-z]$`)
	})
)

// runtimeOf is what the dialect calls a runtime: it has one, and shows those of functions made elsewhere by their names.
func runtimeOf(f *faas.Function) string {
	if strings.HasPrefix(f.Spec.Runtime, runtimeName) {
		return runtimeName
	}
	return f.Spec.Runtime
}

// readRuntime takes "python3" for the newest Python here, and "python3.6" for that one. Error: CodeInvalid, field "Runtime".
func (a *API) readRuntime(text string) (string, error) {
	rest, ok := strings.CutPrefix(strings.ToLower(text), "python3")
	switch {
	case !ok || strings.Trim(rest, ".0123456789") != "":
		return "", faas.Errorf(faas.CodeInvalid, "Runtime", "Runtime %.40q must be python3, or a version of it like python3.6", text)
	case rest == "":
		return a.Runtime(), nil
	}
	return runtimeName + rest, nil
}

// shownConfig is a default configuration as lists show it.
func shownConfig(f *faas.Function) string {
	if f.Spec.Config == "" {
		return "{}"
	}
	return f.Spec.Config
}

func (a *API) toItem(r *http.Request, f *faas.Function) (functionItem, error) {
	item := functionItem{
		FunctionID: f.Number, ProjectID: number(f.Project), FunctionName: f.Name, Runtime: runtimeOf(f), Handler: f.Spec.Handler,
		Description: f.Spec.Description, CreatedTime: f.CreatedAt.UnixMilli(), CodeSize: f.Code.Size, Config: shownConfig(f),
	}
	if f.ModifiedAt.After(f.CreatedAt) {
		item.LastModifiedTime = f.ModifiedAt.UnixMilli()
	}
	var err error
	if item.CodeURL, err = a.urlOf(r, f); err != nil {
		return item, err
	}
	item.CodeChecksum, err = a.sumsOf(r.Context(), f)
	return item, err
}

func (a *API) toItems(r *http.Request, all []*faas.Function) ([]functionItem, error) {
	list := []functionItem{}
	for _, f := range all {
		item, err := a.toItem(r, f)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

// functionRequest is the body of create and update. nil leaves a part as it is.
type functionRequest struct {
	FunctionName string
	Runtime      string
	Handler      *string
	FunctionCode *string
	Description  *string
	Config       *string
}

func urnOf(name string) faas.URN { return faas.URN{Package: faas.DefaultPackage, Name: name} }

// named wants the name of a function. Error: CodeInvalid, field "FunctionName".
func named(name string) (faas.URN, error) {
	if name == "" {
		return faas.URN{}, faas.Errorf(faas.CodeInvalid, "FunctionName", "FunctionName must be given")
	}
	return urnOf(name), nil
}

// settings reads what create and update have in common.
func (a *API) settings(b functionRequest) (set control.Settings, code *control.Code, err error) {
	if b.Runtime == "" {
		return set, nil, faas.Errorf(faas.CodeInvalid, "Runtime", "Runtime must be given: python3")
	}
	runtime, err := a.readRuntime(b.Runtime)
	if err != nil {
		return set, nil, err
	}
	set.Runtime, set.Description = &runtime, b.Description
	if b.Handler != nil && *b.Handler != "" {
		if !handlerName().MatchString(*b.Handler) {
			return set, nil, faas.Errorf(faas.CodeInvalid, "Handler",
				"Handler %.80q must be file.function, each of 2 to 31 letters, digits, '_' and '-' that begin and end with a letter", *b.Handler)
		}
		set.Handler = b.Handler
	}
	if b.Config != nil {
		text, err := readConfig(*b.Config)
		if err != nil {
			return set, nil, err
		}
		set.Config = &text
	}
	if b.FunctionCode == nil || *b.FunctionCode == "" {
		return set, nil, nil
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(*b.FunctionCode))
	if err != nil || len(data) == 0 {
		return set, nil, faas.Errorf(faas.CodeInvalid, "FunctionCode", "FunctionCode must be the base64 of a file: one source, or a zip")
	}
	return set, &control.Code{Data: data}, nil
}

// readConfig takes the base64 of a JSON object, or the object itself. Error: CodeInvalid, field "config".
func readConfig(text string) (string, error) {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return "", faas.Errorf(faas.CodeInvalid, "config", "Config must be the base64 of a JSON object")
		}
		text = string(data)
	}
	return text, control.CheckConfig(text)
}

// starter is the code of a function that is made without any: it does nothing until it is given some.
func starter(handler string) []byte {
	_, function, _ := strings.Cut(handler, ".")
	return fmt.Appendf(nil, "def %s(event, context):\n    return None\n", function)
}

func (a *API) create(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[functionRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if !functionName().MatchString(b.FunctionName) {
		return faas.Errorf(faas.CodeInvalid, "FunctionName",
			"FunctionName %.80q must be 2 to 31 letters, digits, '-' and '_' that begin with a letter and end with a letter or digit", b.FunctionName)
	}
	set, code, err := a.settings(b)
	if err != nil {
		return err
	}
	handler, contract, seconds, memory := defaultHandler, faas.ContractEdge, defaultTimeout, defaultMemory
	if set.Handler == nil {
		set.Handler = &handler
	}
	if code == nil {
		code = &control.Code{Data: starter(*set.Handler)}
	}
	set.Contract, set.TimeoutSec, set.MemoryMB = &contract, &seconds, &memory
	f, err := a.Functions.Create(r.Context(), s.project, control.NewFunction{Name: b.FunctionName, CreatedBy: s.principal.UserName, Settings: set, Code: *code})
	if err != nil {
		return err
	}
	return ok(w, struct{ FunctionID string }{strconv.FormatInt(f.Number, 10)})
}

func (a *API) update(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[functionRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	urn, err := named(b.FunctionName)
	if err != nil {
		return err
	}
	set, code, err := a.settings(b)
	if err != nil {
		return err
	}
	f, err := a.Functions.Get(r.Context(), s.project, urn)
	if err != nil {
		return err
	}
	if strings.EqualFold(b.Runtime, runtimeName) && runtimeOf(f) == runtimeName {
		set.Runtime = nil // it has a version of it
	}
	set.ModifiedBy = &s.principal.UserName
	if _, err := a.Functions.Change(r.Context(), f, set, code); err != nil {
		return err
	}
	return ok(w, nil)
}

// placeRequest names a function and a place, where an operation wants them, or filters by them.
type placeRequest struct {
	FunctionName  string
	GatewaySN     string
	ProductSN     string
	DeviceSN      string // of message routes; refused here
	Limit, Offset int
}

// all gives the functions that the dialect can name, filtered by a part of the name.
func (a *API) all(r *http.Request, project, part string) ([]*faas.Function, error) {
	found, _, err := a.Functions.List(r.Context(), project, control.ListQuery{Package: faas.DefaultPackage, NamePart: part, Limit: 1 << 20})
	return found, err
}

type functionList struct {
	Count        int
	FunctionList []functionItem
}

func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[placeRequest](a, r, auth.ActionRead)
	if err != nil {
		return err
	}
	found, err := a.all(r, s.project, b.FunctionName)
	if err != nil {
		return err
	}
	return a.writeList(w, r, found, b)
}

func (a *API) writeList(w http.ResponseWriter, r *http.Request, found []*faas.Function, b placeRequest) error {
	part, err := page(found, b.Offset, b.Limit)
	if err != nil {
		return err
	}
	items, err := a.toItems(r, part)
	if err != nil {
		return err
	}
	return ok(w, functionList{len(found), items})
}

func (a *API) remove(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[placeRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	urn, err := named(b.FunctionName)
	if err != nil {
		return err
	}
	if err := a.Functions.Delete(r.Context(), s.project, urn); err != nil {
		return err
	}
	return ok(w, nil)
}

func (a *API) info(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[placeRequest](a, r, auth.ActionRead)
	if err != nil {
		return err
	}
	urn, err := named(b.FunctionName)
	if err != nil {
		return err
	}
	f, body, err := a.Functions.Code(r.Context(), s.project, urn)
	if err != nil {
		return err
	}
	defer body.Close()
	code, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return ok(w, struct{ FunctionInfo functionInfo }{functionInfo{
		FunctionID: f.Number, ProjectID: number(f.Project), FunctionName: f.Name, Runtime: runtimeOf(f), Handler: f.Spec.Handler,
		Description: f.Spec.Description, CreatedTime: f.CreatedAt.UnixMilli(), FunctionCode: base64.StdEncoding.EncodeToString(code),
		Config: base64.StdEncoding.EncodeToString([]byte(shownConfig(f))),
	}})
}
