package admin

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// Gateways is where operators ask for things of gateways. Errors of those that need the gateway: CodeUnavailable, field "gateway",
// while it is offline; CodeQueueTimeout.
type Gateways interface {
	// Accepts tells whether gateways can come at all. Error: CodeUnsupported, field "mqtt".
	Accepts() error
	// Enroll writes the file with which a gateway starts. It holds a secret. Error: CodeUnsupported, field "mqtt".
	Enroll(ctx context.Context, one *faas.Gateway) ([]byte, error)
	// Push sends a gateway its desired document anew, and tells the version.
	Push(ctx context.Context, id faas.GatewayID) (uint64, error)
	// Logs gives the last lines of a function's log, or with function "" of the agent's.
	Logs(ctx context.Context, id faas.GatewayID, function string, lines int) (string, error)
	Diagnose(ctx context.Context, id faas.GatewayID) (string, error)
	// RetryRelease has a gateway try once more a release that it gave up.
	RetryRelease(ctx context.Context, id faas.GatewayID) error
	Messages(ctx context.Context, id faas.GatewayID, limit int) ([]faas.GatewayMessage, error)
	// Bundle gives what writes a tar file with all that a gateway needs.
	Bundle(ctx context.Context, id faas.GatewayID) (func(io.Writer) error, error)
	// Accounts writes the files by which a mosquitto broker outside the server knows the gateways. Error: CodeUnsupported, field "mqtt".
	Accounts(ctx context.Context, project string) (passwords, acl string, err error)
}

func (f face) gatewayRoutes() []httpkit.Route {
	const all = "/admin/v1/projects/{project_id}/gateways"
	const one = all + "/{product}/{gateway}"
	return []httpkit.Route{
		{Method: "GET", Path: all, Operation: "ListGateways", Handle: f.gateways},
		{Method: "POST", Path: all, Operation: "EnrollGateway", Handle: f.enroll},
		{Method: "GET", Path: one, Operation: "ShowGateway", Handle: f.gateway},
		{Method: "POST", Path: one + "/push", Operation: "PushGateway", Handle: f.pushGateway},
		{Method: "GET", Path: one + "/logs", Operation: "ShowGatewayLogs", Handle: f.gatewayLogs},
		{Method: "GET", Path: one + "/diagnosis", Operation: "DiagnoseGateway", Handle: f.diagnose},
		{Method: "GET", Path: one + "/messages", Operation: "ListGatewayMessages", Handle: f.gatewayMessages},
		{Method: "GET", Path: one + "/bundle", Operation: "DownloadGatewayBundle", Action: auth.ActionWrite, Handle: f.bundle},
		{Method: "GET", Path: "/admin/v1/projects/{project_id}/gateway-accounts", Operation: "ShowGatewayAccounts", Action: auth.ActionWrite, Handle: f.accounts},
	}
}

type gatewayAnswer struct {
	Product     string            `json:"product"`
	Gateway     string            `json:"gateway"`
	Description string            `json:"description"`
	Status      string            `json:"status"` // inactivated, online, offline or disabled
	CreatedAt   time.Time         `json:"created_at"`
	ConnectedAt *time.Time        `json:"connected_at"`
	LeftAt      *time.Time        `json:"left_at"`
	Version     uint64            `json:"version"`  // of the desired document
	Reported    uint64            `json:"reported"` // that the gateway has
	State       string            `json:"state"`    // of it there
	Message     string            `json:"message"`
	Agent       string            `json:"agent"`
	ReportedAt  *time.Time        `json:"reported_at"`
	Functions   []gatewayFunction `json:"functions"`
	Refused     []gatewayRefusal  `json:"refused"`
	Host        gatewayHost       `json:"host"`
	Release     *gatewayRelease   `json:"release,omitempty"` // of ShowGateway; nil where none is wanted
}

type gatewayHost struct {
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	RSS      int64  `json:"rss_bytes"`
	MemFree  int64  `json:"mem_free_bytes"`
	DiskFree int64  `json:"disk_free_bytes"`
}

type gatewayRefusal struct {
	Version uint64    `json:"version"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

type gatewayFunction struct {
	Name     string               `json:"name"`
	Status   control.OnlineStatus `json:"status"`
	Cron     string               `json:"cron"`
	State    string               `json:"state"`
	Message  string               `json:"message"`
	Calls    int64                `json:"calls"`
	Errors   int64                `json:"errors"`
	LastRun  *time.Time           `json:"last_run"`
	NextCron *time.Time           `json:"next_cron"`
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func fromGateway(g *faas.Gateway) gatewayAnswer {
	out := gatewayAnswer{
		Product: g.Product, Gateway: g.SN, Description: g.Description, Status: "offline", CreatedAt: g.CreatedAt, ConnectedAt: orNil(g.ConnectedAt),
		LeftAt: orNil(g.LeftAt), Version: g.Version, ReportedAt: orNil(g.ReportedAt), Functions: []gatewayFunction{}, Refused: []gatewayRefusal{},
	}
	switch {
	case g.Disabled:
		out.Status = "disabled"
	case g.ActivatedAt.IsZero():
		out.Status = "inactivated"
	case g.Online:
		out.Status = "online"
	}
	if r := g.Report; r != nil {
		out.Reported, out.State, out.Message, out.Agent = r.Version, r.State, r.Message, r.AgentVersion
		out.Host = gatewayHost{r.OS, r.Arch, r.RSS, r.MemFree, r.DiskFree}
		for _, refusal := range r.Refused {
			out.Refused = append(out.Refused, gatewayRefusal(refusal))
		}
	}
	return out
}

func (f face) gateways(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	found, _, err := f.cfg.Placed.Gateways(r.Context(), faas.GatewayFilter{Project: project, Product: r.URL.Query().Get("product"), SN: r.URL.Query().Get("gateway")})
	if err != nil {
		return err
	}
	list := []gatewayAnswer{}
	for i := range found {
		list = append(list, fromGateway(&found[i]))
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]gatewayAnswer{"gateways": list})
}

// target finds the gateway of the path. The product "-" is any.
func (f face) target(r *http.Request, action auth.Action) (faas.Gateway, error) {
	project, err := f.enter(r, action)
	if err != nil {
		return faas.Gateway{}, err
	}
	id := faas.GatewayID{Product: r.PathValue("product"), SN: r.PathValue("gateway")}
	if id.Product == "-" {
		id.Product = ""
	}
	return f.cfg.Placed.Gateway(r.Context(), project, id)
}

func (f face) gateway(w http.ResponseWriter, r *http.Request) error {
	g, err := f.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	placed, err := f.cfg.Placed.OnGateway(r.Context(), &g)
	if err != nil {
		return err
	}
	out := fromGateway(&g)
	if out.Release, err = f.releaseOn(r.Context(), &g); err != nil {
		return err
	}
	for _, p := range placed {
		one := gatewayFunction{Name: p.Function.Name, Status: p.Status}
		if p.Setting != nil && p.Setting.CronEnable {
			one.Cron = p.Setting.Cron
		}
		if said, ok := g.Report.Function(p.Function.Name); ok {
			one.State, one.Message, one.Calls, one.Errors = said.State, said.Message, said.Calls, said.Errors
			one.LastRun, one.NextCron = orNil(said.LastRun), orNil(said.NextCron)
		}
		out.Functions = append(out.Functions, one)
	}
	return httpkit.WriteJSON(w, http.StatusOK, out)
}

type enrollBody struct {
	Product     string `json:"product"`
	Gateway     string `json:"gateway"` // drawn where it is ""
	Description string `json:"description"`
}

// enroll makes product and gateway where they are not there, and answers the file with which the gateway starts.
func (f face) enroll(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	var b enrollBody
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &b); err != nil {
		return err
	}
	if err := f.cfg.Gateways.Accepts(); err != nil {
		return err // before anything is made
	}
	ctx := r.Context()
	if _, err := f.cfg.Placed.Product(ctx, project, b.Product); faas.CodeOf(err) == faas.CodeNotFound {
		// A product of another project is found to be taken.
		if _, err := f.cfg.Placed.CreateProduct(ctx, faas.Product{SN: b.Product, Project: project, Name: b.Product}); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	id := faas.GatewayID{Product: b.Product, SN: b.Gateway}
	g, err := f.cfg.Placed.Gateway(ctx, project, id)
	if faas.CodeOf(err) == faas.CodeNotFound {
		g, err = f.cfg.Placed.CreateGateway(ctx, project, id, b.Description)
	}
	if err != nil {
		return err
	}
	file, err := f.cfg.Gateways.Enroll(ctx, &g)
	if err != nil {
		return err
	}
	httpkit.WriteBytes(w, http.StatusOK, "application/json", file)
	return nil
}

func (f face) pushGateway(w http.ResponseWriter, r *http.Request) error {
	g, err := f.target(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	version, err := f.cfg.Gateways.Push(r.Context(), g.GatewayID)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]uint64{"version": version})
}

func (f face) gatewayLogs(w http.ResponseWriter, r *http.Request) error {
	g, err := f.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	lines, err := number(r, "lines", 100, 10_000)
	if err != nil {
		return err
	}
	text, err := f.cfg.Gateways.Logs(r.Context(), g.GatewayID, r.URL.Query().Get("function"), int(lines))
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]string{"text": text})
}

func (f face) diagnose(w http.ResponseWriter, r *http.Request) error {
	g, err := f.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	text, err := f.cfg.Gateways.Diagnose(r.Context(), g.GatewayID)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]string{"text": text})
}

type gatewayMessage struct {
	Seq     uint64     `json:"seq"`
	Route   int64      `json:"route"`
	Topic   string     `json:"topic"`
	Payload []byte     `json:"payload"`
	At      *time.Time `json:"at"`
}

func (f face) gatewayMessages(w http.ResponseWriter, r *http.Request) error {
	g, err := f.target(r, auth.ActionRead)
	if err != nil {
		return err
	}
	limit, err := number(r, "limit", 100, faas.MaxGatewayMessages)
	if err != nil {
		return err
	}
	found, err := f.cfg.Gateways.Messages(r.Context(), g.GatewayID, int(cmp.Or(limit, 100)))
	if err != nil {
		return err
	}
	list := []gatewayMessage{}
	for _, m := range found {
		list = append(list, gatewayMessage{m.Seq, m.Route, m.Topic, m.Payload, orNil(m.At)})
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string][]gatewayMessage{"messages": list})
}

func (f face) bundle(w http.ResponseWriter, r *http.Request) error {
	g, err := f.target(r, auth.ActionWrite) // it holds what functions are told in secret
	if err != nil {
		return err
	}
	write, err := f.cfg.Gateways.Bundle(r.Context(), g.GatewayID)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-tar")
	if err := write(w); err != nil {
		panic(http.ErrAbortHandler) // the answer has begun: cut it, so that nobody takes it for whole
	}
	return nil
}

func (f face) accounts(w http.ResponseWriter, r *http.Request) error {
	project, err := f.enter(r, auth.ActionWrite)
	if err != nil {
		return err
	}
	passwords, acl, err := f.cfg.Gateways.Accounts(r.Context(), project)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, map[string]string{"password_file": passwords, "acl_file": acl})
}
