package functiongraph

import (
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// snapshotAnswer is QueryFuncSnapshotResponseBody (reference 1.8). The vendor documents no values but "enable"; code is ours.
type snapshotAnswer struct {
	State string `json:"state"` // enable or disable
	Code  string `json:"code"`  // ready: an instance waits; preparing: it is on its way; "" while switched off
}

// instancesAnswer is ShowFuncReservedInstanceMetricsResponseBody.
type instancesAnswer struct {
	Instances []slaValue `json:"instanceNum"`
	Reserved  []slaValue `json:"reservedInstanceNum"`
}

// snapshotRoutes lists the operations on snapshots, and the one on instances as they are now, of reference 1.8.
func (a *api) snapshotRoutes() []httpkit.Route {
	const function = "/v2/{project_id}/fgs/functions/{function_urn}"
	return []httpkit.Route{
		{Method: http.MethodPost, Path: function + "/snapshots/{action}", Operation: "UpdateFuncSnapshot", Handle: a.updateSnapshot},
		{Method: http.MethodGet, Path: function + "/snapshots/{action}", Operation: "ShowFuncSnapshotState", Handle: a.showSnapshot},
		{Method: http.MethodGet, Path: function + "/instancereports", Operation: "ShowFuncReservedInstanceMetrics", Handle: a.showInstances},
	}
}

func (a *api) updateSnapshot(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	action := r.PathValue("action")
	if action != "enable" && action != "disable" {
		return faas.Errorf(faas.CodeInvalid, "action", "action %.40q must be enable or disable", action)
	}
	if _, err := a.Functions.SetSnapshot(r.Context(), project, urn, action == "enable"); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) showSnapshot(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	if action := r.PathValue("action"); action != "state" && action != "enableSnapshot" {
		return faas.Errorf(faas.CodeInvalid, "action", "action %.40q must be state or enableSnapshot", action)
	}
	f, err := a.Functions.Get(r.Context(), project, urn)
	if err != nil {
		return err
	}
	answer := snapshotAnswer{State: "disable"}
	if f.Spec.Snapshot {
		answer = snapshotAnswer{State: "enable", Code: "preparing"}
		if all, _ := a.Instances.Instances(f.Key()); all > 0 {
			answer.Code = "ready"
		}
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// showInstances tells how many instances there are now: of one version, where the URN names one, else of all.
func (a *api) showInstances(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	for _, name := range []string{"marker", "limit"} {
		if _, err := queryNumber(name, query.Get(name)); err != nil {
			return err
		}
	}
	f, err := a.Functions.Get(r.Context(), project, urn)
	if err != nil {
		return err
	}
	key := f.Key()
	if !urn.Qualified() {
		key.Version = ""
	}
	all, reserved := a.Instances.Instances(key)
	at := a.now().UnixMilli()
	return httpkit.WriteJSON(w, http.StatusOK, instancesAnswer{[]slaValue{{at, float64(all)}}, []slaValue{{at, float64(reserved)}}})
}
