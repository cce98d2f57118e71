package functiongraph

import (
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// refusal is an operation on something that only the vendor's cloud has.
type refusal struct {
	operation, method, path string
	why                     string // one sentence, for the caller and for docs/COMPATIBILITY.md
}

// refusals lists them (reference 1.12 and 1.15). They are asked for credentials and rights as any other.
func refusals() []refusal {
	const project = "/v2/{project_id}/fgs"
	const function = project + "/functions/{function_urn}"
	const tracing = "there is no application performance management here to send traces to; each call's record tells its times (hanshu runs)"
	const network = "functions here are in no virtual private cloud, so there is nothing to connect"
	const bridge = "service bridges are functions of the vendor's own, to databases and queues of its cloud"
	return []refusal{
		{"ShowTracing", http.MethodGet, function + "/tracing", tracing},
		{"UpdateTracing", http.MethodPut, function + "/tracing", tracing},
		{"CreateVpcEndpoint", http.MethodPost, project + "/vpc-endpoint", network},
		{"DeleteVpcEndpoint", http.MethodDelete, project + "/vpc-endpoint/{vpc_id}/{subnet_id}", network},
		{"ListBridgeFunctions", http.MethodGet, function + "/servicebridge/relation", bridge},
		{"ShowFeature", http.MethodGet, project + "/feature", "its switches are of the vendor's console, and documented nowhere"},
		{"ListBridgeVersions", http.MethodGet, project + "/servicebridge/version", bridge},
	}
}

// refusedNote begins the note of a refused operation.
const refusedNote = "refused: "

func (a *api) refusedRoutes() []httpkit.Route {
	var routes []httpkit.Route
	for _, r := range refusals() {
		routes = append(routes, httpkit.Route{Method: r.method, Path: r.path, Operation: r.operation, Note: refusedNote + r.why, Handle: a.refuse(r)})
	}
	return routes
}

// refuse answers CodeUnsupported to whoever may ask.
func (a *api) refuse(r refusal) httpkit.Handler {
	return func(_ http.ResponseWriter, req *http.Request) error {
		action := auth.ActionWrite
		if r.method == http.MethodGet {
			action = auth.ActionRead
		}
		if _, err := a.enter(req, action); err != nil {
			return err
		}
		return faas.Errorf(faas.CodeUnsupported, "operation", "%s is not supported here: %s", r.operation, r.why)
	}
}
