package uiot

import (
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

func (a *API) deviceRoutes(post func(path, operation string, handle httpkit.Handler) httpkit.Route) []httpkit.Route {
	return []httpkit.Route{
		post("product/create", "CreateProduct", a.createProduct),
		post("product/list", "ListProducts", a.listProducts),
		post("product/update", "UpdateProduct", a.updateProduct),
		post("product/delete", "DeleteProducts", a.deleteProducts),
		{Method: http.MethodGet, Path: "/api/v1/product/info", Operation: "ShowProduct", Handle: a.productInfo},
		post("product/dynamic_register", "SetDynamicRegister", a.dynamicRegister),
		post("product/pre_register", "SetPreRegister", a.preRegister),
		post("product/reset", "ResetProduct", a.resetProduct),
		post("device/create", "CreateDevice", a.createDevice),
		post("device/list", "ListDevices", a.listDevices),
		{Method: http.MethodGet, Path: "/api/v1/device/info", Operation: "ShowDevice", Handle: a.deviceInfo},
		post("device/update", "UpdateDevice", a.updateDevice),
		post("device/delete", "DeleteDevice", a.deleteDevice),
		post("device/reset", "ResetDevice", a.resetDevice),
		post("device/enable", "EnableDevices", a.enableDevices),
	}
}

// kindGateway is the only kind of product that there is here.
const kindGateway = "gateway"

type productRequest struct {
	ProductSN     string
	ProductSNList []string
	ProductName   *string
	Description   *string
	ProductType   string
	Enabled       *bool
	Limit, Offset int
}

type productItem struct {
	ProductID        int64
	ProductName      string
	ProductSN        string
	ProductType      string
	ProductPassword  string
	ProductPublished bool // always false: nothing here depends on it
	Description      string
	CreatedTime      int64
	PreRegister      bool
	DynamicRegister  bool
	DeviceNumber     int64
}

func (a *API) createProduct(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[productRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if b.ProductType != kindGateway {
		return faas.Errorf(faas.CodeUnsupported, "ProductType", "ProductType %.20q is not kept here: products are gateways", b.ProductType)
	}
	if b.ProductName == nil || *b.ProductName == "" {
		return faas.Errorf(faas.CodeInvalid, "ProductName", "ProductName must be given")
	}
	p := faas.Product{SN: b.ProductSN, Project: s.project, Name: *b.ProductName}
	if b.Description != nil {
		p.Description = *b.Description
	}
	if p, err = a.Placed.CreateProduct(r.Context(), p); err != nil {
		return err
	}
	return ok(w, struct {
		ProductID int64
		ProductSN string // beside what the document has, as it is needed next
	}{p.Number, p.SN})
}

// members counts the gateways of products: all, those that have been here, those that are here.
type members struct{ all, active, online int64 }

func (a *API) members(r *http.Request, project string) (map[string]members, error) {
	all, _, err := a.Placed.Gateways(r.Context(), faas.GatewayFilter{Project: project})
	count := map[string]members{}
	for _, g := range all {
		m := count[g.Product]
		m.all++
		if !g.ActivatedAt.IsZero() {
			m.active++
		}
		if g.Online {
			m.online++
		}
		count[g.Product] = m
	}
	return count, err
}

func (a *API) listProducts(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[productRequest](a, r, auth.ActionRead)
	if err != nil {
		return err
	}
	products, err := a.Placed.Products(r.Context(), s.project)
	if err != nil {
		return err
	}
	if b.ProductType != "" && b.ProductType != kindGateway {
		products = nil
	}
	count, err := a.members(r, s.project)
	if err != nil {
		return err
	}
	part, err := page(products, b.Offset, b.Limit)
	if err != nil {
		return err
	}
	items := []productItem{}
	for _, p := range part {
		secret, err := s.secret(a.Placed.ProductSecret(&p))
		if err != nil {
			return err
		}
		items = append(items, productItem{
			ProductID: p.Number, ProductName: p.Name, ProductSN: p.SN, ProductType: kindGateway, ProductPassword: secret, Description: p.Description,
			CreatedTime: p.CreatedAt.UnixMilli(), PreRegister: p.PreRegister, DynamicRegister: p.Dynamic, DeviceNumber: count[p.SN].all,
		})
	}
	return ok(w, struct {
		Count       int
		ProductList []productItem
	}{len(products), items})
}

func (a *API) productInfo(w http.ResponseWriter, r *http.Request) error {
	s, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	p, err := a.Placed.Product(r.Context(), s.project, r.URL.Query().Get("ProductSN"))
	if err != nil {
		return err
	}
	secret, err := s.secret(a.Placed.ProductSecret(&p))
	if err != nil {
		return err
	}
	count, err := a.members(r, s.project)
	if err != nil {
		return err
	}
	m := count[p.SN]
	return ok(w, struct {
		ActiveCount                  int64
		CreatedTime                  int64
		Description                  string
		DeviceCount, OnlineCount     int64
		ProductID                    int64
		ProductName, ProductPassword string
		ProductPublished             bool
		ProductSN, ProductType       string
		PreRegister, DynamicRegister bool
	}{
		m.active, p.CreatedAt.UnixMilli(), p.Description, m.all, m.online, p.Number, p.Name, secret, false, p.SN, kindGateway, p.PreRegister, p.Dynamic,
	})
}

// changeProduct is every change of one product.
func (a *API) changeProduct(w http.ResponseWriter, r *http.Request, change func(productRequest) (control.ProductUpdate, error)) error {
	s, b, err := begin[productRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	u, err := change(b)
	if err != nil {
		return err
	}
	if err := a.Placed.UpdateProduct(r.Context(), s.project, b.ProductSN, u); err != nil {
		return err
	}
	return ok(w, nil)
}

func (a *API) updateProduct(w http.ResponseWriter, r *http.Request) error {
	return a.changeProduct(w, r, func(b productRequest) (control.ProductUpdate, error) {
		return control.ProductUpdate{Name: b.ProductName, Description: b.Description}, nil
	})
}

func enabled(on *bool) error {
	if on == nil {
		return faas.Errorf(faas.CodeInvalid, "Enabled", "Enabled must be given")
	}
	return nil
}

func (a *API) dynamicRegister(w http.ResponseWriter, r *http.Request) error {
	return a.changeProduct(w, r, func(b productRequest) (control.ProductUpdate, error) {
		return control.ProductUpdate{Dynamic: b.Enabled}, enabled(b.Enabled)
	})
}

func (a *API) preRegister(w http.ResponseWriter, r *http.Request) error {
	return a.changeProduct(w, r, func(b productRequest) (control.ProductUpdate, error) {
		return control.ProductUpdate{PreRegister: b.Enabled}, enabled(b.Enabled)
	})
}

func (a *API) resetProduct(w http.ResponseWriter, r *http.Request) error {
	return a.changeProduct(w, r, func(productRequest) (control.ProductUpdate, error) { return control.ProductUpdate{Renew: true}, nil })
}

func (a *API) deleteProducts(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[productRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if len(b.ProductSNList) == 0 {
		return faas.Errorf(faas.CodeInvalid, "ProductSNList", "ProductSNList must name a product")
	}
	for _, sn := range b.ProductSNList {
		if err := a.Placed.DeleteProduct(r.Context(), s.project, sn); err != nil {
			return err
		}
	}
	return ok(w, nil)
}

type deviceRequest struct {
	ProductSN     string
	DeviceSN      string
	Description   *string
	Limit, Offset int
}

func (b *deviceRequest) id() faas.GatewayID {
	return faas.GatewayID{Product: b.ProductSN, SN: b.DeviceSN}
}

type deviceItem struct {
	DeviceID        int64
	ProductID       int64
	ProductName     string
	ProductType     string
	ProductSN       string
	DeviceSN        string
	DevicePassword  string
	Description     string `json:",omitempty"`
	OnlineStatus    string
	CreatedTime     int64
	LastOnlineTime  int64 `json:",omitempty"`
	LastOfflineTime int64 `json:",omitempty"`
	ActiveTime      int64 `json:",omitempty"`
	Enabled         bool
}

func (a *API) toDevice(s *scope, g *faas.Gateway, p faas.Product) (deviceItem, error) {
	secret, err := s.secret(a.Placed.Secret(g))
	item := deviceItem{
		DeviceID: g.Number, ProductID: p.Number, ProductName: p.Name, ProductType: kindGateway, ProductSN: g.Product, DeviceSN: g.SN, DevicePassword: secret,
		Description: g.Description, OnlineStatus: "offline", CreatedTime: g.CreatedAt.UnixMilli(), LastOnlineTime: millis(g.ConnectedAt),
		LastOfflineTime: millis(g.LeftAt), ActiveTime: millis(g.ActivatedAt), Enabled: !g.Disabled,
	}
	switch {
	case g.ActivatedAt.IsZero():
		item.OnlineStatus = "inactivated"
	case g.Online:
		item.OnlineStatus = "online"
	}
	return item, err
}

func (a *API) createDevice(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[deviceRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	description := ""
	if b.Description != nil {
		description = *b.Description
	}
	g, err := a.Placed.CreateGateway(r.Context(), s.project, b.id(), description)
	if err != nil {
		return err
	}
	secret, err := a.Placed.Secret(&g)
	if err != nil {
		return err
	}
	return ok(w, struct {
		DeviceID int64
		DeviceSN string
		Password string
	}{g.Number, g.SN, secret})
}

func (a *API) listDevices(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[deviceRequest](a, r, auth.ActionRead)
	if err != nil {
		return err
	}
	if b.Offset < 0 || b.Limit < 0 {
		return faas.Errorf(faas.CodeInvalid, "Limit", "Limit and Offset must not be negative")
	}
	found, total, err := a.Placed.Gateways(r.Context(), faas.GatewayFilter{Project: s.project, Product: b.ProductSN, SNPart: b.DeviceSN, Offset: int64(b.Offset), Limit: b.Limit})
	if err != nil {
		return err
	}
	names, err := a.productNames(r, s.project)
	if err != nil {
		return err
	}
	items := []deviceItem{}
	for i := range found {
		item, err := a.toDevice(&s, &found[i], names[found[i].Product])
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	return ok(w, struct {
		Count     int64
		DeviceSet []deviceItem
	}{total, items})
}

func (a *API) deviceInfo(w http.ResponseWriter, r *http.Request) error {
	s, err := a.enter(r, auth.ActionRead)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	g, err := a.Placed.Gateway(r.Context(), s.project, faas.GatewayID{Product: q.Get("ProductSN"), SN: q.Get("DeviceSN")})
	if err != nil {
		return err
	}
	p, err := a.Placed.Product(r.Context(), s.project, g.Product)
	if err != nil {
		return err
	}
	item, err := a.toDevice(&s, &g, p)
	if err != nil {
		return err
	}
	return ok(w, struct{ DeviceInfo deviceItem }{item})
}

func (a *API) updateDevice(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[deviceRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if _, err := a.Placed.UpdateGateway(r.Context(), s.project, b.id(), control.GatewayUpdate{Description: b.Description}); err != nil {
		return err
	}
	return ok(w, nil)
}

func (a *API) deleteDevice(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[deviceRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Placed.DeleteGateway(r.Context(), s.project, b.id()); err != nil {
		return err
	}
	return ok(w, nil)
}

// resetDevice gives a gateway a new secret; it counts as never seen.
func (a *API) resetDevice(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[deviceRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if _, err := a.Placed.UpdateGateway(r.Context(), s.project, b.id(), control.GatewayUpdate{Renew: true}); err != nil {
		return err
	}
	return ok(w, nil)
}

type enableRequest struct {
	ProductSN string
	DeviceSN  []string
	Enabled   *bool
}

func (a *API) enableDevices(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[enableRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := enabled(b.Enabled); err != nil {
		return err
	}
	disabled := !*b.Enabled
	for _, sn := range b.DeviceSN {
		id := faas.GatewayID{Product: b.ProductSN, SN: sn}
		if _, err := a.Placed.UpdateGateway(r.Context(), s.project, id, control.GatewayUpdate{Disabled: &disabled}); err != nil {
			return err
		}
	}
	return ok(w, nil)
}
