package minapp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

// jobAnswer is a job (minapp reference 2.1). Times are seconds.
type jobAnswer struct {
	CreatedAt   float64  `json:"created_at"`
	FinishedAt  *float64 `json:"finished_at"`
	ID          int64    `json:"id"`
	Memory      int64    `json:"mem_usage"`
	ServiceType string   `json:"service_type"`
	Source      string   `json:"source"`
	StartedAt   *float64 `json:"started_at"`
	Status      string   `json:"status"`
	LogURL      string   `json:"user_log_url"`
}

// statusWords are the dialect's words for the states of calls (minapp reference 3).
func statusWords() map[faas.CallState]string {
	return map[faas.CallState]string{
		faas.CallWaiting: "waiting", faas.CallRunning: "executing", faas.CallDone: "fulfilled", faas.CallFailed: "execution_failed",
		faas.CallTimedOut: "deadline_exceeded", faas.CallUnscheduled: "schedule_failed", faas.CallRejected: "execution_rejected",
	}
}

const (
	typeSync  = "time_sensitive"
	typeAsync = "batch"
)

// sources are the words for where a call can come from. Some never come from anywhere here.
func sources() []string {
	return []string{
		"sdk", "open_api", "cloud_function", "flex_schema", "wechat_pay_success", "alipay_pay_success", "qpay_success", "baidu_pay_success",
		"timer", "file_operation", "user_dash", "incoming_webhook", "wechat_message", "user_activity",
	}
}

// sourceWord is the dialect's word for a source: other dialects' calls count as calls of the open API, and destinations as calls
// of the function that they follow.
func sourceWord(source string) string {
	switch {
	case slices.Contains(sources(), source):
		return source
	case source == faas.SourceDestination:
		return faas.SourceFunction
	case source == faas.SourceAPIG, source == faas.SourceSMN, source == faas.SourceOBS:
		return "incoming_webhook"
	}
	return faas.SourceOpenAPI
}

// sourcesOf are the sources that a word stands for.
func sourcesOf(word string) []string {
	all := []string{
		faas.SourceAPI, faas.SourceDestination, faas.SourceAPIG, faas.SourceKafka, faas.SourceRabbitMQ, faas.SourceOBS, faas.SourceSMN, faas.SourceMQTT,
	}
	found := []string{word}
	for _, s := range all {
		if sourceWord(s) == word {
			found = append(found, s)
		}
	}
	return found
}

// readFilter reads the filters of a listing. Error: CodeInvalid with the field.
func readFilter(query url.Values, f *faas.CallFilter) error {
	if word := query.Get("source"); word != "" {
		if !slices.Contains(sources(), word) {
			return faas.Errorf(faas.CodeInvalid, "source", "source %.40q must be one of %s", word, strings.Join(sources(), ", "))
		}
		f.Sources = sourcesOf(word)
	}
	if word := query.Get("status"); word != "" {
		for state, w := range statusWords() {
			if w == word {
				f.States = []faas.CallState{state}
			}
		}
		if f.States == nil {
			return faas.Errorf(faas.CodeInvalid, "status", "status %.40q is none of a job", word)
		}
	}
	switch word := query.Get("service_type"); word {
	case "":
	case typeSync, typeAsync:
		async := word == typeAsync
		f.Async = &async
	default:
		return faas.Errorf(faas.CodeInvalid, "service_type", "service_type %.40q must be %s or %s", word, typeSync, typeAsync)
	}
	for name, to := range map[string]*time.Time{"created_at__gte": &f.From, "created_at__lte": &f.To} {
		if text := query.Get(name); text != "" {
			seconds, err := strconv.ParseFloat(text, 64)
			if err != nil || seconds < 0 || seconds > 1e11 {
				return faas.Errorf(faas.CodeInvalid, name, "%s %.40q must be a time in seconds since 1970", name, text)
			}
			*to = time.UnixMicro(int64(seconds * 1e6))
		}
	}
	return nil
}

func (a *API) listJobs(w http.ResponseWriter, r *http.Request) error {
	_, f, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	m, err := readPage(query)
	if err != nil {
		return err
	}
	filter := faas.CallFilter{Function: f.Key(), Offset: m.Offset, Limit: m.Limit}
	if err := readFilter(query, &filter); err != nil {
		return err
	}
	found, total, err := a.Records.Calls(r.Context(), filter)
	if err != nil {
		return err
	}
	if err := a.catchUp(r.Context(), f, found); err != nil {
		return err
	}
	answer := listAnswer[jobAnswer]{Objects: []jobAnswer{}}
	for _, c := range found {
		answer.Objects = append(answer.Objects, a.toJob(r, c))
	}
	m.link(r, total)
	answer.Meta = m
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *API) toJob(r *http.Request, c faas.CallRecord) jobAnswer {
	service := typeSync
	if c.Async {
		service = typeAsync
	}
	return jobAnswer{
		CreatedAt: *seconds(c.CreatedAt), StartedAt: seconds(c.StartedAt), FinishedAt: seconds(c.EndedAt), ID: c.Number, Memory: c.MemoryPeak,
		ServiceType: service, Source: sourceWord(c.Source), Status: statusWords()[c.State], LogURL: a.logURL(r, c),
	}
}

func seconds(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	s := float64(t.UnixMicro()) / 1e6
	return &s
}

// catchUp brings records of accepted calls up to what the queue knows: a call that was given up, or one whose record was lost
// with an end of the server.
func (a *API) catchUp(ctx context.Context, f *faas.Function, found []faas.CallRecord) error {
	at := map[string]int{}
	var ids []string
	for i, c := range found {
		if c.Async && !c.State.Ended() {
			at[c.ID] = i
			ids = append(ids, c.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	jobs, err := a.JobList.Jobs(ctx, faas.JobFilter{Project: f.Project, Package: f.Package, Name: f.Name, IDs: ids, Limit: len(ids)})
	if err != nil {
		return err
	}
	for _, j := range jobs {
		c := &found[at[j.ID]]
		switch j.State {
		case faas.JobWaiting:
			continue
		case faas.JobRunning:
			c.State, c.StartedAt = faas.CallRunning, j.Began
			continue
		case faas.JobDone:
			c.State = faas.CallDone
		case faas.JobCancelled:
			c.State = faas.CallRejected
		default:
			c.State = endOf(j.Code)
		}
		c.StartedAt, c.EndedAt, c.Code = j.Began, j.Ended, j.Code
		a.Ledger.Add(*c)
	}
	return nil
}

// endOf is where a call ended whose attempts are over.
func endOf(code faas.Code) faas.CallState {
	if code.Fault() == faas.FaultFunction {
		return invoke.FailedState(code)
	}
	return invoke.UnreachedState(code)
}

// ticket is what the address of a log carries, sealed.
type ticket struct {
	Project string `json:"p"`
	Number  int64  `json:"n"`
	Expires int64  `json:"e"` // Unix seconds
}

const (
	ticketLabel = "call log"
	ticketLife  = 24 * time.Hour
)

// logURL is the address of a call's log. Whoever has it may read the log, for a day.
func (a *API) logURL(r *http.Request, c faas.CallRecord) string {
	now := a.Now()
	plain, _ := json.Marshal(ticket{c.Function.Project, c.Number, now.Add(ticketLife).Unix()}) // a text and numbers
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	query := url.Values{
		"X-Amz-Date": {now.UTC().Format("20060102T150405Z")}, "X-Amz-Expires": {strconv.Itoa(int(ticketLife / time.Second))},
		"X-Amz-Signature": {base64.RawURLEncoding.EncodeToString(a.Sealer.Seal(ticketLabel, plain))},
	}
	return fmt.Sprintf("%s://%s%s/v1.3/cloud-function-log/ticket_%d.log?%s", scheme, r.Host, dashboard, c.Number, query.Encode())
}

// jobLog shows a log to whoever has its address.
func (a *API) jobLog(w http.ResponseWriter, r *http.Request) error {
	no := faas.Errorf(faas.CodeForbidden, "log", "the address of this log is wrong or has expired; list the jobs for a new one")
	sealed, err := base64.RawURLEncoding.DecodeString(r.URL.Query().Get("X-Amz-Signature"))
	if err != nil || len(sealed) > 1024 {
		return no
	}
	plain, err := a.Sealer.Open(ticketLabel, sealed)
	if err != nil {
		return no
	}
	var t ticket
	if json.Unmarshal(plain, &t) != nil || a.Now().Unix() > t.Expires || r.PathValue("file") != fmt.Sprintf("ticket_%d.log", t.Number) {
		return no
	}
	c, err := a.Records.Call(r.Context(), t.Project, t.Number)
	if err != nil {
		return err
	}
	httpkit.WriteBytes(w, http.StatusOK, "text/plain; charset=utf-8", []byte(c.Log))
	return nil
}
