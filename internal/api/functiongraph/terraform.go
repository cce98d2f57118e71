package functiongraph

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Agencies lists the agencies of the caller's domain by name; "" for all.
type Agencies interface {
	Agencies(ctx context.Context, p faas.Principal, name string) ([]faas.Agency, error)
}

// trustedAgency is an agency that functions may act as (reference 1.16).
type trustedAgency struct {
	Name       string  `json:"name"`
	ExpireTime *string `json:"expire_time"` // null: never
}

// logStreams is the answer of the log service's ListLogStream, as far as Terraform reads it.
type logStreams struct {
	Streams []logStream `json:"log_streams"`
}

type logStream struct {
	ID   string `json:"log_stream_id"`
	Name string `json:"log_stream_name"`
}

// terraformRoutes lists what Terraform's provider asks for and the reference's 92 operations do not have (reference 1.16). The last one
// is the log service's: the provider looks there for the stream that ShowProjectAsyncStatusLogInfo has named.
func (a *api) terraformRoutes() []httpkit.Route {
	const project = "/v2/{project_id}"
	return []httpkit.Route{
		{Method: http.MethodGet, Path: project + "/fgs/service-trusted-agencies", Operation: "ListServiceTrustedAgencies", Handle: a.listTrustedAgencies},
		{Method: http.MethodGet, Path: project + "/groups/{log_group_id}/streams", Operation: "ListLogStream", Handle: a.listLogStreams},
	}
}

func (a *api) listTrustedAgencies(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.enter(r, auth.ActionRead); err != nil {
		return err
	}
	found, err := a.Agencies.Agencies(r.Context(), httpkit.PrincipalOf(r.Context()), "")
	if err != nil {
		return err
	}
	answer := make([]trustedAgency, 0, len(found))
	for _, one := range found {
		answer = append(answer, trustedAgency{Name: one.Name})
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// listLogStreams answers the one stream that is asked for by its group. The group of a project has the project's id.
func (a *api) listLogStreams(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	log, err := a.statusLog(r.Context(), project)
	if err != nil {
		return err
	}
	answer := logStreams{[]logStream{}}
	if log.GroupID != "" && log.GroupID == r.PathValue("log_group_id") {
		answer.Streams = append(answer.Streams, logStream{ID: log.StreamID, Name: log.StreamName})
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// whole tells whether a change of a configuration is all of it, as Terraform's provider sends it: these fields it never leaves out, and no
// other client names them all.
func (q *functionRequest) whole() bool {
	return q.Description != nil && q.HeartbeatHandler != nil && q.PeeringCidr != nil && q.RestoreHookHandler != nil && q.RestoreHookTimeout != nil
}

// takeAway has a whole configuration clear what it does not name. The provider says by leaving them out that the file no longer has them;
// were they kept, its next plan would want to remove them again. Fields that it reads back into its state, or cannot express, are left as they
// are. Of a file that names the agency by its older word, xrole, the provider sends the agency as the package.
func (q *functionRequest) takeAway(pkg string) {
	none, zero := "", 0
	if group := value(q.Package); q.Xrole == nil && group != "" && group != pkg {
		q.Xrole, q.Package = q.Package, nil
	}
	for _, text := range []**string{&q.UserData, &q.EncryptedUserData, &q.Xrole, &q.PreStopHandler} {
		if *text == nil {
			*text = &none
		}
	}
	if q.PreStopTimeout == nil {
		q.PreStopTimeout = &zero
	}
	for _, raw := range []*json.RawMessage{&q.FuncVpc, &q.NetworkController, &q.GPUMemory, &q.GPUType, &q.UserDataEncryptKmsKeyID} {
		if *raw == nil {
			*raw = json.RawMessage("null")
		}
	}
}
