package uiot

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
)

func (b *placeRequest) place() faas.GatewayID {
	return faas.GatewayID{Product: b.ProductSN, SN: b.GatewaySN}
}

// to is place for what changes something there. A gateway in the wrong field would be every gateway of the product.
func (b *placeRequest) to() (faas.GatewayID, error) {
	if b.DeviceSN != "" {
		return faas.GatewayID{}, faas.Errorf(faas.CodeInvalid, "DeviceSN", "DeviceSN is a field of message routes; name the gateway by GatewaySN")
	}
	return b.place(), nil
}

func (a *API) bind(w http.ResponseWriter, r *http.Request) error {
	return a.place(w, r, a.Placed.Bind)
}

func (a *API) unbind(w http.ResponseWriter, r *http.Request) error {
	return a.place(w, r, a.Placed.Unbind)
}

// place does something with the function and the place that a request names.
func (a *API) place(w http.ResponseWriter, r *http.Request, do func(context.Context, string, faas.URN, faas.GatewayID) error) error {
	s, b, err := begin[placeRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	urn, err := named(b.FunctionName)
	if err != nil {
		return err
	}
	place, err := b.to()
	if err != nil {
		return err
	}
	if err := do(r.Context(), s.project, urn, place); err != nil {
		return err
	}
	return ok(w, nil)
}

// bound lists what is bound in a place, or anywhere where none is named: then each function once.
func (a *API) bound(r *http.Request, project string, id faas.GatewayID) ([]control.Placed, error) {
	if id != (faas.GatewayID{}) {
		return a.Placed.On(r.Context(), project, id)
	}
	all, err := a.Placed.Bound(r.Context(), project)
	var list []control.Placed
	seen := map[string]bool{}
	for _, p := range all {
		if !seen[p.Function.ID] {
			list = append(list, p)
		}
		seen[p.Function.ID] = true
	}
	return list, err
}

// boundItem is a function in its place (seed "uiot-edge-function-api", the list of what is bound).
type boundItem struct {
	functionItem
	Cron         string
	CronEnable   bool
	OnlineStatus control.OnlineStatus
	Status       bool // whether it runs
}

// boundList has names that differ from those of the other lists, as the document has them.
type boundList struct {
	Count        int         `json:"count"`
	FunctionList []boundItem `json:"functionList"`
}

func (a *API) listBound(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[placeRequest](a, r, auth.ActionRead)
	if err != nil {
		return err
	}
	found, err := a.bound(r, s.project, b.place())
	if err != nil {
		return err
	}
	var named []control.Placed
	for _, p := range found {
		if p.Function.Package == faas.DefaultPackage && strings.Contains(p.Function.Name, b.FunctionName) {
			named = append(named, p)
		}
	}
	part, err := page(named, b.Offset, b.Limit)
	if err != nil {
		return err
	}
	answer := boundList{Count: len(named), FunctionList: []boundItem{}}
	for _, p := range part {
		item, err := a.toItem(r, p.Function)
		if err != nil {
			return err
		}
		bound := boundItem{functionItem: item, OnlineStatus: p.Status, Status: p.Status == control.Online}
		if set := p.Setting; set != nil {
			bound.Cron, bound.CronEnable = set.Cron, set.CronEnable
			bound.Config = base64.StdEncoding.EncodeToString([]byte(p.ConfigOf()))
		}
		answer.FunctionList = append(answer.FunctionList, bound)
	}
	return ok(w, answer)
}

func (a *API) listUnbound(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[placeRequest](a, r, auth.ActionRead)
	if err != nil {
		return err
	}
	bound, err := a.bound(r, s.project, b.place())
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, p := range bound {
		there[p.Function.ID] = true
	}
	all, err := a.all(r, s.project, b.FunctionName)
	if err != nil {
		return err
	}
	var free []*faas.Function
	for _, f := range all {
		if !there[f.ID] {
			free = append(free, f)
		}
	}
	return a.writeList(w, r, free, b)
}

type configRequest struct {
	placeRequest
	Cron       *string
	CronEnable *bool
	Config     *string
}

func (a *API) configure(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[configRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	urn, err := named(b.FunctionName)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		name    string
		missing bool
	}{{"Cron", b.Cron == nil}, {"CronEnable", b.CronEnable == nil}, {"Config", b.Config == nil}} {
		if part.missing {
			return faas.Errorf(faas.CodeInvalid, part.name, "%s must be given", part.name)
		}
	}
	config, err := readConfig(*b.Config)
	if err != nil {
		return err
	}
	place, err := b.to()
	if err != nil {
		return err
	}
	set := faas.GatewaySetting{Cron: *b.Cron, CronEnable: *b.CronEnable, Config: config}
	if err := a.Placed.Configure(r.Context(), s.project, urn, place, set); err != nil {
		return err
	}
	return ok(w, nil)
}

type gatewayItem struct {
	ProductSN   string
	ProductName string
	DeviceSN    string
	Description string
}

func (a *API) gatewaysOf(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[placeRequest](a, r, auth.ActionRead)
	if err != nil {
		return err
	}
	urn, err := named(b.FunctionName)
	if err != nil {
		return err
	}
	found, err := a.Placed.GatewaysOf(r.Context(), s.project, urn)
	if err != nil {
		return err
	}
	names, err := a.productNames(r, s.project)
	if err != nil {
		return err
	}
	all := []gatewayItem{}
	for _, g := range found {
		if strings.Contains(g.SN, b.GatewaySN) && (b.ProductSN == "" || b.ProductSN == g.Product) {
			all = append(all, gatewayItem{g.Product, names[g.Product].Name, g.SN, g.Description})
		}
	}
	part, err := page(all, b.Offset, b.Limit)
	if err != nil {
		return err
	}
	return ok(w, struct {
		Count          int
		GatwayInfoList []gatewayItem // spelt as the document does
	}{len(all), part})
}

func (a *API) productNames(r *http.Request, project string) (map[string]faas.Product, error) {
	products, err := a.Placed.Products(r.Context(), project)
	byName := map[string]faas.Product{}
	for _, p := range products {
		byName[p.SN] = p
	}
	return byName, err
}

type deploymentRequest struct {
	ProductSN    string
	DeviceSN     string
	KeepLocal    bool // nothing is local to a gateway here, so there is nothing that would be kept
	DeploymentID int64
}

func (a *API) deploy(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[deploymentRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	one, err := a.Placed.Gateway(r.Context(), s.project, faas.GatewayID{Product: b.ProductSN, SN: b.DeviceSN})
	if err != nil {
		return err
	}
	version, err := a.Gateways.Refresh(r.Context(), one.GatewayID)
	if err != nil {
		return err
	}
	d, err := a.Placed.Deploy(r.Context(), &one, version)
	if err != nil {
		return err
	}
	return ok(w, struct{ DeploymentID int64 }{d.ID})
}

type deploymentInfo struct {
	DeploymentID     int64
	Status           string
	CreateTime       int64
	LastModifiedTime int64
	Log              string
}

func (a *API) deployment(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[deploymentRequest](a, r, auth.ActionRead)
	if err != nil {
		return err
	}
	d, err := a.Placed.Deployment(r.Context(), s.project, b.DeploymentID)
	if err != nil {
		return err
	}
	info := deploymentInfo{DeploymentID: d.ID, Status: d.State, CreateTime: d.CreatedAt.UnixMilli(), LastModifiedTime: d.CreatedAt.UnixMilli(), Log: d.Log}
	if d.At != 0 {
		info.LastModifiedTime = d.At
	}
	return ok(w, info)
}
