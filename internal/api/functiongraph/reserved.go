package functiongraph

import (
	"net/http"
	"strconv"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// reservedRequest is UpdateFunctionReservedInstancesCountRequestBody (reference 1.8).
type reservedRequest struct {
	Count    *int     `json:"count"`
	IdleMode bool     `json:"idle_mode"`
	Tactics  *tactics `json:"tactics_config"`
}

// tactics is TacticsConfig.
type tactics struct {
	Cron   []cronConfig   `json:"cron_configs,omitempty"`
	Metric []metricConfig `json:"metric_configs,omitempty"`
}

// cronConfig is CronConfig. Times are seconds since 1970, 0 for none.
type cronConfig struct {
	Name        string `json:"name"`
	Cron        string `json:"cron"`
	Count       int    `json:"count"`
	StartTime   int64  `json:"start_time,omitempty"`
	ExpiredTime int64  `json:"expired_time,omitempty"`
}

// metricConfig is MetricConfig.
type metricConfig struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Threshold int    `json:"threshold"`
	Min       int    `json:"min"`
}

// metricConcurrency is the one metric that there is: the share of their calls that reserved instances have.
const metricConcurrency = "Concurrency"

func (t *tactics) read() (*faas.Tactics, error) {
	if t == nil {
		return nil, nil
	}
	out := &faas.Tactics{}
	for _, c := range t.Cron {
		if c.StartTime < 0 || c.ExpiredTime < 0 {
			return nil, faas.Errorf(faas.CodeInvalid, "tactics_config", "start_time and expired_time are seconds since 1970")
		}
		out.Schedules = append(out.Schedules, faas.ReservedSchedule{
			Name: c.Name, Cron: c.Cron, Count: c.Count, From: secondsOrNone(c.StartTime), Until: secondsOrNone(c.ExpiredTime),
		})
	}
	for _, m := range t.Metric {
		if m.Type != metricConcurrency {
			return nil, faas.Errorf(faas.CodeInvalid, "tactics_config", "type %.40q of policy %.80q must be %s", m.Type, m.Name, metricConcurrency)
		}
		out.Metrics = append(out.Metrics, faas.ReservedMetric{Name: m.Name, Threshold: m.Threshold, Min: m.Min})
	}
	return out, nil
}

func toTactics(t *faas.Tactics) tactics {
	var out tactics
	if t == nil {
		return out
	}
	for _, s := range t.Schedules {
		c := cronConfig{Name: s.Name, Cron: s.Cron, Count: s.Count}
		if !s.From.IsZero() {
			c.StartTime = s.From.Unix()
		}
		if !s.Until.IsZero() {
			c.ExpiredTime = s.Until.Unix()
		}
		out.Cron = append(out.Cron, c)
	}
	for _, m := range t.Metrics {
		out.Metric = append(out.Metric, metricConfig{m.Name, metricConcurrency, m.Threshold, m.Min})
	}
	return out
}

func secondsOrNone(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// reservedCountAnswer is UpdateFunctionReservedInstancesResponseBody.
type reservedCountAnswer struct {
	Count    int     `json:"count"`
	IdleMode bool    `json:"idle_mode"`
	Tactics  tactics `json:"tactics_config"`
}

// reservedConfigsAnswer is ListReservedInstanceConfigsResponseBody.
type reservedConfigsAnswer struct {
	Reserved []reservedConfig `json:"reserved_instances"`
	PageInfo pageInfo         `json:"page_info"`
	Count    int              `json:"count"`
}

// reservedConfig is ReservedInstanceConfigs.
type reservedConfig struct {
	FunctionURN   string  `json:"function_urn"`
	QualifierType string  `json:"qualifier_type"`
	QualifierName string  `json:"qualifier_name"`
	MinCount      int     `json:"min_count"`
	IdleMode      bool    `json:"idle_mode"`
	Tactics       tactics `json:"tactics_config"`
}

// reservedListAnswer is ListFunctionReservedInstancesResponseBody.
type reservedListAnswer struct {
	Reserved []reservedCount `json:"reservedinstances"`
	PageInfo pageInfo        `json:"page_info"`
	Count    int             `json:"count"`
}

// reservedCount is FuncReservedInstance.
type reservedCount struct {
	FuncURN string `json:"func_urn"`
	Count   int    `json:"count"`
}

// updateReserved sets how many instances are reserved, and what changes their number.
func (a *api) updateReserved(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var body reservedRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body); err != nil {
		return err
	}
	if body.Count == nil {
		return faas.Errorf(faas.CodeInvalid, "count", "count must be given")
	}
	tactics, err := body.Tactics.read()
	if err != nil {
		return err
	}
	f, err := a.Functions.Reserve(r.Context(), project, urn, control.Reservation{Count: *body.Count, Idle: body.IdleMode, Tactics: tactics})
	if err != nil {
		return err
	}
	answer := reservedCountAnswer{Count: f.Spec.Reserved, IdleMode: f.Spec.ReservedIdle, Tactics: toTactics(f.Spec.Tactics)}
	if urn.Alias != "" {
		answer = reservedCountAnswer{}
		if by := f.Spec.AliasReserve; by != nil {
			answer = reservedCountAnswer{Count: by.Count, IdleMode: by.Idle, Tactics: toTactics(by.Tactics)}
		}
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) listReservedConfigs(w http.ResponseWriter, r *http.Request) error {
	found, page, err := a.reserved(r, "function_urn", 100)
	if err != nil {
		return err
	}
	answer := reservedConfigsAnswer{Reserved: []reservedConfig{}, PageInfo: page, Count: len(found)}
	for _, f := range found[page.PreviousMarker : page.PreviousMarker+page.CurrentCount] {
		answer.Reserved = append(answer.Reserved, reservedConfig{
			FunctionURN: f.urn.String(), QualifierType: f.kind, QualifierName: f.name, MinCount: f.count, IdleMode: f.idle, Tactics: toTactics(f.tactics),
		})
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) listReserved(w http.ResponseWriter, r *http.Request) error {
	found, page, err := a.reserved(r, "urn", 400)
	if err != nil {
		return err
	}
	answer := reservedListAnswer{Reserved: []reservedCount{}, PageInfo: page, Count: len(found)}
	for _, f := range found[page.PreviousMarker : page.PreviousMarker+page.CurrentCount] {
		one := reservedCount{FuncURN: f.urn.String(), Count: f.count}
		if !f.tactics.Empty() { // the number of now
			_, one.Count = a.Instances.Instances(f.key)
		}
		answer.Reserved = append(answer.Reserved, one)
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// reserved finds what a listing asks for, and which part of it is the page. PreviousMarker is where the page begins.
func (a *api) reserved(r *http.Request, name string, most int) ([]reservation, pageInfo, error) {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return nil, pageInfo{}, err
	}
	query := r.URL.Query()
	var urn *faas.URN
	if text := query.Get(name); text != "" {
		one, err := faas.ParseURN(text)
		if err != nil {
			return nil, pageInfo{}, err
		}
		if one.Version == faas.Latest { // Terraform names a function so, and means all of it
			one.Version = ""
		}
		urn = &one
	}
	begin, err := queryNumber("marker", query.Get("marker"))
	if err != nil {
		return nil, pageInfo{}, err
	}
	limit := most
	if text := query.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > 500 {
			return nil, pageInfo{}, faas.Errorf(faas.CodeInvalid, "limit", "limit %.40q must be 1 to 500", text)
		}
	}
	versions, err := a.Functions.Reserved(r.Context(), project, urn)
	found := a.reservations(versions, urn)
	from := min(int(begin), len(found))
	n := min(limit, len(found)-from)
	return found, pageInfo{NextMarker: int64(from + n), PreviousMarker: int64(from), CurrentCount: int64(n)}, err
}

// reservation is what a version or an alias keeps loaded.
type reservation struct {
	urn        faas.URN
	key        faas.FunctionKey // of the version
	kind, name string           // "version" or "alias", and which
	count      int
	idle       bool
	tactics    *faas.Tactics
}

// reservations parts what versions keep loaded by who asked for it: their owner, or an alias. Where urn names one of them, the others are
// left out.
func (a *api) reservations(versions []*faas.Function, urn *faas.URN) (all []reservation) {
	for _, f := range versions {
		at := f.URN(a.Functions.Region())
		if (f.Spec.Reserved > 0 || !f.Spec.Tactics.Empty()) && (urn == nil || urn.Alias == "") {
			all = append(all, reservation{at, f.Key(), "version", f.Version, f.Spec.Reserved, f.Spec.ReservedIdle, f.Spec.Tactics})
		}
		if by := f.Spec.AliasReserve; by != nil && (urn == nil || urn.Version == "" && (urn.Alias == "" || urn.Alias == by.Alias)) {
			at.Version, at.Alias = "", by.Alias
			all = append(all, reservation{at, f.Key(), "alias", by.Alias, by.Count, by.Idle, by.Tactics})
		}
	}
	return all
}
