package functiongraph

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// dependencyRoutes lists the operations on dependencies (reference 1.6), those of the older interface (1.16), which knows no
// versions, and the download that links of zip packages lead to.
func (a *api) dependencyRoutes() []httpkit.Route {
	const dependencies = "/v2/{project_id}/fgs/dependencies"
	const dependency = dependencies + "/{depend_id}"
	const version = dependency + "/version/{version}"
	return []httpkit.Route{
		{Method: http.MethodGet, Path: dependencies, Operation: "ListDependencies", Handle: a.listDependencies},
		{Method: http.MethodPost, Path: dependencies + "/version", Operation: "CreateDependencyVersion", MaxBody: maxCodeBody, Handle: a.createDependencyVersion},
		{Method: http.MethodGet, Path: dependency + "/version", Operation: "ListDependencyVersion", Handle: a.listDependencyVersions},
		{Method: http.MethodGet, Path: version, Operation: "ShowDependencyVersion", Handle: a.showDependencyVersion},
		{Method: http.MethodDelete, Path: version, Operation: "DeleteDependencyVersion", Handle: a.deleteDependencyVersion},
		{Method: http.MethodGet, Path: version + "/package", Operation: "DownloadDependencyVersion", Handle: a.downloadDependencyVersion},
		{Method: http.MethodPost, Path: dependencies, Operation: "CreateDependency", MaxBody: maxCodeBody, Handle: a.createDependency},
		{Method: http.MethodGet, Path: dependency, Operation: "ShowDependency", Handle: a.showDependency},
		{Method: http.MethodPut, Path: dependency, Operation: "UpdateDependency", MaxBody: maxCodeBody, Handle: a.updateDependency},
		{Method: http.MethodDelete, Path: dependency, Operation: "DeleteDependency", Handle: a.deleteDependency},
	}
}

// dependencyRequest is CreateDependencyRequestBody.
type dependencyRequest struct {
	DependFile  dependFile `json:"depend_file"`
	DependLink  string     `json:"depend_link"`
	DependType  string     `json:"depend_type"`
	Description string     `json:"description"`
	Name        string     `json:"name"`
	Runtime     string     `json:"runtime"`
}

// dependFile is depend_file: base64, as func_code.file.
type dependFile []byte

// UnmarshalJSON reads the text. Errors: CodeInvalid, field "depend_file"; CodeTooLarge, field "func_code".
func (f *dependFile) UnmarshalJSON(raw []byte) error {
	err := (*packageFile)(f).UnmarshalJSON(raw)
	var e *faas.Error
	if errors.As(err, &e) && e.Code == faas.CodeInvalid {
		return faas.Errorf(faas.CodeInvalid, "depend_file", "depend_file is not base64")
	}
	return err
}

// dependencyAnswer is a version in the words of CreateDependencyVersionResponseBody, ShowDependencyVersionResponseBody,
// ListDependencyVersionsResult, ListDependenciesResult and Dependency, which differ in what they leave out.
type dependencyAnswer struct {
	ID           string `json:"id"`
	DepID        string `json:"dep_id,omitempty"`
	Owner        string `json:"owner"`
	Link         string `json:"link"`
	DownloadLink string `json:"download_link,omitempty"`
	Runtime      string `json:"runtime"`
	ETag         string `json:"etag"`
	Size         int64  `json:"size"`
	Name         string `json:"name"`
	Description  string `json:"description"`
	FileName     string `json:"file_name"`
	Version      int64  `json:"version,omitempty"`
	LastModified int64  `json:"last_modified"` // milliseconds since 1970
	IsShared     bool   `json:"is_shared"`
}

// dependenciesAnswer is ListDependenciesResponseBody and ListDependencyVersionsResponseBody.
type dependenciesAnswer struct {
	Dependencies []dependencyAnswer `json:"dependencies"`
	NextMarker   int64              `json:"next_marker"` // Count when this is the last page
	Count        int64              `json:"count"`
}

// toVersion gives a version under its own id.
func toVersion(r *http.Request, v *faas.DependencyVersion, o owner) dependencyAnswer {
	answer := dependencyAnswer{
		ID: v.VersionID, DepID: v.ID, Owner: o.domainID, Link: v.URL, Runtime: v.Runtime, ETag: v.ETag, Size: v.Size, Name: v.Name,
		Description: v.Description, FileName: v.Filename, Version: v.Number, LastModified: v.CreatedAt.UnixMilli(), IsShared: v.Public,
	}
	if v.Public {
		answer.Owner = "public"
	}
	if v.Kind == faas.KindZip {
		answer.Link = downloadLink(r, v)
	}
	return answer
}

// toDependency gives a dependency by its newest version, under the dependency's id.
func toDependency(r *http.Request, v *faas.DependencyVersion, o owner) dependencyAnswer {
	answer := toVersion(r, v, o)
	answer.ID, answer.DepID = v.ID, ""
	return answer
}

// downloadLink is where this server gives the package, to who may read the dependency.
func downloadLink(r *http.Request, v *faas.DependencyVersion) string {
	u := url.URL{Scheme: "http", Host: r.Host, Path: "/v2/" + r.PathValue("project_id") + "/fgs/dependencies/" + v.ID + "/version/" +
		strconv.FormatInt(v.Number, 10) + "/package"}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}

// dependenciesOf gives what a function uses, for its answers.
func (a *api) dependenciesOf(r *http.Request, f *faas.Function, o owner) ([]any, error) {
	used, err := a.Dependencies.Of(r.Context(), f)
	if faas.CodeOf(err) == faas.CodeNotFound {
		err = nil // public no more: the function keeps it
	}
	answers := []any{}
	for _, v := range used {
		answers = append(answers, toVersion(r, v, o))
	}
	return answers, err
}

func (a *api) listDependencies(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	offset, limit, err := dependencyPage(query)
	if err != nil {
		return err
	}
	public, err := publicFilter(query)
	if err != nil {
		return err
	}
	page, err := a.Dependencies.List(r.Context(), faas.DependencyFilter{
		Project: project, Public: public, Runtime: query.Get("runtime"), NamePart: query.Get("name"), Offset: offset, Limit: limit,
	})
	if err != nil {
		return err
	}
	return a.answerDependencies(w, r, page, offset, toDependency)
}

// publicFilter reads ispublic and dependency_type; the latter decides.
func publicFilter(query url.Values) (*bool, error) {
	yes, no := true, false
	switch kind := query.Get("dependency_type"); kind {
	case "public":
		return &yes, nil
	case "private":
		return &no, nil
	case "all":
		return nil, nil
	case "":
	default:
		return nil, faas.Errorf(faas.CodeInvalid, "dependency_type", "dependency_type %.40q must be public, private or all", kind)
	}
	switch public := query.Get("ispublic"); public {
	case "true":
		return &yes, nil
	case "false":
		return &no, nil
	case "":
		return nil, nil
	default:
		return nil, faas.Errorf(faas.CodeInvalid, "ispublic", "ispublic %.40q must be true or false", public)
	}
}

// dependencyPage reads the place and the size of a page: the smaller of maxitems and limit, at most 400.
func dependencyPage(query url.Values) (offset int64, limit int, err error) {
	if offset, err = queryNumber("marker", query.Get("marker")); err != nil {
		return 0, 0, err
	}
	limit = maxPage
	for _, name := range []string{"maxitems", "limit"} {
		n, err := queryNumber(name, query.Get(name))
		if err != nil {
			return 0, 0, err
		}
		if n > 0 {
			limit = int(min(int64(limit), n))
		}
	}
	return offset, limit, nil
}

func (a *api) answerDependencies(w http.ResponseWriter, r *http.Request, page faas.DependencyPage, offset int64,
	shape func(*http.Request, *faas.DependencyVersion, owner) dependencyAnswer,
) error {
	o, err := a.owner(r, r.PathValue("project_id"))
	if err != nil {
		return err
	}
	answer := dependenciesAnswer{Dependencies: []dependencyAnswer{}, NextMarker: min(offset+int64(len(page.Versions)), page.Total), Count: page.Total}
	for _, v := range page.Versions {
		answer.Dependencies = append(answer.Dependencies, shape(r, v, o))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) listDependencyVersions(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	offset, limit, err := dependencyPage(r.URL.Query())
	if err != nil {
		return err
	}
	page, err := a.Dependencies.Versions(r.Context(), project, r.PathValue("depend_id"), offset, limit)
	if err != nil {
		return err
	}
	return a.answerDependencies(w, r, page, offset, toVersion)
}

// decodeDependency reads a request of either interface.
func decodeDependency(r *http.Request) (control.NewDependency, error) {
	var q dependencyRequest
	err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q)
	return control.NewDependency{
		Name: q.Name, Runtime: q.Runtime, Description: q.Description, Kind: q.DependType, Data: q.DependFile, URL: q.DependLink,
	}, err
}

func (a *api) createDependencyVersion(w http.ResponseWriter, r *http.Request) error {
	return a.makeDependency(w, r, false)
}

func (a *api) createDependency(w http.ResponseWriter, r *http.Request) error {
	return a.makeDependency(w, r, true)
}

// makeDependency serves both ways to create: the older one takes a name once and answers without a version.
func (a *api) makeDependency(w http.ResponseWriter, r *http.Request, older bool) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	n, err := decodeDependency(r)
	if err != nil {
		return err
	}
	n.Fresh = older
	v, err := a.Dependencies.Create(r.Context(), project, n)
	if err != nil {
		return err
	}
	return a.answerDependency(w, r, v, older)
}

// answerDependency writes a version, or what the older interface shows of it.
func (a *api) answerDependency(w http.ResponseWriter, r *http.Request, v *faas.DependencyVersion, older bool) error {
	o, err := a.owner(r, r.PathValue("project_id"))
	if err != nil {
		return err
	}
	answer := toVersion(r, v, o)
	if older {
		answer = toDependency(r, v, o)
		answer.Version = 0
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// versionOf reads the number in a path. What is no number names no version.
func versionOf(r *http.Request) (int64, error) {
	text := r.PathValue("version")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, faas.Errorf(faas.CodeNotFound, "dependency_version", "the dependency has no version %.40q; versions are numbers from 1", text)
	}
	return n, nil
}

func (a *api) showDependencyVersion(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	number, err := versionOf(r)
	if err != nil {
		return err
	}
	v, err := a.Dependencies.Version(r.Context(), project, r.PathValue("depend_id"), number)
	if err != nil {
		return err
	}
	o, err := a.owner(r, project)
	if err != nil {
		return err
	}
	answer := toVersion(r, v, o)
	answer.DownloadLink = downloadLink(r, v)
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) deleteDependencyVersion(w http.ResponseWriter, r *http.Request) error {
	return a.removeDependency(w, r, versionOf)
}

// removeDependency removes a version, or all for 0.
func (a *api) removeDependency(w http.ResponseWriter, r *http.Request, which func(*http.Request) (int64, error)) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	number, err := which(r)
	if err != nil {
		return err
	}
	if err := a.Dependencies.Delete(r.Context(), project, r.PathValue("depend_id"), number); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// downloadDependencyVersion gives the package itself. One that proves damaged ends the connection.
func (a *api) downloadDependencyVersion(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	number, err := versionOf(r)
	if err != nil {
		return err
	}
	v, data, err := a.Dependencies.Package(r.Context(), project, r.PathValue("depend_id"), number)
	if err != nil {
		return err
	}
	defer data.Close()
	w.Header()["Content-Type"] = []string{"application/zip"}
	w.Header()["Content-Length"] = []string{strconv.FormatInt(v.Size, 10)}
	_, err = io.Copy(w, data)
	return err
}

func (a *api) showDependency(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	v, err := a.Dependencies.Version(r.Context(), project, r.PathValue("depend_id"), 0)
	if err != nil {
		return err
	}
	return a.answerDependency(w, r, v, true)
}

// updateDependency makes a new version of what changes, as versions are immutable: functions keep the one that they name.
func (a *api) updateDependency(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	n, err := decodeDependency(r)
	if err != nil {
		return err
	}
	v, err := a.Dependencies.Replace(r.Context(), project, r.PathValue("depend_id"), n)
	if err != nil {
		return err
	}
	return a.answerDependency(w, r, v, true)
}

func (a *api) deleteDependency(w http.ResponseWriter, r *http.Request) error {
	return a.removeDependency(w, r, func(*http.Request) (int64, error) { return 0, nil })
}
