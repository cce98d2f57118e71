package archtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/client"
	"github.com/hanshu-faas/hanshu/internal/app"
	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/auth/authtest"
	"github.com/hanshu-faas/hanshu/internal/config"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

// actions says what a caller of each route must have the right to do: operations by face and action. A route that stands nowhere
// here, or elsewhere than its own table says, turns the test red; a new line is a decision.
//
//	read        viewer, developer, admin
//	write       developer, admin
//	invoke      invoker, developer, admin
//	administer  admin
//	self        everyone who has proved an identity, about oneself
var actions = map[string]string{
	"functiongraph read": `ListEvents ShowEvent ListFunctionTags ShowProjectTagsList ShowResInstanceInfo ShowFuncSnapshotState
		ShowFuncReservedInstanceMetrics ListFunctionTemplate ShowFunctionTemplate ListAppTemplates ShowAppTemplate ListFunctionApplications
		ShowFunctionApp ListRuntimeTypes ListServiceTrustedAgencies ListLogStream ShowFeature ShowTracing ListBridgeFunctions ListBridgeVersions
		ListFunctions ShowFunctionConfig ShowFunctionCode ListReservedInstanceConfigs ListFunctionReservedInstances ListQuotas
		ListAsyncInvocations ListActiveAsyncInvocations ShowFunctionAsyncInvokeConfig ListFunctionAsyncInvokeConfig ShowProjectAsyncStatusLogInfo
		ListFunctionAsMetric ListFunctionStatistics ListStatistics ShowFunctionMetrics ShowLtsLogDetails
		ListFunctionTriggers ListTriggerTypes ListTriggers ShowFunctionTrigger
		ListFunctionVersions ListVersionAliases ShowVersionAlias
		ListDependencies ListDependencyVersion ShowDependencyVersion DownloadDependencyVersion ShowDependency ExportFunction
		ListWorkflow ShowWorkFlow ListWorkflowExecutions ShowWorkflowExecution ShowWorkflowExecutionForPage ShowTenantMetric ShowWorkFlowMetric`,
	"functiongraph write": `CreateEvent UpdateEvent DeleteEvent CreateTags DeleteTags UpdateFuncSnapshot CreateFunctionApp DeleteFunctionApp
		UpdateTracing CreateVpcEndpoint DeleteVpcEndpoint
		CreateFunction DeleteFunction UpdateFunctionCode UpdateFunctionConfig UpdateFunctionMaxInstanceConfig UpdateFunctionCollectState
		UpdateFunctionReservedInstancesCount UpdateFunctionAsyncInvokeConfig DeleteFunctionAsyncInvokeConfig EnableAsyncStatusLog EnableLtsLogs
		CreateFunctionTrigger UpdateTrigger DeleteFunctionTrigger BatchDeleteFunctionTriggers
		CreateFunctionVersion CreateVersionAlias UpdateVersionAlias DeleteVersionAlias
		CreateDependencyVersion DeleteDependencyVersion CreateDependency UpdateDependency DeleteDependency ImportFunction
		CreateWorkflow UpdateWorkFlow BatchDeleteWorkflows`,
	"functiongraph invoke": `InvokeFunction AsyncInvokeFunction CancelAsyncInvocation
		StartWorkflowExecution StartSyncWorkflowExecution StopWorkFlow RetryWorkFlow CreateCallbackWorkflow`,

	"minapp read":   `ListCloudFunctions ShowCloudFunction ListJobs`,
	"minapp write":  `CreateCloudFunction UpdateCloudFunction DeleteCloudFunction`,
	"minapp invoke": `CreateJob CreateJobByName CreateClientJob DebugCloudFunction ShowClientUser`,

	"uiot read": `ListFunctions ShowFunction ListBoundFunctions ListUnboundFunctions ListGatewaysOfFunction ShowDeployment ListProducts ShowProduct ListDevices
		ShowDevice ListMessageRoutes ShowMessageRoute`,
	"uiot write": `CreateFunction UpdateFunction DeleteFunction BindFunction UnbindFunction ConfigureFunction CreateDeployment CreateProduct UpdateProduct DeleteProducts
		SetDynamicRegister SetPreRegister ResetProduct CreateDevice UpdateDevice DeleteDevice ResetDevice EnableDevices CreateMessageRoute UpdateMessageRoute
		DeleteMessageRoutes EnableMessageRoutes`,

	"iam read": `ListAgencies ShowAgency`,
	"iam administer": `KeystoneCreateProject KeystoneCreateUser KeystoneUpdateUserByAdmin KeystoneDeleteUser CreateAgency UpdateAgency DeleteAgency
		ListProjectPermissionsForAgency AssociateAgencyWithProjectPermission CheckProjectPermissionForAgency RemoveProjectPermissionFromAgency
		ListAllProjectsPermissionsForAgency AssociateAgencyWithAllProjectsPermission CheckAllProjectsPermissionForAgency
		RemoveAllProjectsPermissionFromAgency`,
	"iam self": `KeystoneListProjects KeystoneListAuthProjects KeystoneShowProject KeystoneListAuthDomains KeystoneListUsers KeystoneShowUser
		KeystoneListPermissions KeystoneShowPermission KeystoneValidateToken KeystoneUpdateUserPassword CreateTemporaryAccessKey
		ListPermanentAccessKeys CreatePermanentAccessKey ShowPermanentAccessKey UpdatePermanentAccessKey DeletePermanentAccessKey`,

	"admin read": `ListFunctionRuns ListRuns ShowRun ListJobs ShowJobBooks ListWebhooks ListUsers ShowUser ListAgencies ShowAgency ShowWalls
		ListGateways ShowGateway ShowGatewayLogs DiagnoseGateway ListGatewayMessages ListReleases`,
	"admin write":  `SetWebhook EnrollGateway PushGateway DownloadGatewayBundle ShowGatewayAccounts`,
	"admin invoke": `ReplayRun RedriveJob CancelJob PostBucketEvents`,
	"admin administer": `SetWalls CreateProject DeleteProject CreateUser UpdateUser DeleteUser CreateAgency UpdateAgency DeleteAgency ListAudit ListProjectAudit
		ListRoles SetRole RemoveRole SetDomainRole RemoveDomainRole SetDependencyPublic AddRelease RemoveRelease RetryGatewayRelease UseRelease`,
	"admin self": `ShowStatus ListRuntimes ShowWorkflowSchema ShowMe ChangeMyPassword ListProjects ListKeys CreateKey UpdateKey DeleteKey RotateKey`,
}

// holds are the actions of each role, said here once more.
var holds = map[faas.Role]string{"admin": "read write invoke administer", "developer": "read write invoke", "invoker": "invoke", "viewer": "read"}

// ownOnly are routes of action self that are about what one owns: temporary credentials own nothing.
var ownOnly = `KeystoneShowUser ListPermanentAccessKeys ShowPermanentAccessKey UpdatePermanentAccessKey DeletePermanentAccessKey
	ListKeys UpdateKey DeleteKey RotateKey`

// someone is a caller of the matrix.
type someone struct {
	name string
	role faas.Role // "" for none
	wide bool      // the role holds everywhere, else in the first project
	id   string
	sign func(r *http.Request)
	ends bool // the credentials prove nothing
	temp bool // an agency's or a scoped token's: no lasting keys, and nothing of the domain
}

// house is a whole server with two projects and someone of every kind.
type house struct {
	t       *testing.T
	server  *app.Server
	handler http.Handler
	routes  []route
	admin   map[string]any
	project string
	domain  string
	people  []*someone
}

type route struct{ face, operation, method, path, action string }

func newHouse(t *testing.T) *house {
	cfg := config.Defaults()
	cfg.Listen, cfg.DataDir, cfg.Sandbox = "127.0.0.1:0", filepath.Join(t.TempDir(), "data"), config.SandboxNone
	s, err := app.New(t.Context(), cfg, "test", slog.New(slog.NewTextHandler(io.Discard, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	h := &house{t: t, server: s, handler: s.Handler(), admin: map[string]any{}}
	for _, r := range s.Routes() {
		if !r.Open {
			h.routes = append(h.routes, route{r.Face, r.Operation, r.Method, r.Path, string(r.Action)})
		}
	}
	text, err := os.ReadFile(filepath.Join(cfg.DataDir, "admin.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &h.admin))
	h.project = h.admin["project_id"].(string)
	h.domain = h.make("GET", "/admin/v1/me", nil)["domain_id"].(string)
	second := h.make("POST", "/admin/v1/projects", map[string]any{"name": "second"})["id"].(string)
	for _, role := range append([]faas.Role{""}, faas.Roles...) {
		for _, wide := range []bool{false, true} {
			h.person(role, wide)
		}
	}
	h.agency()
	foreign := h.person("", false)
	foreign.name = "admin of another project"
	h.make("PUT", "/admin/v1/projects/"+second+"/roles/"+foreign.id, map[string]any{"role": "admin"})
	h.ended(cfg.DataDir)
	return h
}

// send asks as somebody; sign nil asks as the owner.
func (h *house) send(method, path string, body any, sign func(*http.Request)) *httptest.ResponseRecorder {
	text := ""
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(h.t, err)
		text = string(raw)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	if sign == nil {
		client.Sign(r, []byte(text), h.admin["access_key"].(string), h.admin["secret_key"].(string), time.Now())
	} else {
		sign(r)
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

// make asks as the owner for what must succeed.
func (h *house) make(method, path string, body any) map[string]any {
	h.t.Helper()
	w := h.send(method, path, body, nil)
	require.Less(h.t, w.Code, 300, "%s %s: %s", method, path, w.Body)
	got := map[string]any{}
	if w.Body.Len() > 0 {
		require.NoError(h.t, json.Unmarshal(w.Body.Bytes(), &got))
	}
	return got
}

func byToken(text string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("X-Auth-Token", text) }
}

// token logs in with a body of /v3/auth/tokens.
func (h *house) token(identity, scope map[string]any, sign func(*http.Request)) string {
	h.t.Helper()
	w := h.send("POST", "/v3/auth/tokens?nocatalog", map[string]any{"auth": map[string]any{"identity": identity, "scope": scope}}, sign)
	require.Equal(h.t, 201, w.Code, w.Body.String())
	return w.Header().Get("X-Subject-Token")
}

const password = "password-1"

// person makes a user with a role, in the first project or everywhere.
func (h *house) person(role faas.Role, wide bool) *someone {
	name := fmt.Sprintf("%s-%v-%d", role, wide, len(h.people))
	name = "u-" + name
	s := &someone{name: name, role: role, wide: wide}
	s.id = h.make("POST", "/admin/v1/users", map[string]any{"name": name, "password": password})["id"].(string)
	at := "/admin/v1/projects/" + h.project + "/roles/"
	if wide {
		at = "/admin/v1/roles/"
	}
	if role != "" {
		h.make("PUT", at+s.id, map[string]any{"role": role})
	}
	user := map[string]any{"id": s.id, "password": password}
	s.sign = byToken(h.token(map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": user}},
		map[string]any{"domain": map[string]any{"name": "hanshu"}}, byToken("")))
	h.people = append(h.people, s)
	return s
}

// agency makes one that is a developer everywhere, and acts as it in the first project.
func (h *house) agency() {
	id := h.make("POST", "/admin/v1/agencies", map[string]any{"name": "deployer"})["id"].(string)
	h.make("PUT", "/admin/v1/roles/"+id, map[string]any{"role": "developer"})
	owner := h.token(map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{"name": h.admin["user"],
		"password": h.admin["password"], "domain": map[string]any{"name": "hanshu"}}}}, map[string]any{"domain": map[string]any{"name": "hanshu"}}, byToken(""))
	token := h.token(map[string]any{"methods": []string{"assume_role"}, "assume_role": map[string]any{"agency_name": "deployer"}},
		map[string]any{"project": map[string]any{"id": h.project}}, byToken(owner))
	h.people = append(h.people, &someone{name: "agency", role: faas.RoleDeveloper, id: id, sign: byToken(token), temp: true})
}

// ended adds those whose credentials prove nothing: an expired key, an expired token, a disabled user.
func (h *house) ended(dataDir string) {
	off := h.person(faas.RoleAdmin, true)
	h.make("PATCH", "/admin/v1/users/"+off.id, map[string]any{"disabled": true})
	off.name, off.ends = "disabled user", true

	u := h.person(faas.RoleAdmin, true)
	k := h.make("POST", "/admin/v1/keys", map[string]any{"user": u.id})
	h.make("POST", "/admin/v1/keys/"+k["access_key"].(string)+"/rotate", map[string]any{"grace_seconds": 0})
	u.name, u.ends = "expired key", true
	u.sign = func(r *http.Request) {
		client.Sign(r, nil, k["access_key"].(string), k["secret_key"].(string), time.Now())
	}

	// Sealed with the server's own key, by a twin of it that lives the day before yesterday.
	store := &authtest.Store{}
	sealer, err := auth.NewSealer(filepath.Join(dataDir, "server.key"), false)
	require.NoError(h.t, err)
	owner, err := auth.EnsureOwner(h.t.Context(), store, sealer, "local-1")
	require.NoError(h.t, err)
	twin, err := auth.New(auth.Config{Store: store, Sealer: sealer, Now: func() time.Time { return time.Now().Add(-48 * time.Hour) }})
	require.NoError(h.t, err)
	old, err := twin.Login(h.t.Context(), auth.Proof{UserID: owner.UserID, Password: owner.Password}, auth.Scope{}, "")
	require.NoError(h.t, err)
	h.people = append(h.people, &someone{name: "expired token", role: faas.RoleAdmin, wide: true, ends: true, sign: byToken(old.Text)},
		&someone{name: "nobody", ends: true, sign: byToken("")}, &someone{name: "wrong token", ends: true, sign: byToken("x")})
}

// may tells whether somebody is allowed what a route does.
func (h *house) may(s *someone, r route, own bool) bool {
	inProject := strings.Contains(r.path, "{project_id}") || r.face == "minapp" || r.face == "uiot"
	here := s.role // in the first project
	if !inProject && !s.wide {
		here = ""
	}
	switch {
	case r.action != string(faas.ActionSelf):
		return strings.Contains(holds[here], r.action)
	case r.operation == "KeystoneShowProject":
		return s.role != ""
	case !own:
		return true
	case s.wide && s.role == faas.RoleAdmin:
		return true
	case r.operation == "KeystoneShowUser" && s.temp:
		return false
	}
	return !s.temp
}

// ask sends a request of somebody to a route: about the first project, and else about what is one's own.
func (h *house) ask(s *someone, r route) *httptest.ResponseRecorder {
	path := strings.NewReplacer("{project_id}", h.project, "{domain_id}", h.domain).Replace(r.path)
	if s.id != "" && r.action == string(faas.ActionSelf) {
		path = strings.ReplaceAll(path, "{user_id}", s.id)
	}
	if strings.Contains(path, "{key}") || strings.Contains(path, "{access_key}") {
		key := "none"
		if s.id != "" && !s.temp {
			key = h.make("POST", "/admin/v1/keys", map[string]any{"user": s.id})["access_key"].(string)
			defer h.send("DELETE", "/admin/v1/keys/"+key, nil, nil)
		}
		path = strings.NewReplacer("{key}", key, "{access_key}", key).Replace(path)
	}
	path = pathPart.ReplaceAllString(path, "x")
	return h.send(r.method, path, nil, func(q *http.Request) {
		if r.face == "minapp" || r.face == "uiot" {
			q.Header.Set("X-Project-Id", h.project)
		}
		s.sign(q)
	})
}

// TestAccess asks every route of a whole server as somebody of every kind: it answers exactly where the table says.
func TestAccess(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	want := map[string]string{}
	for key, operations := range actions {
		face, action, _ := strings.Cut(key, " ")
		for _, operation := range strings.Fields(operations) {
			require.NotContains(t, want, face+" "+operation)
			want[face+" "+operation] = action
		}
	}
	own := " " + strings.Join(strings.Fields(ownOnly), " ") + " "
	seen := map[string]bool{}
	for _, r := range h.routes {
		name := r.face + " " + r.operation
		seen[name] = true
		if want[name] != r.action {
			t.Errorf("%s: action %q here, %q in the table", name, r.action, want[name])
			continue
		}
		for _, s := range h.people {
			w := h.ask(s, r)
			refused := w.Code == http.StatusForbidden
			switch {
			case s.ends && w.Code != http.StatusUnauthorized:
				t.Errorf("%s %s: %s got %d: %s", r.method, r.path, s.name, w.Code, w.Body)
			case s.ends:
			case w.Code == http.StatusUnauthorized, w.Code >= 500, refused == h.may(s, r, strings.Contains(own, " "+r.operation+" ")):
				t.Errorf("%s %s (%s): %s got %d: %.200s", r.method, r.path, r.action, s.name, w.Code, w.Body)
			}
		}
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("%s stands in the table and is no route", name)
		}
	}
}

// TestGatewayAccess: a route of the data plane with auth IAM lets in who may invoke in the project of its function.
func TestGatewayAccess(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.server.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })
	ready, err := http.Get(h.admin["endpoint"].(string) + "/healthz") // answered when everything has started
	require.NoError(t, err)
	require.NoError(t, ready.Body.Close())
	h.make("POST", "/v2/"+h.project+"/fgs/functions", map[string]any{"func_name": "hello", "runtime": "http", "handler": "bootstrap", "memory_size": 128, "timeout": 3,
		"code_type": "inline", "package": "default", "func_code": map[string]any{"file": "IyEvYmluL3NoCnNsZWVwIDEK"}})
	urn := "urn:fss:" + h.admin["region"].(string) + ":" + h.project + ":function:default:hello:latest"
	h.make("POST", "/v2/"+h.project+"/fgs/triggers/"+urn, map[string]any{"trigger_type_code": "APIG", "event_data": map[string]any{"name": "hello", "path": "/hello",
		"auth": "IAM", "match_mode": "NORMAL", "req_method": "GET", "func_info": map[string]any{"timeout": 3000, "invocation_type": "async"}}})
	for _, s := range h.people {
		w := h.send("GET", "/gateway/hello", nil, s.sign)
		want := http.StatusAccepted
		switch {
		case s.ends:
			want = http.StatusUnauthorized
		case !strings.Contains(holds[s.role], "invoke"):
			want = http.StatusForbidden
		}
		require.Equal(t, want, w.Code, "%s: %s", s.name, w.Body)
	}
}
