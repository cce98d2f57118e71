package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Runs are the records of calls; record.Store is one.
type Runs interface {
	List(ctx context.Context, f faas.RecordFilter) (faas.RecordPage, error)
	// ByID gives all attempts at a call, the oldest first. Error: CodeNotFound, field "run".
	ByID(ctx context.Context, project, id string) ([]faas.Record, error)
	// Changed gives a channel that closes when there are further records.
	Changed() <-chan struct{}
}

// Invoker runs recorded calls again; invoke.Invoker is one.
type Invoker interface {
	Replay(ctx context.Context, r *faas.Record, id string) (*faas.Result, error)
}

// run is a record. Lists of a project leave out what is marked.
type run struct {
	Seq         int64     `json:"seq"`
	ID          string    `json:"id"`
	Package     string    `json:"package"`
	Function    string    `json:"function"`
	Version     string    `json:"version"`
	Alias       string    `json:"alias"`
	Source      string    `json:"source"`
	Parent      string    `json:"parent"`
	Attempt     int       `json:"attempt"`
	Accepted    time.Time `json:"accepted"`
	Begun       time.Time `json:"begun"`
	TookMS      float64   `json:"took_ms"`
	QueuedMS    float64   `json:"queued_ms"`
	InitMS      float64   `json:"init_ms"`
	RunMS       float64   `json:"run_ms"`
	Cold        bool      `json:"cold"`
	MemoryPeak  int64     `json:"memory_peak"` // bytes
	MemoryMB    int       `json:"memory_mb"`
	Status      string    `json:"status"` // ok, or the code of the failure
	Type        string    `json:"type"`
	Message     string    `json:"message"`
	Stack       []string  `json:"stack"` // left out
	Digest      string    `json:"digest"`
	EventSize   int64     `json:"event_size"`
	EventSHA256 string    `json:"event_sha256"` // left out
	Event       *string   `json:"event"`        // left out; null where it is not kept
	ResultSize  int64     `json:"result_size"`
	Logs        []logLine `json:"logs"`    // left out
	Dropped     int64     `json:"dropped"` // bytes of log beyond the limit of a call
}

type logLine struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Text  string    `json:"text"`
}

type runPage struct {
	Runs []run `json:"runs"`
	Next int64 `json:"next"` // "before" (or "after") of the next page; 0 at the end
}

type replayAnswer struct {
	ID     string `json:"id"`
	Of     string `json:"of"`
	Status string `json:"status"` // ok, or the code of the function's failure
	Type   string `json:"type"`
	Output string `json:"output"` // the result, or the failure's message
	// The version has other code now than it had for the recorded call.
	CodeChanged bool `json:"code_changed"`
}

// limits of lists of runs
const (
	defaultRuns = 50
	maxRuns     = 500
	maxWait     = 30 // seconds
)

func (f face) runRoutes() []httpkit.Route {
	const project = "/admin/v1/projects/{project_id}"
	return []httpkit.Route{
		{Method: "GET", Path: project + "/functions/{package}/{name}/runs", Operation: "ListFunctionRuns", Handle: f.functionRuns},
		{Method: "GET", Path: project + "/runs", Operation: "ListRuns", Handle: f.runs},
		{Method: "GET", Path: project + "/runs/{id}", Operation: "ShowRun", Handle: f.showRun},
		{Method: "POST", Path: project + "/runs/{id}/replay", Operation: "ReplayRun", Action: auth.ActionInvoke, Handle: f.replayRun},
	}
}

// functionRuns answers runs of a function with their logs, the oldest first: the newest before "before", or those that follow
// "after", for which it waits up to "wait" seconds.
func (f face) functionRuns(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	project, err := f.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	after, err := number(r, "after", 0, 1<<62)
	before, err2 := number(r, "before", 0, 1<<62)
	limit, err3 := number(r, "limit", defaultRuns, maxRuns)
	wait, err4 := number(r, "wait", 0, maxWait)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return err
	}
	filter := faas.RecordFilter{
		Project: project, Package: r.PathValue("package"), Name: r.PathValue("name"), After: after, Before: before, Limit: int(max(limit, 1)),
		Oldest: after > 0, Whole: true,
	}
	over := time.NewTimer(time.Duration(wait) * time.Second)
	defer over.Stop()
	for {
		changed := f.cfg.Runs.Changed()
		page, err := f.cfg.Runs.List(ctx, filter)
		if err != nil {
			return err
		}
		if !filter.Oldest {
			slices.Reverse(page.Records)
		}
		if len(page.Records) > 0 || wait == 0 {
			return writeRuns(w, page)
		}
		select {
		case <-changed:
		case <-over.C:
			return writeRuns(w, page)
		case <-ctx.Done():
			return faas.Errorf(faas.CodeCancelled, "", "the caller went away")
		}
	}
}

// runs answers runs of a project without logs, the newest first.
func (f face) runs(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	filter := faas.RecordFilter{Project: project, Name: query.Get("function"), Version: query.Get("version"), Source: query.Get("source")}
	if filter.Name != "" {
		filter.Package = cmp.Or(query.Get("package"), faas.DefaultPackage)
	}
	if filter.Before, err = number(r, "before", 0, 1<<62); err != nil {
		return err
	}
	limit, err := number(r, "limit", defaultRuns, maxRuns)
	if err != nil {
		return err
	}
	filter.Limit = int(max(limit, 1))
	switch status := query.Get("status"); {
	case status == "" || status == "any":
	case status == "ok":
		filter.Succeeded = true
	case status == "failed":
		filter.Failed = true
	case slices.Contains(faas.Codes, faas.Code(status)):
		filter.Code = faas.Code(status)
	default:
		return faas.Errorf(faas.CodeInvalid, "status", "status %.40q must be ok, failed, or one of %v", status, faas.Codes)
	}
	for name, to := range map[string]*time.Time{"from": &filter.From, "to": &filter.To} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		if *to, err = time.Parse(time.RFC3339, text); err != nil {
			return faas.Errorf(faas.CodeInvalid, name, "%s %.40q must be a time like 2006-01-02T15:04:05Z", name, text)
		}
	}
	page, err := f.cfg.Runs.List(r.Context(), filter)
	if err != nil {
		return err
	}
	return writeRuns(w, page)
}

// showRun answers all attempts at one call, whole.
func (f face) showRun(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	found, err := f.cfg.Runs.ByID(r.Context(), project, r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeRuns(w, faas.RecordPage{Records: found})
}

// replayRun runs a call again, with the version and the event of its last attempt, and waits for it.
func (f face) replayRun(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	project, err := f.enter(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	found, err := f.cfg.Runs.ByID(ctx, project, r.PathValue("id"))
	if err != nil {
		return err
	}
	last := &found[len(found)-1]
	answer := replayAnswer{ID: httpkit.RequestIDOf(ctx), Of: last.ID, Status: "ok"}
	res, err := f.cfg.Invoker.Replay(ctx, last, answer.ID)
	if err != nil {
		return err
	}
	answer.Output = string(res.Output)
	answer.CodeChanged = last.Digest != "" && res.Digest != last.Digest
	if res.Failure != nil {
		answer.Status, answer.Type, answer.Output = string(res.Failure.Code), res.Failure.Type, res.Failure.Message
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func writeRuns(w http.ResponseWriter, page faas.RecordPage) error {
	answer := runPage{Runs: make([]run, 0, len(page.Records)), Next: page.Next}
	for i := range page.Records {
		answer.Runs = append(answer.Runs, fromRecord(&page.Records[i]))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func fromRecord(r *faas.Record) run {
	out := run{
		Seq: r.Seq, ID: r.ID, Package: r.Key.Package, Function: r.Key.Name, Version: r.Key.Version, Alias: r.Alias, Source: r.Source,
		Parent: r.Parent, Attempt: r.Attempt, Accepted: r.Accepted, Begun: r.Begun, TookMS: ms(r.Took), QueuedMS: ms(r.Queued),
		InitMS: ms(r.Init), RunMS: ms(r.Run), Cold: r.Cold, MemoryPeak: r.MemoryPeak, MemoryMB: r.MemoryMB,
		Status: cmp.Or(string(r.Code), "ok"), Type: r.Type, Message: r.Message, Stack: append([]string{}, r.Stack...), Digest: r.Digest,
		EventSize: r.EventSize, EventSHA256: r.EventDigest, ResultSize: r.ResultSize, Logs: make([]logLine, 0, len(r.Logs)), Dropped: r.Dropped,
	}
	if r.Event != nil {
		event := string(r.Event)
		out.Event = &event
	}
	for _, l := range r.Logs {
		out.Logs = append(out.Logs, logLine{l.Time, l.Level, l.Text})
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
