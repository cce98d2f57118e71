package minapp

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// functionAnswer is a function (minapp reference 2.1).
type functionAnswer struct {
	AuditStatus string `json:"audit_status"` // always approved: nobody audits here
	CreatedAt   int64  `json:"created_at"`
	CreatedBy   string `json:"created_by"`
	Code        string `json:"function_code"` // "" for a package of several files
	ID          int64  `json:"id"`
	Name        string `json:"name"`
	Plan        string `json:"plan_circle"`
	Remark      string `json:"remark"`
	UpdatedAt   int64  `json:"updated_at"`
	UpdatedBy   string `json:"updated_by"`
}

const (
	planFree = "P_FREE"
	planOwn  = "P_PERSONAL"
)

// planOf names the plan of a memory size; one that the dialect has no plan for is named by its size.
func planOf(memoryMB int) string {
	switch memoryMB {
	case memoryFree:
		return planFree
	case memoryOwn:
		return planOwn
	}
	return "MB_" + strconv.Itoa(memoryMB)
}

// planMemory gives the memory of a plan in MB. Error: CodeInvalid, field "plan_circle".
func planMemory(plan string) (int, error) {
	switch plan {
	case planFree:
		return memoryFree, nil
	case planOwn:
		return memoryOwn, nil
	}
	return 0, faas.Errorf(faas.CodeInvalid, "plan_circle", "plan_circle %.40q must be %s (%d MB) or %s (%d MB)", plan, planFree, memoryFree, planOwn, memoryOwn)
}

func (a *API) toAnswer(ctx context.Context, f *faas.Function) (functionAnswer, error) {
	answer := functionAnswer{
		AuditStatus: "approved", CreatedAt: f.CreatedAt.Unix(), CreatedBy: f.CreatedBy, ID: f.Number, Name: f.DisplayName(),
		Plan: planOf(f.Spec.MemoryMB), Remark: f.Spec.Description, UpdatedAt: f.ModifiedAt.Unix(), UpdatedBy: f.ModifiedBy,
	}
	if !f.Code.Source {
		return answer, nil
	}
	_, r, err := a.Functions.Code(ctx, f.Project, faas.URN{Package: f.Package, Name: f.Name})
	if err != nil {
		return answer, err
	}
	defer r.Close()
	code, err := io.ReadAll(r)
	answer.Code = string(code)
	return answer, err
}

func (a *API) writeFunction(w http.ResponseWriter, r *http.Request, status int, f *faas.Function) error {
	answer, err := a.toAnswer(r.Context(), f)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, status, answer)
}

// functionRequest is the body of create and of patch, where nil leaves a part as it is.
type functionRequest struct {
	Name   *string `json:"name"`
	Code   *string `json:"function_code"`
	Remark *string `json:"remark"`
	Plan   *string `json:"plan_circle"`
}

func readFunction(r *http.Request) (b functionRequest, set control.Settings, err error) {
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &b); err != nil {
		return b, set, err
	}
	switch {
	case b.Name != nil && *b.Name == "":
		return b, set, faas.Errorf(faas.CodeInvalid, "name", "name must not be empty")
	case b.Code != nil && *b.Code == "":
		return b, set, faas.Errorf(faas.CodeInvalid, "function_code", "function_code must not be empty")
	}
	set.Description = b.Remark
	if b.Plan != nil {
		memory, err := planMemory(*b.Plan)
		if err != nil {
			return b, set, err
		}
		set.MemoryMB = &memory
	}
	return b, set, nil
}

// entry is how functions of the dialect are laid down: one source, whose export main is called.
const entry = "index.main"

func (a *API) create(w http.ResponseWriter, r *http.Request) error {
	s, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	b, set, err := readFunction(r)
	switch {
	case err != nil:
		return err
	case b.Name == nil:
		return faas.Errorf(faas.CodeInvalid, "name", "name must be given")
	case b.Code == nil:
		return faas.Errorf(faas.CodeInvalid, "function_code", "function_code must be given")
	}
	runtime, handler, contract, seconds, memory := a.Runtime(), entry, faas.ContractCallback, int(AsyncLimit.Seconds()), memoryFree
	set.Runtime, set.Handler, set.Contract, set.TimeoutSec = &runtime, &handler, &contract, &seconds
	if set.MemoryMB == nil {
		set.MemoryMB = &memory
	}
	f, err := a.Functions.Create(r.Context(), s.project, control.NewFunction{
		Package: s.pkg, Title: *b.Name, CreatedBy: s.principal.UserName, Settings: set,
		Code: control.Code{Kind: faas.KindInline, Data: []byte(*b.Code)},
	})
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "function "+f.Package+"/"+f.Name)
	return a.writeFunction(w, r, http.StatusCreated, f)
}

func (a *API) show(w http.ResponseWriter, r *http.Request) error {
	_, f, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	return a.writeFunction(w, r, http.StatusOK, f)
}

func (a *API) patch(w http.ResponseWriter, r *http.Request) error {
	s, f, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	b, set, err := readFunction(r)
	if err != nil {
		return err
	}
	set.Title, set.ModifiedBy = b.Name, &s.principal.UserName
	var code *control.Code
	if b.Code != nil {
		code = &control.Code{Kind: faas.KindInline, Data: []byte(*b.Code)}
	}
	if f, err = a.Functions.Change(r.Context(), f, set, code); err != nil {
		return err
	}
	return a.writeFunction(w, r, http.StatusAccepted, f)
}

func (a *API) remove(w http.ResponseWriter, r *http.Request) error {
	_, f, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Functions.Delete(r.Context(), f.Project, faas.URN{Package: f.Package, Name: f.Name}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listAnswer is a page of anything.
type listAnswer[T any] struct {
	Meta    meta `json:"meta"`
	Objects []T  `json:"objects"`
}

// meta tells where a page stands. Next and Previous are paths under the prefix that the caller used.
type meta struct {
	Limit    int     `json:"limit"`
	Next     *string `json:"next"`
	Offset   int64   `json:"offset"`
	Previous *string `json:"previous"`
	Total    int64   `json:"total_count"`
}

const (
	defaultLimit = 20
	maxLimit     = 1000
	maxOffset    = 1 << 40
)

// readPage reads limit and offset. Error: CodeInvalid with the field.
func readPage(query url.Values) (m meta, err error) {
	m.Limit = defaultLimit
	if text := query.Get("limit"); text != "" {
		if m.Limit, err = strconv.Atoi(text); err != nil || m.Limit < 1 || m.Limit > maxLimit {
			return m, faas.Errorf(faas.CodeInvalid, "limit", "limit %.40q must be 1 to %d", text, maxLimit)
		}
	}
	if text := query.Get("offset"); text != "" {
		if m.Offset, err = strconv.ParseInt(text, 10, 64); err != nil || m.Offset < 0 || m.Offset > maxOffset {
			return m, faas.Errorf(faas.CodeInvalid, "offset", "offset %.40q must be 0 or more", text)
		}
	}
	return m, nil
}

// link fills in the total and where the pages beside this one are.
func (m *meta) link(r *http.Request, total int64) {
	m.Total = total
	path := r.URL.EscapedPath()
	if path[len(path)-1] != '/' {
		path += "/"
	}
	at := func(offset int64) *string {
		query := r.URL.Query()
		query.Set("limit", strconv.Itoa(m.Limit))
		query.Set("offset", strconv.FormatInt(offset, 10))
		text := path + "?" + query.Encode()
		return &text
	}
	if m.Offset+int64(m.Limit) < total {
		m.Next = at(m.Offset + int64(m.Limit))
	}
	if m.Offset > 0 {
		m.Previous = at(max(0, m.Offset-int64(m.Limit)))
	}
}

// list gives the functions of the environment, the youngest first.
func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	s, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	m, err := readPage(r.URL.Query())
	if err != nil {
		return err
	}
	_, total, err := a.Functions.List(r.Context(), s.project, control.ListQuery{Package: s.pkg, Limit: 1})
	if err != nil {
		return err
	}
	answer := listAnswer[functionAnswer]{Objects: []functionAnswer{}}
	// They are kept the oldest first, so a page is counted from the other end.
	end := total - m.Offset
	from := max(0, end-int64(m.Limit))
	if end > from {
		found, _, err := a.Functions.List(r.Context(), s.project, control.ListQuery{Package: s.pkg, Offset: from, Limit: int(end - from)})
		if err != nil {
			return err
		}
		slices.Reverse(found)
		for _, f := range found {
			one, err := a.toAnswer(r.Context(), f)
			if err != nil {
				return err
			}
			answer.Objects = append(answer.Objects, one)
		}
	}
	m.link(r, total)
	answer.Meta = m
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}
