// Package functiongraph speaks FunctionGraph v2: its paths, bodies, headers and error codes.
//
// It is a codec. It must not know SQL, processes, or any rule on functions that control does not already keep; a field of
// the dialect that has no effect here is checked for its shape, stored and given back.
package functiongraph

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

// Access decides who may work in a project.
type Access interface {
	// Can allows an action or refuses it with CodeForbidden.
	Can(ctx context.Context, p faas.Principal, action auth.Action, r auth.Resource) error
	// Projects lists the projects of the caller's domain; name "" for all.
	Projects(ctx context.Context, p faas.Principal, name string) ([]faas.Project, error)
}

// Invoker runs a call; invoke.Invoker is one. The answer's Failure is the function's own doing, an error everyone else's.
type Invoker interface {
	Invoke(ctx context.Context, r invoke.Request) (*faas.Result, error)
	// Find gives the version that a request means, and holds the request to what its owner allows, without running it.
	Find(ctx context.Context, r invoke.Request) (*faas.Function, error)
	// Bound gives the version that the rules of an alias choose for a call that is made later; "" where that is open.
	Bound(ctx context.Context, r invoke.Request) (string, error)
}

// Config is what the face needs. All of it is required, but for Now.
type Config struct {
	Functions *control.Functions
	Versions  *control.Versions
	Triggers  *control.Triggers

	Dependencies *control.Dependencies

	Invoker   Invoker
	Access    Access
	Async     *control.AsyncConfigs
	Jobs      Jobs
	JobList   JobList
	Tallies   Tallies
	Instances Instances
	Flows     *control.Flows
	FlowRuns  FlowRuns
	FlowLists FlowLists

	Events       *control.TestEvents
	Tags         *control.Tags
	Applications *control.Applications
	Agencies     Agencies
	// RuntimeTypes lists the runtimes that are served here; nil for none.
	RuntimeTypes func() []RuntimeType
	// Now tells the time of statistics; nil for the clock.
	Now func() time.Time
	// IdleTimeout is how long an instance without calls is kept; ListQuotas shows it.
	IdleTimeout time.Duration
}

type api struct {
	Config
	errors  errorTable
	carried []carriedField
}

// New makes the face.
func New(cfg Config) httpkit.Face {
	a := &api{Config: cfg, errors: newErrorTable(), carried: carriedFields()}
	return httpkit.Face{Name: "functiongraph", Routes: noted(a.routes()), WriteError: a.writeError}
}

// Operations names the operations of the face, in the order of the vendor's reference.
func Operations() []string {
	var names []string
	for _, r := range new(api).routes() {
		names = append(names, r.Operation)
	}
	return names
}

// maxCodeBody holds a package of faas.MaxPackageBytes in base64 with line breaks, and the fields around it.
const maxCodeBody = 72 << 20

// routes lists the operations (reference 1.1 and 1.3).
func (a *api) routes() []httpkit.Route {
	const functions = "/v2/{project_id}/fgs/functions"
	const function = functions + "/{function_urn}"
	return append([]httpkit.Route{
		{Method: http.MethodPost, Path: functions, Operation: "CreateFunction", MaxBody: maxCodeBody, Handle: a.createFunction},
		{Method: http.MethodGet, Path: functions, Operation: "ListFunctions", Handle: a.listFunctions},
		{Method: http.MethodGet, Path: function + "/config", Operation: "ShowFunctionConfig", Handle: a.showFunctionConfig},
		{Method: http.MethodPut, Path: function + "/config", Operation: "UpdateFunctionConfig", Handle: a.updateFunctionConfig},
		{Method: http.MethodGet, Path: function + "/code", Operation: "ShowFunctionCode", Handle: a.showFunctionCode},
		{Method: http.MethodPut, Path: function + "/code", Operation: "UpdateFunctionCode", MaxBody: maxCodeBody, Handle: a.updateFunctionCode},
		{Method: http.MethodPut, Path: function + "/config-max-instance", Operation: "UpdateFunctionMaxInstanceConfig", Handle: a.updateMaxInstances},
		{Method: http.MethodDelete, Path: function, Operation: "DeleteFunction", Handle: a.deleteFunction},
		{Method: http.MethodPut, Path: function + "/collect/{state}", Operation: "UpdateFunctionCollectState", Handle: a.updateCollectState},
		{Method: http.MethodPut, Path: function + "/reservedinstances", Operation: "UpdateFunctionReservedInstancesCount", Handle: a.updateReserved},
		{Method: http.MethodGet, Path: functions + "/reservedinstanceconfigs", Operation: "ListReservedInstanceConfigs", Handle: a.listReservedConfigs},
		{Method: http.MethodGet, Path: functions + "/reservedinstances", Operation: "ListFunctionReservedInstances", Handle: a.listReserved},
		{Method: http.MethodGet, Path: "/v2/{project_id}/fgs/quotas", Operation: "ListQuotas", Handle: a.listQuotas},
		{Method: http.MethodPost, Path: function + "/invocations", Operation: "InvokeFunction", Action: auth.ActionInvoke, MaxBody: faas.MaxEventBytes, Handle: a.invokeFunction},

		{Method: http.MethodPost, Path: function + "/invocations-async", Operation: "AsyncInvokeFunction", Action: auth.ActionInvoke, MaxBody: faas.MaxAsyncEventBytes, Handle: a.asyncInvokeFunction},
		{Method: http.MethodGet, Path: function + "/async-invocations", Operation: "ListAsyncInvocations", Handle: a.listAsyncInvocations},
		{Method: http.MethodGet, Path: function + "/active-async-invocations", Operation: "ListActiveAsyncInvocations", Handle: a.listActiveAsyncInvocations},
		{Method: http.MethodPost, Path: function + "/cancel", Operation: "CancelAsyncInvocation", Action: auth.ActionInvoke, Handle: a.cancelAsyncInvocation},
		{Method: http.MethodPut, Path: function + "/async-invoke-config", Operation: "UpdateFunctionAsyncInvokeConfig", Handle: a.updateAsyncConfig},
		{Method: http.MethodGet, Path: function + "/async-invoke-config", Operation: "ShowFunctionAsyncInvokeConfig", Handle: a.showAsyncConfig},
		{Method: http.MethodDelete, Path: function + "/async-invoke-config", Operation: "DeleteFunctionAsyncInvokeConfig", Handle: a.deleteAsyncConfig},
		{Method: http.MethodGet, Path: function + "/async-invoke-configs", Operation: "ListFunctionAsyncInvokeConfig", Handle: a.listAsyncConfigs},
		{Method: http.MethodPost, Path: functions + "/enable-async-status-logs", Operation: "EnableAsyncStatusLog", Handle: a.enableAsyncStatusLog},
		{Method: http.MethodGet, Path: functions + "/async-status-log-detail", Operation: "ShowProjectAsyncStatusLogInfo", Handle: a.showAsyncStatusLog},
	}, slices.Concat(a.statisticsRoutes(functions, function), a.triggerRoutes(), a.versionRoutes(function), a.dependencyRoutes(), a.transferRoutes(), a.catalogueRoutes())...)
}

// catalogueRoutes lists the operations on what stands beside functions, and those that are refused.
func (a *api) catalogueRoutes() []httpkit.Route {
	return slices.Concat(a.eventRoutes(), a.tagRoutes(), a.snapshotRoutes(), a.templateRoutes(), a.workflowRoutes(), a.terraformRoutes(), a.refusedRoutes())
}

// noted gives routes their notes.
func noted(routes []httpkit.Route) []httpkit.Route {
	all := notes()
	for i := range routes {
		if text, ok := all[routes[i].Operation]; ok {
			routes[i].Note = text
		}
	}
	return routes
}

// enter gives the id of the path's project, once it is sure that the caller may do this there.
func (a *api) enter(r *http.Request, action auth.Action) (string, error) {
	id := r.PathValue("project_id")
	err := a.Access.Can(r.Context(), httpkit.PrincipalOf(r.Context()), action, auth.Resource{ProjectID: id})
	return id, err
}

// target is enter for a path that names a function.
func (a *api) target(r *http.Request, action auth.Action) (string, faas.URN, error) {
	project, err := a.enter(r, action)
	if err != nil {
		return "", faas.URN{}, err
	}
	urn, err := faas.ParseURN(r.PathValue("function_urn"))
	return project, urn, err
}

// owner tells the names that answers carry. A domain-wide identity names no project, so it is looked up.
func (a *api) owner(r *http.Request, project string) (owner, error) {
	p := httpkit.PrincipalOf(r.Context())
	o := owner{region: a.Functions.Region(), domainID: p.DomainID, domain: p.Domain, project: p.Project}
	if p.ProjectID == project {
		return o, nil
	}
	all, err := a.Access.Projects(r.Context(), p, "")
	if err != nil {
		return o, err
	}
	for _, candidate := range all {
		if candidate.ID == project {
			o.project = candidate.Name
		}
	}
	return o, nil
}
