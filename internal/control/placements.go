package control

import (
	"cmp"
	"context"
	"crypto/md5" // a checksum that a document asks for; nothing is trusted for it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	cron "github.com/netresearch/go-cron"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// PlacementStore keeps what is bound to gateways.
type PlacementStore interface {
	Bind(ctx context.Context, b faas.GatewayBinding, most int) error
	Unbind(ctx context.Context, b faas.GatewayBinding) error
	GatewayBindings(ctx context.Context, f faas.BindingFilter) ([]faas.GatewayBinding, error)
	SetGatewaySetting(ctx context.Context, key faas.FunctionKey, id faas.GatewayID, s faas.GatewaySetting) error
	GatewaySettings(ctx context.Context, f faas.BindingFilter) (map[string]map[string]faas.GatewaySetting, error)
	PutMessageRoute(ctx context.Context, r *faas.MessageRoute, most int) error
	MessageRoutes(ctx context.Context, id faas.GatewayID) ([]faas.MessageRoute, error)
	DeleteMessageRoutes(ctx context.Context, id faas.GatewayID, routes []int64) error
	CreateDeployment(ctx context.Context, d *faas.Deployment) error
	Deployment(ctx context.Context, project string, id int64) (faas.Deployment, error)
	PackageSums(ctx context.Context, digest string) (faas.PackageSums, error)
	SavePackageSums(ctx context.Context, digest string, s faas.PackageSums) error
}

// Placed is a function in a place, as it shall be there.
type Placed struct {
	Function *faas.Function      // Latest
	Binding  faas.GatewayBinding // the gateway's own where there is one, or else its product's
	// Setting is the gateway's own, or else its product's; nil where neither has one.
	Setting *faas.GatewaySetting
	Status  OnlineStatus
}

// OnlineStatus tells whether a function is known to run in its place (edge reference 4.5).
type OnlineStatus string

// The values of OnlineStatus.
const (
	Unreported OnlineStatus = "unreported" // the gateway has said nothing of it since it was bound
	Online     OnlineStatus = "online"     // the gateway is here and says that it can be called
	Offline    OnlineStatus = "offline"
)

// place is a gateway, or with SN "" a product, of the project. Errors: CodeInvalid, field "gateway", where neither is named;
// CodeNotFound.
func (g *Gateways) place(ctx context.Context, project string, id faas.GatewayID) (faas.GatewayID, error) {
	if id == (faas.GatewayID{}) {
		return id, faas.Errorf(faas.CodeInvalid, "gateway", "a gateway or a product must be named")
	}
	if id.SN == "" {
		_, err := g.Product(ctx, project, id.Product)
		return id, err
	}
	one, err := g.Gateway(ctx, project, id)
	return one.GatewayID, err
}

// Portable tells whether gateways can run a function: an image, dependencies and the contract of callbacks stay here.
func Portable(f *faas.Function) bool {
	return f.Code.Kind != faas.KindImage && f.Spec.Contract != faas.ContractCallback && len(f.Spec.Dependencies) == 0
}

// Bind lets a function run on a gateway, or on every gateway of a product. Errors: CodeNotFound, field "function", "product" or
// "gateway"; CodeUnsupported, field "runtime", for one that no gateway can run; CodeQuota, field "gateway".
func (g *Gateways) Bind(ctx context.Context, project string, urn faas.URN, id faas.GatewayID) error {
	f, err := g.cfg.Functions.Get(ctx, project, urn)
	if err != nil {
		return err
	}
	if !Portable(f) {
		return faas.Errorf(faas.CodeUnsupported, "runtime", "function %q cannot run on a gateway: it is a container image, has dependencies, or answers by a callback", f.Name)
	}
	if id, err = g.place(ctx, project, id); err != nil {
		return err
	}
	key := f.Key()
	key.Version = ""
	if err := g.cfg.Store.Bind(ctx, faas.GatewayBinding{Function: key, GatewayID: id, BoundAt: g.now()}, faas.MaxGatewayFunctions); err != nil {
		return err
	}
	g.cfg.Changes.GatewayChanged(id)
	return nil
}

// Unbind ends a binding. Errors: CodeNotFound, field "function", "product", "gateway" or "binding"; CodeConflict, field "binding",
// where the gateway has the function from its product.
func (g *Gateways) Unbind(ctx context.Context, project string, urn faas.URN, id faas.GatewayID) error {
	f, err := g.cfg.Functions.Get(ctx, project, urn)
	if err != nil {
		return err
	}
	if id, err = g.place(ctx, project, id); err != nil {
		return err
	}
	key := f.Key()
	key.Version = ""
	err = g.cfg.Store.Unbind(ctx, faas.GatewayBinding{Function: key, GatewayID: id})
	if faas.CodeOf(err) == faas.CodeNotFound && id.SN != "" {
		above, listErr := g.cfg.Store.GatewayBindings(ctx, faas.BindingFilter{Project: project, Package: f.Package, Name: f.Name, Product: id.Product, SN: id.SN})
		if listErr == nil && len(above) > 0 {
			return faas.Errorf(faas.CodeConflict, "binding", "function %q is on gateway %q since it is bound to product %q; unbind it there", f.Name, id.SN, id.Product)
		}
	}
	if err != nil {
		return err
	}
	g.cfg.Changes.GatewayChanged(id)
	return nil
}

// Configure says how a function works on a gateway, or on those of a product that have no setting of their own. Errors:
// CodeInvalid, field "cron" or "config"; CodeNotFound as Unbind.
func (g *Gateways) Configure(ctx context.Context, project string, urn faas.URN, id faas.GatewayID, s faas.GatewaySetting) error {
	f, err := g.cfg.Functions.Get(ctx, project, urn)
	if err != nil {
		return err
	}
	if id, err = g.place(ctx, project, id); err != nil {
		return err
	}
	if err := checkCron(s); err != nil {
		return err
	}
	if err := CheckConfig(s.Config); err != nil {
		return err
	}
	if err := g.cfg.Store.SetGatewaySetting(ctx, f.Key(), id, s); err != nil {
		return err
	}
	g.cfg.Changes.GatewayChanged(id)
	return nil
}

func checkCron(s faas.GatewaySetting) error {
	if s.Cron == "" && !s.CronEnable {
		return nil
	}
	parser, err := cron.TryNewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	if err == nil {
		_, err = parser.Parse(s.Cron)
	}
	if err != nil {
		return faas.Errorf(faas.CodeInvalid, "cron", "cron %.80q must have 5 fields, or 6 with seconds first: %v", s.Cron, err)
	}
	return nil
}

// CheckConfig holds a function's configuration to its rule: one JSON object of at most faas.MaxGatewayConfig bytes. Error:
// CodeInvalid, field "config".
func CheckConfig(text string) error {
	var object map[string]json.RawMessage
	if len(text) > faas.MaxGatewayConfig || json.Unmarshal([]byte(text), &object) != nil || object == nil {
		return faas.Errorf(faas.CodeInvalid, "config", "the configuration must be a JSON object of at most %d bytes", faas.MaxGatewayConfig)
	}
	return nil
}

// On lists what shall be on a gateway, or with SN "" what is bound to a product, in the order of binding.
func (g *Gateways) On(ctx context.Context, project string, id faas.GatewayID) ([]Placed, error) {
	id, err := g.place(ctx, project, id)
	if err != nil {
		return nil, err
	}
	if id.SN != "" {
		one, err := g.cfg.Store.Gateway(ctx, id)
		if err != nil {
			return nil, err
		}
		return g.OnGateway(ctx, &one)
	}
	bindings, err := g.cfg.Store.GatewayBindings(ctx, faas.BindingFilter{Project: project, Product: id.Product})
	if err != nil {
		return nil, err
	}
	whole := slices.DeleteFunc(bindings, func(b faas.GatewayBinding) bool { return b.SN != "" })
	members, _, err := g.cfg.Store.Gateways(ctx, faas.GatewayFilter{Project: project, Product: id.Product})
	if err != nil {
		return nil, err
	}
	var all []Placed
	for _, b := range whole {
		p, err := g.placed(ctx, b)
		if err != nil {
			return nil, err
		}
		p.Setting, p.Status = b.Setting, statusOf(b, members)
		all = append(all, p)
	}
	return all, nil
}

// Bound lists all bindings of a project, each function once in each place.
func (g *Gateways) Bound(ctx context.Context, project string) ([]Placed, error) {
	bindings, err := g.cfg.Store.GatewayBindings(ctx, faas.BindingFilter{Project: project})
	if err != nil {
		return nil, err
	}
	members, _, err := g.cfg.Store.Gateways(ctx, faas.GatewayFilter{Project: project})
	if err != nil {
		return nil, err
	}
	var all []Placed
	for _, b := range bindings {
		p, err := g.placed(ctx, b)
		if err != nil {
			return nil, err
		}
		p.Setting, p.Status = b.Setting, statusOf(b, members)
		all = append(all, p)
	}
	return all, nil
}

func (g *Gateways) placed(ctx context.Context, b faas.GatewayBinding) (Placed, error) {
	f, err := g.cfg.Functions.Get(ctx, b.Function.Project, faas.URN{Package: b.Function.Package, Name: b.Function.Name})
	return Placed{Function: f, Binding: b}, err
}

// OnGateway lists what shall be on a gateway that is at hand.
func (g *Gateways) OnGateway(ctx context.Context, one *faas.Gateway) ([]Placed, error) {
	filter := faas.BindingFilter{Project: one.Project, Product: one.Product, SN: one.SN}
	bindings, err := g.cfg.Store.GatewayBindings(ctx, filter)
	if err != nil || len(bindings) == 0 {
		return nil, err
	}
	settings, err := g.cfg.Store.GatewaySettings(ctx, filter)
	if err != nil {
		return nil, err
	}
	var all []Placed
	at := map[faas.FunctionKey]int{}
	for _, b := range bindings {
		if i, twice := at[b.Function]; twice { // by the product and by itself
			if b.SN != "" {
				all[i].Binding = b
			}
			continue
		}
		p, err := g.placed(ctx, b)
		if err != nil {
			return nil, err
		}
		for _, sn := range []string{"", one.SN} {
			if s, ok := settings[b.Function.Name][sn]; ok {
				p.Setting = &s
			}
		}
		at[b.Function] = len(all)
		all = append(all, p)
	}
	for i := range all {
		all[i].Status = statusOf(all[i].Binding, []faas.Gateway{*one})
	}
	return all, nil
}

// statusOf is the best that one of the gateways of a binding can say.
func statusOf(b faas.GatewayBinding, members []faas.Gateway) OnlineStatus {
	status := Unreported
	for i := range members {
		one := &members[i]
		if one.Product != b.Product || b.SN != "" && one.SN != b.SN {
			continue
		}
		f, known := one.Report.Function(b.Function.Name)
		switch {
		case !known || one.ReportedAt.Before(b.BoundAt):
		case one.Online && f.State == faas.GatewayFunctionRunning:
			return Online
		default:
			status = Offline
		}
	}
	return status
}

// GatewaysOf lists the gateways that have a function, itself or by their product.
func (g *Gateways) GatewaysOf(ctx context.Context, project string, urn faas.URN) ([]faas.Gateway, error) {
	f, err := g.cfg.Functions.Get(ctx, project, urn)
	if err != nil {
		return nil, err
	}
	bindings, err := g.cfg.Store.GatewayBindings(ctx, faas.BindingFilter{Project: project, Package: f.Package, Name: f.Name})
	if err != nil || len(bindings) == 0 {
		return nil, err
	}
	all, _, err := g.cfg.Store.Gateways(ctx, faas.GatewayFilter{Project: project})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(one faas.Gateway) bool {
		return !slices.ContainsFunc(bindings, func(b faas.GatewayBinding) bool { return b.Product == one.Product && (b.SN == "" || b.SN == one.SN) })
	}), nil
}

// Sums gives the digests of a function's package that its own name does not tell.
func (g *Gateways) Sums(ctx context.Context, f *faas.Function) (faas.PackageSums, error) {
	if f.Code.Digest == "" || f.Code.Kind == faas.KindImage {
		return faas.PackageSums{}, nil
	}
	sums, err := g.cfg.Store.PackageSums(ctx, f.Code.Digest)
	if err != nil || sums != (faas.PackageSums{}) {
		return sums, err
	}
	r, err := g.cfg.Packages.Open(ctx, f.Code.Digest)
	if err != nil {
		return sums, err
	}
	defer r.Close()
	long, short := sha256.New(), md5.New()
	if _, err := io.Copy(io.MultiWriter(long, short), r); err != nil {
		return sums, fmt.Errorf("read package of function %s: %w", f.Name, err)
	}
	sums = faas.PackageSums{SHA256: hex.EncodeToString(long.Sum(nil)), MD5: hex.EncodeToString(short.Sum(nil))}
	return sums, g.cfg.Store.SavePackageSums(ctx, f.Code.Digest, sums)
}

// Variables gives the user data of a function, secrets included, for a gateway that runs it.
func (g *Gateways) Variables(f *faas.Function) (map[string]string, error) {
	return g.cfg.Functions.Variables(f)
}

// ConfigOf is the configuration that a function has in a place.
func (p *Placed) ConfigOf() string {
	if p.Setting != nil && p.Setting.Config != "" {
		return p.Setting.Config
	}
	return cmp.Or(p.Function.Spec.Config, "{}")
}

// deployTime is how long a gateway may take to report.
const deployTime = 5 * time.Minute
