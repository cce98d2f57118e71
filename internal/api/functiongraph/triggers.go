package functiongraph

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// triggerRequest is CreateFunctionTriggerRequestBody and UpdateTriggerRequestBody (reference 1.5).
type triggerRequest struct {
	TypeCode      string          `json:"trigger_type_code"`
	EventTypeCode string          `json:"event_type_code"`
	Status        *string         `json:"trigger_status"`
	EventData     json.RawMessage `json:"event_data"`
}

// triggerAnswer is CreateFunctionTriggerResponseBody, ShowFunctionTriggerResponseBody and ListFunctionTriggerResult.
type triggerAnswer struct {
	ID          string         `json:"trigger_id"`
	TypeCode    string         `json:"trigger_type_code"`
	Status      string         `json:"trigger_status"`
	EventData   map[string]any `json:"event_data"`
	CreatedTime string         `json:"created_time"`
	UpdatedTime string         `json:"last_updated_time"`
	FuncURN     string         `json:"func_urn,omitempty"`   // in the list of a project only
	InvokeURL   string         `json:"invoke_url,omitempty"` // ours: where its events are posted to
	LastError   string         `json:"last_error,omitempty"` // ours: why this server does not reach its broker
}

// The states of a trigger.
const (
	statusActive   = "ACTIVE"
	statusDisabled = "DISABLED"
)

// Names of what is shown of a trigger beside its event data: its address, and why it does not listen.
const (
	invokeURL = "invoke_url"
	lastError = "last_error"
)

// triggerRoutes lists the operations of reference 1.5, and two of 1.16 that Terraform's data sources use.
func (a *api) triggerRoutes() []httpkit.Route {
	const project = "/v2/{project_id}/fgs"
	const triggers = project + "/triggers/{function_urn}"
	const trigger = triggers + "/{trigger_type_code}/{trigger_id}"
	return []httpkit.Route{
		{Method: http.MethodPost, Path: triggers, Operation: "CreateFunctionTrigger", Handle: a.createTrigger},
		{Method: http.MethodGet, Path: triggers, Operation: "ListFunctionTriggers", Handle: a.listTriggers},
		{Method: http.MethodGet, Path: trigger, Operation: "ShowFunctionTrigger", Handle: a.showTrigger},
		{Method: http.MethodPut, Path: trigger, Operation: "UpdateTrigger", Handle: a.updateTrigger},
		{Method: http.MethodDelete, Path: trigger, Operation: "DeleteFunctionTrigger", Handle: a.deleteTrigger},
		{Method: http.MethodDelete, Path: triggers, Operation: "BatchDeleteFunctionTriggers", Handle: a.deleteTriggers},
		{Method: http.MethodGet, Path: project + "/triggers", Operation: "ListTriggers", Handle: a.listAllTriggers},
		{Method: http.MethodGet, Path: project + "/triggertypes", Operation: "ListTriggerTypes", Handle: a.listTriggerTypes},
	}
}

func (a *api) createTrigger(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var q triggerRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	n := control.NewTrigger{Kind: q.TypeCode}
	if n.Active, err = q.active(); err != nil {
		return err
	}
	if n.Data, err = eventObject(q.EventData); err != nil {
		return err
	}
	t, err := a.Triggers.Create(r.Context(), project, urn, n)
	if err != nil {
		return err
	}
	httpkit.Concerns(r.Context(), "trigger "+t.ID)
	return httpkit.WriteJSON(w, http.StatusCreated, toTrigger(t))
}

// active reads the state; nil where none is named.
func (q *triggerRequest) active() (*bool, error) {
	if q.Status == nil || *q.Status == "" {
		return nil, nil
	}
	active := *q.Status == statusActive
	if !active && *q.Status != statusDisabled {
		return nil, faas.Errorf(faas.CodeInvalid, "trigger_status", "trigger_status %.40q must be ACTIVE or DISABLED", *q.Status)
	}
	return &active, nil
}

// eventObject reads event_data with its numbers as they are written; an empty object where it is missing.
func eventObject(raw json.RawMessage) (map[string]any, error) {
	data := map[string]any{}
	if len(raw) == 0 || string(raw) == "null" {
		return data, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&data); err != nil {
		return nil, faas.Errorf(faas.CodeInvalid, "event_data", "event_data must be an object")
	}
	return data, nil
}

// toTrigger gives event data as it was sent, or Terraform's next plan would find a change. So what is ours stands beside it, but for
// the address of routes: there the vendor's answer has it inside (reference 4.1).
func toTrigger(t control.TriggerView) triggerAnswer {
	answer := triggerAnswer{
		ID: t.ID, TypeCode: t.Kind, Status: statusDisabled,
		CreatedTime: t.CreatedAt.UTC().Format(time.RFC3339), UpdatedTime: t.ModifiedAt.UTC().Format(time.RFC3339),
	}
	if t.Active {
		answer.Status = statusActive
	}
	answer.InvokeURL, _ = t.Shown[invokeURL].(string)
	answer.LastError, _ = t.Shown[lastError].(string)
	answer.EventData = maps.Clone(t.Shown)
	delete(answer.EventData, lastError)
	if _, route := t.Shown["api_id"]; !route {
		delete(answer.EventData, invokeURL)
	}
	return answer
}

func (a *api) listTriggers(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	found, err := a.Triggers.List(r.Context(), project, urn)
	if err != nil {
		return err
	}
	answer := make([]triggerAnswer, 0, len(found))
	for _, t := range found {
		answer = append(answer, toTrigger(t))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) showTrigger(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	t, err := a.Triggers.Get(r.Context(), project, urn, r.PathValue("trigger_type_code"), r.PathValue("trigger_id"))
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, toTrigger(t))
}

// updateTrigger takes event_data in both of its shapes: a list of objects, as the SDK sends some fields to be changed, and one
// object, as Terraform sends all of them.
func (a *api) updateTrigger(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var q triggerRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	var u control.TriggerUpdate
	if u.Active, err = q.active(); err != nil {
		return err
	}
	switch raw := bytes.TrimSpace(q.EventData); {
	case len(raw) == 0 || string(raw) == "null":
	case raw[0] == '[':
		u.Merge, err = eventList(raw)
	default:
		u.Data, err = eventObject(raw)
	}
	if err != nil {
		return err
	}
	kind := r.PathValue("trigger_type_code")
	if q.TypeCode != "" && q.TypeCode != kind {
		return faas.Errorf(faas.CodeInvalid, "trigger_type_code", "trigger_type_code %.40q is not that of the path, and a trigger cannot change its type", q.TypeCode)
	}
	t, err := a.Triggers.Update(r.Context(), project, urn, kind, r.PathValue("trigger_id"), u)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, toTrigger(t))
}

// eventList lays the objects of a list into one; nil for none.
func eventList(raw []byte) (map[string]any, error) {
	var entries []json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, faas.Errorf(faas.CodeInvalid, "event_data", "event_data must be an object, or a list of objects")
	}
	var merged map[string]any
	for _, entry := range entries {
		one, err := eventObject(entry)
		if err != nil {
			return nil, err
		}
		if merged == nil {
			merged = map[string]any{}
		}
		maps.Copy(merged, one)
	}
	return merged, nil
}

func (a *api) deleteTrigger(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Triggers.Delete(r.Context(), project, urn, r.PathValue("trigger_type_code"), r.PathValue("trigger_id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) deleteTriggers(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Triggers.DeleteAll(r.Context(), project, urn); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listAllTriggers answers all triggers of a project, or those behind a marker.
func (a *api) listAllTriggers(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	marker, err := queryNumber("marker", r.URL.Query().Get("marker"))
	if err != nil {
		return err
	}
	found, err := a.Triggers.ListAll(r.Context(), project)
	if err != nil {
		return err
	}
	answer := struct {
		Triggers   []triggerAnswer `json:"triggers"`
		NextMarker int             `json:"next_marker"`
	}{[]triggerAnswer{}, len(found)}
	for _, t := range found[min(marker, int64(len(found))):] {
		one := toTrigger(t)
		one.FuncURN = t.URN(a.Functions.Region()).String()
		answer.Triggers = append(answer.Triggers, one)
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) listTriggerTypes(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.enter(r, auth.ActionRead); err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, a.Triggers.Kinds())
}
