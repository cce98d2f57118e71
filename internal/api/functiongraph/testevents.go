package functiongraph

import (
	"encoding/base64"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// eventRequest is CreateEventRequestBody and UpdateEventRequestBody (reference 1.10).
type eventRequest struct {
	Name    string `json:"name"`
	Content string `json:"content"` // JSON, in base64
}

// eventAnswer is CreateEventResponseBody, UpdateEventResponseBody, ShowEventResponseBody and ListEventsResult in one.
type eventAnswer struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Content      string `json:"content,omitempty"`       // of ShowEvent only
	LastModified int64  `json:"last_modified,omitempty"` // seconds since 1970
}

// eventsAnswer is ListEventsResponseBody.
type eventsAnswer struct {
	Events     []eventAnswer `json:"events"`
	NextMarker int           `json:"next_marker"`
	Count      int           `json:"count"`
}

// eventRoutes lists the operations of reference 1.10.
func (a *api) eventRoutes() []httpkit.Route {
	const events = "/v2/{project_id}/fgs/functions/{function_urn}/events"
	const event = events + "/{event_id}"
	return []httpkit.Route{
		{Method: http.MethodGet, Path: events, Operation: "ListEvents", Handle: a.listEvents},
		{Method: http.MethodPost, Path: events, Operation: "CreateEvent", Handle: a.createEvent},
		{Method: http.MethodGet, Path: event, Operation: "ShowEvent", Handle: a.showEvent},
		{Method: http.MethodPut, Path: event, Operation: "UpdateEvent", Handle: a.updateEvent},
		{Method: http.MethodDelete, Path: event, Operation: "DeleteEvent", Handle: a.deleteEvent},
	}
}

// readEvent reads the body of a create or a change, with its content decoded.
func readEvent(r *http.Request) (q eventRequest, content []byte, err error) {
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return q, nil, err
	}
	content, err = base64.StdEncoding.DecodeString(q.Content)
	if err != nil {
		return q, nil, faas.Errorf(faas.CodeInvalid, "content", "content is not base64")
	}
	return q, content, nil
}

func toEvent(e *faas.TestEvent) eventAnswer { return eventAnswer{ID: e.ID, Name: e.Name} }

func (a *api) listEvents(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	found, err := a.Events.List(r.Context(), project, urn)
	if err != nil {
		return err
	}
	answer := eventsAnswer{Events: []eventAnswer{}, NextMarker: len(found), Count: len(found)}
	for _, e := range found {
		one := toEvent(e)
		one.LastModified = e.ChangedAt.Unix()
		answer.Events = append(answer.Events, one)
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) createEvent(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	q, content, err := readEvent(r)
	if err != nil {
		return err
	}
	e, err := a.Events.Create(r.Context(), project, urn, q.Name, content)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, toEvent(e))
}

func (a *api) showEvent(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	e, err := a.Events.Get(r.Context(), project, urn, r.PathValue("event_id"))
	if err != nil {
		return err
	}
	answer := toEvent(e)
	answer.Content, answer.LastModified = base64.StdEncoding.EncodeToString(e.Content), e.ChangedAt.Unix()
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) updateEvent(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	_, content, err := readEvent(r)
	if err != nil {
		return err
	}
	e, err := a.Events.Update(r.Context(), project, urn, r.PathValue("event_id"), content)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, toEvent(e))
}

func (a *api) deleteEvent(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Events.Delete(r.Context(), project, urn, r.PathValue("event_id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
