package functiongraph

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// reservedRequest is UpdateFunctionReservedInstancesCountRequestBody (reference 1.8).
type reservedRequest struct {
	Count    *int            `json:"count"`
	IdleMode bool            `json:"idle_mode"`
	Tactics  json.RawMessage `json:"tactics_config"`
}

// reservedCountAnswer is UpdateFunctionReservedInstancesResponseBody.
type reservedCountAnswer struct {
	Count    int      `json:"count"`
	IdleMode bool     `json:"idle_mode"`
	Tactics  struct{} `json:"tactics_config"`
}

// reservedConfigsAnswer is ListReservedInstanceConfigsResponseBody.
type reservedConfigsAnswer struct {
	Reserved []reservedConfig `json:"reserved_instances"`
	PageInfo pageInfo         `json:"page_info"`
	Count    int              `json:"count"`
}

// reservedConfig is ReservedInstanceConfigs.
type reservedConfig struct {
	FunctionURN   string   `json:"function_urn"`
	QualifierType string   `json:"qualifier_type"`
	QualifierName string   `json:"qualifier_name"`
	MinCount      int      `json:"min_count"`
	IdleMode      bool     `json:"idle_mode"`
	Tactics       struct{} `json:"tactics_config"`
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

// updateReserved sets how many instances are reserved. A schedule of their number is refused, and not kept without effect.
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
	if !noTactics(body.Tactics) {
		return faas.Errorf(faas.CodeUnsupported, "tactics_config", "reserved instances by schedule or by metric are not supported here; leave tactics_config out")
	}
	f, err := a.Functions.Reserve(r.Context(), project, urn, *body.Count, body.IdleMode)
	if err != nil {
		return err
	}
	answer := reservedCountAnswer{Count: f.Spec.Reserved, IdleMode: f.Spec.ReservedIdle}
	if urn.Alias != "" {
		answer = reservedCountAnswer{}
		if by := f.Spec.AliasReserve; by != nil {
			answer = reservedCountAnswer{Count: by.Count, IdleMode: by.Idle}
		}
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// noTactics tells of a tactics_config that asks for nothing, as clients send it.
func noTactics(raw json.RawMessage) bool {
	var tactics struct {
		Cron   []json.RawMessage `json:"cron_configs"`
		Metric []json.RawMessage `json:"metric_configs"`
	}
	return len(raw) == 0 || json.Unmarshal(raw, &tactics) == nil && len(tactics.Cron) == 0 && len(tactics.Metric) == 0
}

func (a *api) listReservedConfigs(w http.ResponseWriter, r *http.Request) error {
	found, page, err := a.reserved(r, "function_urn", 100)
	if err != nil {
		return err
	}
	answer := reservedConfigsAnswer{Reserved: []reservedConfig{}, PageInfo: page, Count: len(found)}
	for _, f := range found[page.PreviousMarker : page.PreviousMarker+page.CurrentCount] {
		answer.Reserved = append(answer.Reserved, reservedConfig{
			FunctionURN: f.urn.String(), QualifierType: f.kind, QualifierName: f.name, MinCount: f.count, IdleMode: f.idle,
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
		answer.Reserved = append(answer.Reserved, reservedCount{FuncURN: f.urn.String(), Count: f.count})
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
	kind, name string // "version" or "alias", and which
	count      int
	idle       bool
}

// reservations parts what versions keep loaded by who asked for it: their owner, or an alias. Where urn names one of them, the others are
// left out.
func (a *api) reservations(versions []*faas.Function, urn *faas.URN) (all []reservation) {
	for _, f := range versions {
		at := f.URN(a.Functions.Region())
		if f.Spec.Reserved > 0 && (urn == nil || urn.Alias == "") {
			all = append(all, reservation{at, "version", f.Version, f.Spec.Reserved, f.Spec.ReservedIdle})
		}
		if by := f.Spec.AliasReserve; by != nil && (urn == nil || urn.Version == "" && (urn.Alias == "" || urn.Alias == by.Alias)) {
			at.Version, at.Alias = "", by.Alias
			all = append(all, reservation{at, "alias", by.Alias, by.Count, by.Idle})
		}
	}
	return all
}
