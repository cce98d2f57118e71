package uiot

import (
	"net/http"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

func (a *API) messageRoutes(post func(path, operation string, handle httpkit.Handler) httpkit.Route) []httpkit.Route {
	return []httpkit.Route{
		post("messagerouter/create", "CreateMessageRoute", a.createRoute),
		post("messagerouter/update", "UpdateMessageRoute", a.updateRoute),
		post("messagerouter/delete", "DeleteMessageRoutes", a.deleteRoutes),
		post("messagerouter/info", "ShowMessageRoute", a.routeInfo),
		post("messagerouter/list", "ListMessageRoutes", a.listRoutes),
		post("messagerouter/enable", "EnableMessageRoutes", a.enableRoutes),
	}
}

// routeRequest is the body of the calls about one route (edge reference 1.3).
type routeRequest struct {
	GatewayProductSN string
	GatewaySN        string
	RouterID         int64
	ProductSN        string
	DeviceSN         string
	Description      string
	RouterName       string
	SrcType          string
	SrcID            string
	DestType         string
	DestID           string
	IsCached         bool
	FilterTopic      string
	TopicSuffix      string
	FilterTopicType  string
	Limit, Offset    int
}

func (b *routeRequest) gateway() faas.GatewayID {
	return faas.GatewayID{Product: b.GatewayProductSN, SN: b.GatewaySN}
}

// subdev is what the document's examples call sub-devices, beside "local" of its tables.
const subdev = "subdev"

func placeOf(text string) string {
	if text == subdev {
		return faas.RouteLocal
	}
	return text
}

// route reads a route. Its topic is given whole, or by the serial numbers and what stands behind them.
func (b *routeRequest) route(project string) faas.MessageRoute {
	topic := b.FilterTopic
	if topic == "" && b.TopicSuffix != "" {
		topic = strings.TrimPrefix(b.TopicSuffix, "/")
		switch b.FilterTopicType {
		case "local":
			topic = "/" + topic
		case "sys":
			topic = "/$system/" + b.ProductSN + "/" + b.DeviceSN + "/" + topic
		default:
			topic = "/" + b.ProductSN + "/" + b.DeviceSN + "/" + topic
		}
	}
	return faas.MessageRoute{
		ID: b.RouterID, Project: project, GatewayID: b.gateway(), Name: b.RouterName, Description: b.Description,
		From: placeOf(b.SrcType), FromID: b.SrcID, To: placeOf(b.DestType), ToID: b.DestID, Topic: topic, TopicKind: b.FilterTopicType,
		TopicProduct: b.ProductSN, TopicDevice: b.DeviceSN, TopicSuffix: b.TopicSuffix, Cached: b.IsCached,
	}
}

func (a *API) createRoute(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[routeRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	b.RouterID = 0
	route, err := a.Placed.PutRoute(r.Context(), b.route(s.project))
	if err != nil {
		return err
	}
	return ok(w, struct{ RouterID int64 }{route.ID})
}

func (a *API) updateRoute(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[routeRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	old, err := a.Placed.Route(r.Context(), s.project, b.gateway(), b.RouterID)
	if err != nil {
		return err
	}
	route := b.route(s.project)
	route.Disabled = old.Disabled
	if _, err := a.Placed.PutRoute(r.Context(), route); err != nil {
		return err
	}
	return ok(w, nil)
}

type routesRequest struct {
	GatewayProductSN string
	GatewaySN        string
	RouterID         []int64
	Enable           *bool
}

func (b *routesRequest) gateway() faas.GatewayID {
	return faas.GatewayID{Product: b.GatewayProductSN, SN: b.GatewaySN}
}

func (a *API) deleteRoutes(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[routesRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if err := a.Placed.DeleteRoutes(r.Context(), s.project, b.gateway(), b.RouterID); err != nil {
		return err
	}
	return ok(w, nil)
}

func (a *API) enableRoutes(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[routesRequest](a, r, auth.ActionWrite)
	if err != nil {
		return err
	}
	if b.Enable == nil {
		return faas.Errorf(faas.CodeInvalid, "Enable", "Enable must be given")
	}
	for _, id := range b.RouterID {
		route, err := a.Placed.Route(r.Context(), s.project, b.gateway(), id)
		if err != nil {
			return err
		}
		route.Disabled = !*b.Enable
		if _, err := a.Placed.PutRoute(r.Context(), route); err != nil {
			return err
		}
	}
	return ok(w, nil)
}

// routeItem is a route; ids of product and device are those of the gateway.
type routeItem struct {
	RouterID        int64 `json:",omitempty"`
	MessageRouterID int64 `json:",omitempty"` // as lists call it
	ProductSN       string
	ProductID       int64
	DeviceSN        string
	DeviceID        int64
	Description     string
	RouterName      string
	SrcType         string
	SrcID           string `json:",omitempty"`
	DestType        string
	DestID          string `json:",omitempty"`
	IsCached        bool
	Enable          bool
	FilterTopic     string
	TopicSuffix     string
	CreateTime      int64
	FilterTopicType string
}

func toRoute(m faas.MessageRoute, g *faas.Gateway, p faas.Product) routeItem {
	return routeItem{
		ProductSN: m.TopicProduct, ProductID: p.Number, DeviceSN: m.TopicDevice, DeviceID: g.Number, Description: m.Description, RouterName: m.Name,
		SrcType: m.From, SrcID: m.FromID, DestType: m.To, DestID: m.ToID, IsCached: m.Cached, Enable: !m.Disabled, FilterTopic: m.Topic,
		TopicSuffix: m.TopicSuffix, CreateTime: m.CreatedAt.UnixMilli(), FilterTopicType: m.TopicKind,
	}
}

// routesOf gives the routes of a gateway with the gateway and its product.
func (a *API) routesOf(r *http.Request, project string, id faas.GatewayID) (faas.Gateway, faas.Product, []faas.MessageRoute, error) {
	g, err := a.Placed.Gateway(r.Context(), project, id)
	if err != nil {
		return g, faas.Product{}, nil, err
	}
	p, err := a.Placed.Product(r.Context(), project, g.Product)
	if err != nil {
		return g, p, nil, err
	}
	all, err := a.Placed.RoutesOn(r.Context(), &g)
	return g, p, all, err
}

func (a *API) routeInfo(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[routeRequest](a, r, auth.ActionRead)
	if err != nil {
		return err
	}
	g, p, _, err := a.routesOf(r, s.project, b.gateway())
	if err != nil {
		return err
	}
	m, err := a.Placed.Route(r.Context(), s.project, g.GatewayID, b.RouterID)
	if err != nil {
		return err
	}
	item := toRoute(m, &g, p)
	item.RouterID = m.ID
	return ok(w, struct{ RouterInfo routeItem }{item})
}

func (a *API) listRoutes(w http.ResponseWriter, r *http.Request) error {
	s, b, err := begin[routeRequest](a, r, auth.ActionRead)
	if err != nil {
		return err
	}
	g, p, all, err := a.routesOf(r, s.project, b.gateway())
	if err != nil {
		return err
	}
	items := []routeItem{}
	for i := len(all) - 1; i >= 0; i-- { // the youngest first, as the document's example has it
		if strings.Contains(all[i].Name, b.RouterName) {
			item := toRoute(all[i], &g, p)
			item.MessageRouterID = all[i].ID
			items = append(items, item)
		}
	}
	part, err := page(items, b.Offset, b.Limit)
	if err != nil {
		return err
	}
	return ok(w, struct {
		Count      int
		RouterList []routeItem
	}{len(items), part})
}
