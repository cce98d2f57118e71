package functiongraph

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Tallies sums what calls did; record.Store is one.
type Tallies interface {
	Tally(ctx context.Context, f faas.TallyFilter) ([]faas.TallyPoint, error)
	TallyByFunction(ctx context.Context, f faas.TallyFilter) (map[faas.FunctionKey]faas.Tally, error)
}

// Instances counts those that are up now, of a version or of all (Version ""); pool.Pool is one.
type Instances interface {
	Instances(key faas.FunctionKey) (all, reserved int)
}

// slaValue is SlaReportsValue: milliseconds since 1970, and -1 where nothing was measured.
type slaValue struct {
	Timestamp int64   `json:"timestamp"`
	Value     float64 `json:"value"`
}

// statisticsAnswer is ListFunctionStatisticsResponseBody. All lists have the same times.
type statisticsAnswer struct {
	Count          []slaValue `json:"count"`
	Fail           []slaValue `json:"fail_count"`
	FunctionErrors []slaValue `json:"function_error_count"`
	SystemErrors   []slaValue `json:"system_error_count"`
	Rejects        []slaValue `json:"reject_count"`
	Duration       []slaValue `json:"duration"` // mean time in the handler, milliseconds
	MaxDuration    []slaValue `json:"max_duration"`
	MinDuration    []slaValue `json:"min_duration"`
	Concurrency    []slaValue `json:"concurrency_num"` // calls under way, on average, by those that ended in the span
	Reserved       []slaValue `json:"reserved_instance_num"`
}

// metricsAnswer is ShowFunctionMetricsResponseBody.
type metricsAnswer struct {
	statisticsAnswer
	Instances []slaValue `json:"instance_num"`
}

// reportAnswer is ListFunctionAsMetricResponseBody.
type reportAnswer struct {
	Values     []functionMetric `json:"values"`
	NextMarker int64            `json:"next_marker"`
	Count      int64            `json:"count"` // of all that could be listed
}

type functionMetric struct {
	Key   string `json:"key"`
	Value int32  `json:"value"`
}

// monthAnswer is ListStatisticsResponseBody.
type monthAnswer struct {
	Count      []monthUsed      `json:"count"`
	GBs        []monthUsed      `json:"gbs"`
	GPUGBs     []monthUsed      `json:"gpu_gbs"`
	Statistics statisticsAnswer `json:"statistics"`
}

// monthUsed is MonthUsed: one day.
type monthUsed struct {
	Date  string  `json:"date"`
	Value float64 `json:"value"`
}

const (
	maxPeriod     = 30 * 24 * 60 // minutes
	minutePeriod  = 24 * 60      // up to which there is a point for each minute, and not for each hour
	defaultPeriod = 60
	maxReport     = 31 * 24 * time.Hour
)

func (a *api) statisticsRoutes(functions, function string) []httpkit.Route {
	return []httpkit.Route{
		{Method: http.MethodGet, Path: "/v2/{project_id}/fgs/function/report", Operation: "ListFunctionAsMetric", Handle: a.listFunctionAsMetric},
		{Method: http.MethodGet, Path: functions + "/statistics", Operation: "ListStatistics", Handle: a.listStatistics},
		{Method: http.MethodGet, Path: function + "/statistics/{period}", Operation: "ListFunctionStatistics", Handle: a.listFunctionStatistics},
		{Method: http.MethodGet, Path: function + "/slareports/{period}", Operation: "ShowFunctionMetrics", Handle: a.showFunctionMetrics},
		{Method: http.MethodGet, Path: function + "/lts-log-detail", Operation: "ShowLtsLogDetails", Handle: a.showLtsLogDetails},
		{Method: http.MethodPost, Path: functions + "/enable-lts-logs", Operation: "EnableLtsLogs", Handle: a.enableLtsLogs},
	}
}

func (a *api) now() time.Time {
	if a.Now != nil {
		return a.Now().UTC()
	}
	return time.Now().UTC()
}

// ofFunction is target for statistics: a URN without a version means all of them, and one with an alias the calls that came through
// it. runs is whose instances are meant: those of the alias's main version.
func (a *api) ofFunction(r *http.Request) (key, runs faas.FunctionKey, err error) {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return key, runs, err
	}
	f, err := a.Functions.Get(r.Context(), project, urn)
	if err != nil {
		return key, runs, err
	}
	key, runs = f.Key(), f.Key()
	switch {
	case urn.Alias != "":
		key.Version = faas.Qualifier("", urn.Alias)
	case urn.Version == "":
		key.Version, runs.Version = "", ""
	}
	return key, runs, nil
}

func (a *api) listFunctionStatistics(w http.ResponseWriter, r *http.Request) error {
	key, _, err := a.ofFunction(r)
	if err != nil {
		return err
	}
	answer, err := a.statistics(r.Context(), key, r.PathValue("period"))
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) showFunctionMetrics(w http.ResponseWriter, r *http.Request) error {
	key, runs, err := a.ofFunction(r)
	if err != nil {
		return err
	}
	sums, err := a.statistics(r.Context(), key, r.PathValue("period"))
	if err != nil {
		return err
	}
	answer := metricsAnswer{statisticsAnswer: sums, Instances: slices.Clone(sums.Reserved)}
	all, reserved := a.Instances.Instances(runs)
	if n := len(answer.Instances); n > 0 {
		answer.Instances[n-1].Value, answer.Reserved[n-1].Value = float64(all), float64(reserved)
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// statistics gives the last minutes of a function, or of a project where the key has no name. Instances are known of now only.
func (a *api) statistics(ctx context.Context, key faas.FunctionKey, period string) (statisticsAnswer, error) {
	minutes, err := strconv.Atoi(cmp.Or(period, strconv.Itoa(defaultPeriod)))
	if err != nil || minutes < 1 || minutes > maxPeriod {
		return statisticsAnswer{}, faas.Errorf(faas.CodeInvalid, "period", "period %.40q must be 1 to %d minutes", period, maxPeriod)
	}
	step, steps := time.Minute, minutes
	if minutes > minutePeriod {
		step, steps = time.Hour, (minutes+59)/60
	}
	last := a.now().Truncate(step)
	from := last.Add(-time.Duration(steps-1) * step)
	points, err := a.Tallies.Tally(ctx, faas.TallyFilter{
		Project: key.Project, Package: key.Package, Name: key.Name, Version: key.Version, From: from, To: last.Add(step), Hours: step == time.Hour,
	})
	if err != nil {
		return statisticsAnswer{}, err
	}
	return toStatistics(points, from, step, steps), nil
}

func toStatistics(points []faas.TallyPoint, from time.Time, step time.Duration, steps int) statisticsAnswer {
	empty := func() []slaValue { return make([]slaValue, 0, steps) }
	s := statisticsAnswer{
		Count: empty(), Fail: empty(), FunctionErrors: empty(), SystemErrors: empty(), Rejects: empty(), Duration: empty(),
		MaxDuration: empty(), MinDuration: empty(), Concurrency: empty(), Reserved: empty(),
	}
	for at := from; steps > 0; at, steps = at.Add(step), steps-1 {
		var t *faas.Tally
		for len(points) > 0 && points[0].At.Before(at) {
			points = points[1:]
		}
		if len(points) > 0 && points[0].At.Equal(at) {
			t = &points[0].Tally
		}
		add := func(to *[]slaValue, value func() float64) {
			v := slaValue{Timestamp: at.UnixMilli(), Value: -1}
			if t != nil {
				v.Value = math.Round(value()*1000) / 1000
			}
			*to = append(*to, v)
		}
		milli := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		add(&s.Count, func() float64 { return float64(t.Count) })
		add(&s.Fail, func() float64 { return float64(t.Failed()) })
		add(&s.FunctionErrors, func() float64 { return float64(t.FunctionErrors) })
		add(&s.SystemErrors, func() float64 { return float64(t.SystemErrors) })
		add(&s.Rejects, func() float64 { return float64(t.Rejects) })
		add(&s.Duration, func() float64 { return milli(t.Run) / float64(t.Count) })
		add(&s.MaxDuration, func() float64 { return milli(t.MaxRun) })
		add(&s.MinDuration, func() float64 { return milli(t.MinRun) })
		add(&s.Concurrency, func() float64 { return float64(t.Took) / float64(step) })
		s.Reserved = append(s.Reserved, slaValue{at.UnixMilli(), -1})
	}
	return s
}

// listStatistics answers the statistics of a whole project, or its use by day of the months that "option" names.
func (a *api) listStatistics(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	limit, marker, err := readPage(query.Get("limit"), query.Get("marker"), 100)
	if err != nil {
		return err
	}
	answer := monthAnswer{Count: []monthUsed{}, GBs: []monthUsed{}, GPUGBs: []monthUsed{}, Statistics: toStatistics(nil, time.Time{}, time.Minute, 0)}
	switch filter := query.Get("filter"); filter {
	case "monitor_data", "metric":
		answer.Statistics, err = a.statistics(r.Context(), faas.FunctionKey{Project: project}, query.Get("period"))
	case "monthly_report":
		err = a.monthly(r.Context(), project, query.Get("option"), marker, limit, &answer)
	default:
		err = faas.Errorf(faas.CodeInvalid, "filter", "filter %.40q must be monitor_data or monthly_report", filter)
	}
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// readPage reads how many rows are wanted, from which one on.
func readPage(limit, marker string, most int) (n, from int, err error) {
	n = most
	if limit != "" {
		if n, err = strconv.Atoi(limit); err != nil || n < 1 || n > 500 {
			return 0, 0, faas.Errorf(faas.CodeInvalid, "limit", "limit %.40q must be 1 to 500", limit)
		}
	}
	begin, err := queryNumber("marker", marker)
	return n, int(min(begin, math.MaxInt32)), err
}

// monthly adds a row for each day (UTC) of the months meant, up to today. There are no GPUs, and so no use of them.
func (a *api) monthly(ctx context.Context, project, option string, marker, limit int, answer *monthAnswer) error {
	now := a.now()
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	from, to := month, now
	switch option {
	case "1":
		from, to = month.AddDate(0, -1, 0), month
	case "2":
		from = month.AddDate(0, -2, 0)
	case "3":
		from = month.AddDate(0, -5, 0)
	}
	points, err := a.Tallies.Tally(ctx, faas.TallyFilter{Project: project, From: from, To: to, Hours: true})
	if err != nil {
		return err
	}
	for day, i := from, 0; day.Before(to); day, i = day.AddDate(0, 0, 1), i+1 {
		var sum faas.Tally
		for len(points) > 0 && points[0].At.Before(day.AddDate(0, 0, 1)) {
			sum.Add(points[0].Tally)
			points = points[1:]
		}
		if i < marker || i >= marker+limit {
			continue
		}
		date := day.Format(time.DateOnly)
		answer.Count = append(answer.Count, monthUsed{date, float64(sum.Count)})
		answer.GBs = append(answer.GBs, monthUsed{date, float64(sum.MBMillis) / 1024 / 1000})
		answer.GPUGBs = append(answer.GPUGBs, monthUsed{date, 0})
	}
	return nil
}

// listFunctionAsMetric answers the functions that failed most, within the last day unless times (seconds since 1970) are given.
func (a *api) listFunctionAsMetric(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	if kind := query.Get("type"); kind != "" && kind != "failcount" {
		return faas.Errorf(faas.CodeInvalid, "type", "type %.40q must be failcount", kind)
	}
	limit, _, err := readPage(query.Get("limit"), "", 10)
	if err != nil {
		return err
	}
	to := a.now()
	if text := query.Get("end_time"); text != "" {
		seconds, err := queryNumber("end_time", text)
		if err != nil {
			return err
		}
		to = time.Unix(min(seconds, to.Unix()), 0)
	}
	from := to.Add(-24 * time.Hour)
	if text := query.Get("start_time"); text != "" {
		seconds, err := queryNumber("start_time", text)
		if err != nil {
			return err
		}
		from = time.Unix(min(seconds, to.Unix()), 0)
	}
	if to.Sub(from) > maxReport {
		return faas.Errorf(faas.CodeInvalid, "start_time", "start_time and end_time may lie 31 days apart, in seconds since 1970")
	}
	sums, err := a.Tallies.TallyByFunction(r.Context(), faas.TallyFilter{Project: project, From: from, To: to, Hours: to.Sub(from) > 24*time.Hour})
	if err != nil {
		return err
	}
	answer := reportAnswer{Values: []functionMetric{}}
	for key, sum := range sums {
		if failed := sum.Failed(); failed > 0 {
			urn := faas.URN{Region: a.Functions.Region(), Project: project, Package: key.Package, Name: key.Name, Version: faas.Latest}
			answer.Values = append(answer.Values, functionMetric{urn.String(), int32(min(failed, math.MaxInt32))})
		}
	}
	slices.SortFunc(answer.Values, func(a, b functionMetric) int { return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Key, b.Key)) })
	answer.Count = int64(len(answer.Values))
	answer.Values = answer.Values[:min(limit, len(answer.Values))]
	answer.NextMarker = int64(len(answer.Values))
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// showLtsLogDetails names where a function's log is: with its records, on this server. Names that its owner has set are given back in their
// place, as Terraform compares them with what it sent.
func (a *api) showLtsLogDetails(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	f, err := a.Functions.Get(r.Context(), project, urn)
	if err != nil {
		return err
	}
	name, set := f.Package+"_"+f.Name, f.Spec.Carried["log_config"]
	return httpkit.WriteJSON(w, http.StatusOK, asyncLogAnswer{
		GroupName: cmp.Or(part(set, "group_name"), "hanshu"), GroupID: cmp.Or(part(set, "group_id"), project),
		StreamName: cmp.Or(part(set, "stream_name"), name), StreamID: cmp.Or(part(set, "stream_id"), project+"_"+name),
	})
}

// enableLtsLogs has nothing to do: logs are always kept.
func (a *api) enableLtsLogs(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.enter(r, auth.ActionWrite); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
