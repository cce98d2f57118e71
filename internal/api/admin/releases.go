package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// maxReleaseBody holds the programs of all processors in base64, and the fields around them.
const maxReleaseBody = len(faas.ReleaseArchs)*faas.MaxReleaseProgram/3*4 + 1<<20

func (f face) releaseRoutes() []httpkit.Route {
	const all = "/admin/v1/projects/{project_id}/releases"
	return []httpkit.Route{
		{Method: "GET", Path: all, Operation: "ListReleases", Action: auth.ActionRead, Handle: f.releases},
		{Method: "POST", Path: all, Operation: "AddRelease", Action: auth.ActionAdminister, MaxBody: int64(maxReleaseBody), Handle: f.addRelease},
		{Method: "DELETE", Path: all + "/{version}", Operation: "RemoveRelease", Action: auth.ActionAdminister, Handle: f.removeRelease},
		{Method: "POST", Path: "/admin/v1/projects/{project_id}/gateways/{product}/{gateway}/release-retry", Operation: "RetryGatewayRelease", Action: auth.ActionAdminister, Handle: f.retryRelease},
		{Method: "PUT", Path: "/admin/v1/projects/{project_id}/release-use", Operation: "UseRelease", Action: auth.ActionAdminister, Handle: f.useRelease},
	}
}

type releaseAnswer struct {
	Version   string           `json:"version"`
	CreatedAt time.Time        `json:"created_at"`
	Programs  []programAnswer  `json:"programs"`
	UsedBy    []releaseUseBody `json:"used_by"`
}

type programAnswer struct {
	Arch   string `json:"arch"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// releaseUseBody is of all of the project without a product, and of all of a product without a gateway.
type releaseUseBody struct {
	Product string `json:"product"`
	Gateway string `json:"gateway"`
	Version string `json:"version"` // "" for none
}

// gatewayRelease is the release that a gateway shall run.
type gatewayRelease struct {
	Version string `json:"version"`
	State   string `json:"state"` // pending, running, reverted, refused or missing
	Message string `json:"message"`
}

func fromRelease(r *faas.Release, uses []faas.ReleaseUse) releaseAnswer {
	out := releaseAnswer{Version: r.Version, CreatedAt: r.CreatedAt, Programs: []programAnswer{}, UsedBy: []releaseUseBody{}}
	for _, p := range r.Programs {
		out.Programs = append(out.Programs, programAnswer{p.Arch, p.Size, p.SHA256})
	}
	for _, u := range uses {
		if u.Version == r.Version {
			out.UsedBy = append(out.UsedBy, releaseUseBody{u.Product, u.SN, u.Version})
		}
	}
	return out
}

func (f face) releases(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	found, uses, err := f.cfg.Placed.Releases(r.Context(), project)
	if err != nil {
		return err
	}
	list := []releaseAnswer{}
	for i := range found {
		list = append(list, fromRelease(&found[i], uses))
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]releaseAnswer{"releases": list})
}

func (f face) addRelease(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionAdminister)
	if err != nil {
		return err
	}
	var body struct {
		Version  string            `json:"version"`
		Programs map[string][]byte `json:"programs"` // base64, by processor
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body); err != nil {
		return err
	}
	made, err := f.cfg.Placed.AddRelease(r.Context(), project, body.Version, body.Programs)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, fromRelease(&made, nil))
}

func (f face) removeRelease(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionAdminister)
	if err != nil {
		return err
	}
	if err := f.cfg.Placed.RemoveRelease(r.Context(), project, r.PathValue("version")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (f face) retryRelease(w http.ResponseWriter, r *http.Request) error {
	g, err := f.target(r, auth.ActionAdminister)
	if err != nil {
		return err
	}
	if err := f.cfg.Gateways.RetryRelease(r.Context(), g.GatewayID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (f face) useRelease(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionAdminister)
	if err != nil {
		return err
	}
	var body struct {
		Product string  `json:"product"`
		Gateway string  `json:"gateway"`
		Version *string `json:"version"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &body); err != nil {
		return err
	}
	if body.Version == nil {
		return faas.Errorf(faas.CodeInvalid, "version", `version must be that of a release, or "" for none`)
	}
	u, err := f.cfg.Placed.UseRelease(r.Context(), project, faas.GatewayID{Product: body.Product, SN: body.Gateway}, *body.Version)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, releaseUseBody{u.Product, u.SN, u.Version})
}

func (f face) releaseOn(ctx context.Context, g *faas.Gateway) (*gatewayRelease, error) {
	wanted, err := f.cfg.Placed.ReleaseOn(ctx, g)
	if err != nil || wanted == nil {
		return nil, err
	}
	out := &gatewayRelease{Version: wanted.Version}
	out.State, out.Message = g.Report.ReleaseState(wanted)
	return out, nil
}
