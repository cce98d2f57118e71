package functiongraph

import (
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// versionRequest is CreateFunctionVersionRequestBody (reference 1.2).
type versionRequest struct {
	Version     string `json:"version"`
	Description string `json:"description"`
	Digest      string `json:"digest"`
}

// versionsAnswer is ListFunctionVersionsResponseBody.
type versionsAnswer struct {
	Versions   []functionAnswer `json:"versions"`
	NextMarker int64            `json:"next_marker"` // Count when this is the last page
	Count      int64            `json:"count"`
}

// versionRoutes lists the operations of reference 1.2.
func (a *api) versionRoutes(function string) []httpkit.Route {
	const one = "/{alias_name}"
	versions, aliases := function+"/versions", function+"/aliases"
	return []httpkit.Route{
		{Method: http.MethodPost, Path: versions, Operation: "CreateFunctionVersion", Handle: a.createVersion},
		{Method: http.MethodGet, Path: versions, Operation: "ListFunctionVersions", Handle: a.listVersions},
		{Method: http.MethodPost, Path: aliases, Operation: "CreateVersionAlias", Handle: a.createAlias},
		{Method: http.MethodGet, Path: aliases, Operation: "ListVersionAliases", Handle: a.listAliases},
		{Method: http.MethodGet, Path: aliases + one, Operation: "ShowVersionAlias", Handle: a.showAlias},
		{Method: http.MethodPut, Path: aliases + one, Operation: "UpdateVersionAlias", Handle: a.updateAlias},
		{Method: http.MethodDelete, Path: aliases + one, Operation: "DeleteVersionAlias", Handle: a.deleteAlias},
	}
}

func (a *api) createVersion(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var q versionRequest
	if body := httpkit.BodyOf(r.Context()); len(body) > 0 { // every field may be left out
		if err := httpkit.DecodeJSON(body, &q); err != nil {
			return err
		}
	}
	f, err := a.Versions.Publish(r.Context(), project, urn, control.NewVersion{Name: q.Version, Description: q.Description, Digest: q.Digest})
	if err != nil {
		return err
	}
	return a.answer(w, r, f)
}

func (a *api) listVersions(w http.ResponseWriter, r *http.Request) error {
	project, urn, err := a.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	marker, err := queryNumber("marker", query.Get("marker"))
	if err != nil {
		return err
	}
	limit, err := queryNumber("maxitems", query.Get("maxitems"))
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = maxPage
	}
	found, err := a.Versions.List(r.Context(), project, urn)
	if err != nil {
		return err
	}
	o, err := a.owner(r, project)
	if err != nil {
		return err
	}
	total := int64(len(found))
	from := min(marker, total)
	to := min(from+min(limit, total), total)
	answer := versionsAnswer{Versions: []functionAnswer{}, NextMarker: to, Count: total}
	for _, f := range found[from:to] {
		answer.Versions = append(answer.Versions, toFunction(f, o, ""))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}
