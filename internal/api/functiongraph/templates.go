package functiongraph

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// templateAnswer is ShowFunctionTemplateResponseBody (reference 1.14).
type templateAnswer struct {
	ID           string            `json:"id"`
	Type         int               `json:"type"` // 1: public
	Title        string            `json:"title"`
	TemplateName string            `json:"template_name"`
	Description  string            `json:"description"`
	Runtime      string            `json:"runtime"`
	Handler      string            `json:"handler"`
	CodeType     string            `json:"code_type"`
	Code         string            `json:"code"` // base64
	Timeout      int               `json:"timeout"`
	MemorySize   int               `json:"memory_size"`
	Triggers     []templateTrigger `json:"trigger_metadata_list"`
	Detail       templateDetail    `json:"temp_detail"`
	UserData     string            `json:"user_data"`
	Encrypted    string            `json:"encrypted_user_data"`
	Dependencies []string          `json:"dependencies"`
	Scene        string            `json:"scene"`
	Service      string            `json:"service"`
}

// templateDetail is TempDetail.
type templateDetail struct {
	Input   string `json:"input"`
	Output  string `json:"output"`
	Warning string `json:"warning"`
}

// templateTrigger is TriggerMetadataList.
type templateTrigger struct {
	TriggerName string `json:"trigger_name"`
	TriggerType string `json:"trigger_type"`
	EventType   string `json:"event_type"`
	EventData   string `json:"event_data"`
}

// templatesAnswer is ListFunctionTemplateResponseBody.
type templatesAnswer struct {
	Templates  []templateAnswer `json:"func_templates"`
	NextMarker int              `json:"next_marker"`
}

// templateRoutes lists the operations of reference 1.14, and one of 1.16.
func (a *api) templateRoutes() []httpkit.Route {
	const project = "/v2/{project_id}/fgs"
	return []httpkit.Route{
		{Method: http.MethodGet, Path: project + "/templates", Operation: "ListFunctionTemplate", Handle: a.listTemplates},
		{Method: http.MethodGet, Path: project + "/templates/{template_id}", Operation: "ShowFunctionTemplate", Handle: a.showTemplate},
		{Method: http.MethodGet, Path: project + "/application/templates", Operation: "ListAppTemplates", Handle: a.listAppTemplates},
		{Method: http.MethodGet, Path: project + "/application/templates/{id}", Operation: "ShowAppTemplate", Handle: a.showAppTemplate},
		{Method: http.MethodGet, Path: project + "/applications", Operation: "ListFunctionApplications", Handle: a.listApplications},
		{Method: http.MethodPost, Path: project + "/applications", Operation: "CreateFunctionApp", Handle: a.createApplication},
		{Method: http.MethodGet, Path: project + "/applications/{id}", Operation: "ShowFunctionApp", Handle: a.showApplication},
		{Method: http.MethodDelete, Path: project + "/applications/{id}", Operation: "DeleteFunctionApp", Handle: a.deleteApplication},
		{Method: http.MethodGet, Path: project + "/runtimetypes", Operation: "ListRuntimeTypes", Handle: a.listRuntimeTypes},
	}
}

// RuntimeType is a runtime as Terraform's data source wants it (reference 1.16).
type RuntimeType struct {
	Type        string `json:"type"`
	DisplayName string `json:"display_name"`
}

func (a *api) listRuntimeTypes(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.enter(r, auth.ActionRead); err != nil {
		return err
	}
	list := []RuntimeType{}
	if a.RuntimeTypes != nil {
		list = append(list, a.RuntimeTypes()...)
	}
	return httpkit.WriteJSON(w, http.StatusOK, list)
}

func toTemplate(t faas.Template) templateAnswer {
	answer := templateAnswer{
		ID: t.ID, Type: 1, Title: t.Title, TemplateName: t.ID, Description: t.Description, Runtime: t.Runtime, Handler: t.Handler,
		CodeType: t.Kind, Code: base64.StdEncoding.EncodeToString(t.Code), Timeout: int(t.Timeout / time.Second), MemorySize: t.MemoryMB,
		Triggers: []templateTrigger{}, Detail: templateDetail{t.Input, t.Output, t.Build}, UserData: t.UserData, Dependencies: []string{},
		Scene: t.Scene, Service: t.Service,
	}
	for _, trigger := range t.Triggers {
		answer.Triggers = append(answer.Triggers, templateTrigger{
			TriggerName: t.ID, TriggerType: trigger.Kind, EventData: strings.ReplaceAll(trigger.Data, "{name}", t.ID),
		})
	}
	return answer
}

// page gives the part of a list of n that a query asks for by marker and by a number named so.
func page(r *http.Request, limitName string, n int) (from, to int, err error) {
	query := r.URL.Query()
	marker, err := queryNumber("marker", query.Get("marker"))
	if err != nil {
		return 0, 0, err
	}
	limit, err := queryNumber(limitName, query.Get(limitName))
	if err != nil {
		return 0, 0, err
	}
	if limit == 0 {
		limit = maxPage
	}
	from = int(min(marker, int64(n)))
	return from, from + int(min(limit, int64(n-from))), nil
}

// every gives what a filter says, with "all" as nothing.
func every(text string) string {
	if text == "all" {
		return ""
	}
	return text
}

func (a *api) listTemplates(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.enter(r, auth.ActionRead); err != nil {
		return err
	}
	query := r.URL.Query()
	found := a.Applications.Templates(every(query.Get("runtime")), every(query.Get("scene")), every(query.Get("service")))
	switch query.Get("ispublic") {
	case "", "true":
	case "false":
		found = nil // those here are everybody's
	default:
		return faas.Errorf(faas.CodeInvalid, "ispublic", "ispublic %.40q must be true or false", query.Get("ispublic"))
	}
	from, to, err := page(r, "maxitems", len(found))
	if err != nil {
		return err
	}
	answer := templatesAnswer{Templates: []templateAnswer{}, NextMarker: to}
	for _, t := range found[from:to] {
		answer.Templates = append(answer.Templates, toTemplate(t))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) showTemplate(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.enter(r, auth.ActionRead); err != nil {
		return err
	}
	t, err := a.Applications.Template(r.PathValue("template_id"))
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, toTemplate(t))
}

// appTemplateAnswer is ListAppTemplatesResult and ShowAppTemplateResponseBody.
type appTemplateAnswer struct {
	ID          string `json:"id,omitempty"` // in the list
	Name        string `json:"name"`
	Description string `json:"description"`
	Runtime     string `json:"runtime"`
	Category    string `json:"category"`
	Image       string `json:"image"` // there are no pictures
	*appTemplateDetail
}

// appTemplateDetail is what ShowAppTemplateResponseBody has beyond a row of the list.
type appTemplateDetail struct {
	Params      string                `json:"params"`
	DeployCount int                   `json:"deploy_count"`
	Version     int                   `json:"version"`
	Guide       string                `json:"template_guide"`
	CreateTime  int64                 `json:"create_time"`
	UpdateTime  int64                 `json:"update_time"`
	Resources   []appTemplateResource `json:"resources"`
}

// appTemplateResource is AppTemplateResourceDetail.
type appTemplateResource struct {
	ResourceName string `json:"resource_name"`
	Icon         string `json:"icon"`
	Href         string `json:"href"`
}

// appTemplatesAnswer is ListAppTemplatesResponseBody.
type appTemplatesAnswer struct {
	Templates  []appTemplateAnswer `json:"templates"`
	NextMarker int                 `json:"next_marker"`
	Count      int                 `json:"count"`
}

func toAppTemplate(t faas.Template) appTemplateAnswer {
	return appTemplateAnswer{ID: t.ID, Name: t.Title, Description: t.Description, Runtime: t.Runtime, Category: t.Scene}
}

// listAppTemplates answers those templates that an application can be made from.
func (a *api) listAppTemplates(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.enter(r, auth.ActionRead); err != nil {
		return err
	}
	query := r.URL.Query()
	var found []faas.Template
	for _, t := range a.Applications.Templates(every(query.Get("runtime")), every(query.Get("category")), "") {
		if t.Build == "" {
			found = append(found, t)
		}
	}
	from, to, err := page(r, "maxitems", len(found))
	if err != nil {
		return err
	}
	answer := appTemplatesAnswer{Templates: []appTemplateAnswer{}, NextMarker: to, Count: len(found)}
	for _, t := range found[from:to] {
		answer.Templates = append(answer.Templates, toAppTemplate(t))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) showAppTemplate(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	t, err := a.Applications.Template(r.PathValue("id"))
	if err != nil {
		return err
	}
	if t.Build != "" {
		return faas.NotFound("template", t.ID)
	}
	deployed, err := a.Applications.Deployed(r.Context(), project)
	if err != nil {
		return err
	}
	params := t.UserData
	if params == "" {
		params = "{}"
	}
	answer := toAppTemplate(t)
	answer.ID = ""
	answer.appTemplateDetail = &appTemplateDetail{
		Params: params, DeployCount: deployed[t.ID], Version: 1, Guide: t.Description, Resources: []appTemplateResource{{ResourceName: "function"}},
	}
	for _, trigger := range t.Triggers {
		answer.Resources = append(answer.Resources, appTemplateResource{ResourceName: "trigger " + trigger.Kind})
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

// The states of an application. Terraform waits for the first.
const (
	appWhole  = "success"
	appBroken = "abnormal" // its function is gone, or another one of its name is there
)

// applicationRequest is CreateFunctionAppRequestBody.
type applicationRequest struct {
	Name                string            `json:"name"`
	TemplateID          string            `json:"template_id"`
	Description         string            `json:"description"`
	AgencyName          string            `json:"agency_name"`
	EnterpriseProjectID string            `json:"enterprise_project_id"`
	Params              map[string]string `json:"params"`
}

// applicationAnswer is ShowFunctionAppResponseBody and ListFunctionApplicationResult. stack_resources is left out: the SDK wants an
// object there and Terraform a list. FuncURN is ours, and tells instead what was made.
type applicationAnswer struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Description  string `json:"description"`
	Status       string `json:"status"`
	LastModified int64  `json:"last_modified_time"` // milliseconds since 1970
	FuncURN      string `json:"func_urn"`
	TemplateID   string `json:"template_id"` // ours
	ProjectID    string `json:"project_id,omitempty"`
	ApigURL      string `json:"apig_url,omitempty"`
	StackID      string `json:"stack_id,omitempty"`
	StackName    string `json:"stack_name,omitempty"`
}

// applicationsAnswer is ListFunctionApplicationsResponseBody.
type applicationsAnswer struct {
	Applications []applicationAnswer `json:"applications"`
	NextMarker   int                 `json:"next_marker"`
	Count        int                 `json:"count"`
}

func (a *api) toApplication(app *faas.Application, whole bool) applicationAnswer {
	urn := faas.URN{Region: a.Functions.Region(), Project: app.Project, Package: app.Function.Package, Name: app.Function.Name}
	answer := applicationAnswer{
		ID: app.ID, Name: app.Name, Description: app.Description, Status: appBroken, LastModified: app.CreatedAt.UnixMilli(), FuncURN: urn.String(),
		TemplateID: app.Template,
	}
	if whole {
		answer.Status = appWhole
	}
	return answer
}

func (a *api) listApplications(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	found, err := a.Applications.List(r.Context(), project)
	if err != nil {
		return err
	}
	from, to, err := page(r, "limit", len(found))
	if err != nil {
		return err
	}
	answer := applicationsAnswer{Applications: []applicationAnswer{}, NextMarker: to, Count: len(found)}
	for _, app := range found[from:to] {
		whole, err := a.Applications.Whole(r.Context(), app)
		if err != nil {
			return err
		}
		answer.Applications = append(answer.Applications, a.toApplication(app, whole))
	}
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) createApplication(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var q applicationRequest
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &q); err != nil {
		return err
	}
	app, err := a.Applications.Create(r.Context(), project, control.NewApplication{
		Name: q.Name, Description: q.Description, Template: q.TemplateID, Role: q.AgencyName, Enterprise: q.EnterpriseProjectID, Params: q.Params,
	})
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]string{"application_id": app.ID})
}

func (a *api) showApplication(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	app, whole, err := a.Applications.Get(r.Context(), project, r.PathValue("id"))
	if err != nil {
		return err
	}
	answer := a.toApplication(app, whole)
	answer.ProjectID, answer.ApigURL, answer.StackID, answer.StackName = app.Project, app.URL, app.ID, app.Name
	return httpkit.WriteJSON(w, http.StatusOK, answer)
}

func (a *api) deleteApplication(w http.ResponseWriter, r *http.Request) error {
	project, err := a.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Applications.Delete(r.Context(), project, r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
