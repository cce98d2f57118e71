package minapp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

// invokeAnswer is how a synchronous call ended.
type invokeAnswer struct {
	Code  int             `json:"code"` // 0, or 1 when the function failed
	Data  json.RawMessage `json:"data"`
	Error callError       `json:"error"`
}

// callError is the function's own failure; {} for none.
type callError struct {
	Message string `json:"message,omitempty"`
	Stack   string `json:"stack,omitempty"`
	Type    string `json:"type,omitempty"`
}

// acceptedAnswer is the answer to an asynchronous call.
type acceptedAnswer struct {
	Status string `json:"status"`
}

func toInvokeAnswer(res *faas.Result, withStack bool) invokeAnswer {
	if res.Failure == nil {
		return invokeAnswer{Data: res.Output}
	}
	f := res.Failure
	e := callError{Message: f.Message, Type: cmp.Or(f.Type, "Error")}
	if f.Code == faas.CodeTimeout || f.Code == faas.CodeInitTimeout {
		e.Type = "TimeoutError"
	}
	if withStack {
		e.Stack = strings.Join(f.Stack, "\n")
	}
	return invokeAnswer{Code: 1, Data: json.RawMessage("null"), Error: e}
}

// origin is what a function is told of its call beside the data. Its names are those of the event.
type origin struct {
	EventType string         `json:"eventType,omitempty"`
	Debug     bool           `json:"debug,omitempty"`
	SchemaID  any            `json:"schema_id,omitempty"`
	Request   *originRequest `json:"request,omitempty"`
	Depth     int            `json:"_depth,omitempty"` // kept from the function: how many calls are above this one
}

type originRequest struct {
	Meta struct {
		IP        string `json:"ip_address"`
		UserAgent string `json:"user_agent"`
	} `json:"meta"`
	User *originUser `json:"user"`
}

type originUser struct {
	ID       int64  `json:"id"`
	Nickname string `json:"nickname"`
	Avatar   string `json:"avatar_url"`
	OpenID   string `json:"openid"`
	UnionID  string `json:"unionid"`
}

func (o origin) text() string {
	text, _ := json.Marshal(o) // texts and numbers only
	return string(text)
}

// DepthOf gives how many calls are above one, as its origin has it.
func DepthOf(text string) int {
	var o origin
	_ = json.Unmarshal([]byte(text), &o) // what is none has no depth
	return o.Depth
}

// originOf tells of a request. Only a client's call has a person.
func originOf(r *http.Request, s scope, source string) origin {
	req := &originRequest{}
	req.Meta.UserAgent = strings.ToValidUTF8(r.UserAgent(), "")
	req.Meta.IP = r.RemoteAddr
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		req.Meta.IP = host
	}
	if source == faas.SourceSDK {
		req.User = &originUser{ID: userNumber(s.principal.UserID), Nickname: s.principal.UserName}
	}
	return origin{EventType: source, Request: req}
}

func sourceOf(r *http.Request) string {
	switch {
	case strings.HasPrefix(r.URL.Path, dashboard+"/"):
		return faas.SourceDashboard
	case strings.HasPrefix(r.URL.Path, clients+"/"):
		return faas.SourceSDK
	}
	return faas.SourceOpenAPI
}

// jobRequest is the body of a call.
type jobRequest struct {
	Name    string          `json:"function_name"` // where the path has none
	Data    json.RawMessage `json:"data"`
	Sync    *bool           `json:"sync"` // nil for true
	Subject string          `json:"subject"`
	Schema  any             `json:"schema_id"`
}

// maxDataDepth is how deep data may nest, as an event.
const maxDataDepth = 400

func readJob(r *http.Request) (b jobRequest, err error) {
	body := bytes.TrimSpace(httpkit.BodyOf(r.Context()))
	if len(body) > 0 {
		if depth(body) > maxDataDepth {
			return b, faas.Errorf(faas.CodeInvalid, "data", "data nests deeper than %d", maxDataDepth)
		}
		if err := json.Unmarshal(body, &b); err != nil {
			return b, faas.Errorf(faas.CodeInvalid, "body", "the request body is not a JSON object of the right shape")
		}
	}
	if len(b.Data) == 0 {
		b.Data = json.RawMessage("{}")
	}
	if text := r.URL.Query().Get("sync"); text != "" && b.Sync == nil {
		sync := text != "false" && text != "0"
		b.Sync = &sync
	}
	if len(b.Data) > faas.MaxEventBytes {
		return b, faas.Errorf(faas.CodeTooLarge, "data", "data is over %d bytes", faas.MaxEventBytes)
	}
	return b, nil
}

// depth counts the brackets outside strings.
func depth(body []byte) (most int) {
	now, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}

func (a *API) trigger(w http.ResponseWriter, r *http.Request) error {
	s, f, err := a.target(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	b, err := readJob(r)
	if err != nil {
		return err
	}
	return a.answerCall(w, r, s, f, b)
}

// triggerByName calls the function that the body names.
func (a *API) triggerByName(w http.ResponseWriter, r *http.Request) error {
	s, err := a.enter(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	b, err := readJob(r)
	if err != nil {
		return err
	}
	if b.Name == "" {
		return faas.Errorf(faas.CodeInvalid, "function_name", "function_name must be given")
	}
	f, err := a.Functions.ByTitle(r.Context(), s.project, s.pkg, b.Name)
	if err != nil {
		return err
	}
	return a.answerCall(w, r, s, f, b)
}

func (a *API) answerCall(w http.ResponseWriter, r *http.Request, s scope, f *faas.Function, b jobRequest) error {
	source := sourceOf(r)
	if source == faas.SourceSDK {
		allowOrigin(w)
	}
	o := originOf(r, s, source)
	if b.Sync != nil && !*b.Sync {
		if err := a.accept(r.Context(), f, source, b.Data, o); err != nil {
			return err
		}
		return httpkit.WriteJSON(w, http.StatusOK, acceptedAnswer{"ok"})
	}
	res, err := a.run(r.Context(), f, faas.Invocation{ID: httpkit.RequestIDOf(r.Context()), Source: source, Event: b.Data, Timeout: SyncLimit}, o)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, toInvokeAnswer(res, source != faas.SourceSDK))
}

func (a *API) run(ctx context.Context, f *faas.Function, call faas.Invocation, o origin) (*faas.Result, error) {
	call.QueueWait, call.Origin, call.Depth = SyncPatience, o.text(), o.Depth
	return a.Invoker.Invoke(ctx, invoke.Request{Key: f.Key(), Call: call})
}

// accept takes a call in that is made later. When it returns, the call is on disk.
func (a *API) accept(ctx context.Context, f *faas.Function, source string, data []byte, o origin) error {
	if len(data) > faas.MaxAsyncEventBytes {
		return faas.Errorf(faas.CodeTooLarge, "data", "data of an asynchronous call is over %d bytes", faas.MaxAsyncEventBytes)
	}
	if f.Spec.MaxInstances == 0 {
		return faas.Errorf(faas.CodeDisabled, "function", "the function is switched off")
	}
	id, err := uuid.NewV7() // it begins with the time, so that jobs accepted together stand together on disk
	if err != nil {
		return err
	}
	at, key := a.Now(), f.Key()
	key.Version = ""
	if err := a.Jobs.Enqueue(ctx, faas.Job{ID: id.String(), Key: key, Source: source, Event: data, Origin: o.text()}); err != nil {
		return err
	}
	a.Ledger.Add(faas.CallRecord{ID: id.String(), Function: key, Source: source, Async: true, State: faas.CallWaiting, CreatedAt: at})
	return nil
}

// debugAnswer is a call with all that its author wants to see.
type debugAnswer struct {
	BillingTime   int64           `json:"billing_time"`   // ms, in steps of 100
	ExecutionTime float64         `json:"execution_time"` // ms
	Code          int             `json:"code"`
	Data          json.RawMessage `json:"data"`
	Error         callError       `json:"error"`
	JobID         string          `json:"job_id"` // 32 hex digits
	Log           string          `json:"log"`
	Memory        int64           `json:"mem_usage"` // bytes
}

// subjects are what a debugging call may pretend to come from.
func subjects() []string {
	return []string{"", "sdk", "open_api", "cloud_function", "flex_schema", "wechat_pay_success", "timer", "file_operation"}
}

func (a *API) debug(w http.ResponseWriter, r *http.Request) error {
	s, f, err := a.target(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	b, err := readJob(r)
	if err != nil {
		return err
	}
	if !slices.Contains(subjects(), b.Subject) {
		return faas.Errorf(faas.CodeInvalid, "subject", "subject %.40q must be one of %s", b.Subject, strings.Join(subjects()[1:], ", "))
	}
	if b.Subject == "flex_schema" && b.Schema == nil {
		return faas.Errorf(faas.CodeInvalid, "schema_id", "schema_id must be given with the subject flex_schema")
	}
	o := originOf(r, s, faas.SourceOpenAPI)
	o.EventType, o.Debug, o.SchemaID = cmp.Or(b.Subject, "sdk"), true, b.Schema
	id := httpkit.RequestIDOf(r.Context())
	res, err := a.run(r.Context(), f, faas.Invocation{ID: id, Source: faas.SourceOpenAPI, Event: b.Data, Timeout: SyncLimit}, o)
	if err != nil {
		return err
	}
	ms := float64(res.Run) / float64(time.Millisecond)
	answer := toInvokeAnswer(res, true)
	return httpkit.WriteJSON(w, http.StatusOK, debugAnswer{
		BillingTime: max(1, int64(math.Ceil(ms/100))) * 100, ExecutionTime: ms, Code: answer.Code, Data: answer.Data, Error: answer.Error,
		JobID: strings.ReplaceAll(id, "-", ""), Log: invoke.LogText(res.Logs, faas.MaxCallLog), Memory: res.MemoryPeak,
	})
}

// Call is what a function asks for while a call of it runs: to call another one of its project and environment, within the time
// that its own call has left. It gives the result as BaaS.invoke has it, or a status and why not.
func (a *API) Call(ctx context.Context, asker *faas.Function, call faas.Invocation, name string, data json.RawMessage, sync bool) (json.RawMessage, int, string) {
	answer, err := a.call(ctx, asker, call, name, data, sync)
	if err == nil {
		var text []byte
		if text, err = json.Marshal(answer); err == nil {
			return text, 0, ""
		}
	}
	status, reason := describe(err)
	return nil, status, reason
}

func (a *API) call(ctx context.Context, asker *faas.Function, call faas.Invocation, name string, data json.RawMessage, sync bool) (any, error) {
	o := origin{EventType: faas.SourceFunction, Depth: max(call.Depth, DepthOf(call.Origin)) + 1}
	if o.Depth > faas.MaxCallDepth {
		return nil, faas.Errorf(faas.CodeInvalid, "depth", "functions that call each other may do so %d deep", faas.MaxCallDepth)
	}
	if len(data) == 0 {
		data = json.RawMessage("{}")
	}
	f, err := a.Functions.ByTitle(ctx, asker.Project, asker.Package, name)
	if err != nil {
		return nil, err
	}
	if !sync {
		return acceptedAnswer{"ok"}, a.accept(ctx, f, faas.SourceFunction, data, o)
	}
	limit := SyncLimit
	if end, ok := ctx.Deadline(); ok {
		limit = max(time.Millisecond, min(limit, time.Until(end)))
	}
	res, err := a.run(ctx, f, faas.Invocation{ID: uuid.NewString(), Source: faas.SourceFunction, Event: data, Timeout: limit}, o)
	if err != nil {
		return nil, err
	}
	return toInvokeAnswer(res, true), nil
}
