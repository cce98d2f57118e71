package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// PutRoute stores a message route of a gateway: a new one where r.ID is 0. Errors: CodeInvalid with the field; CodeNotFound, field
// "gateway" or "route"; CodeQuota, field "routes".
func (g *Gateways) PutRoute(ctx context.Context, r faas.MessageRoute) (faas.MessageRoute, error) {
	one, err := g.Gateway(ctx, r.Project, r.GatewayID)
	if err != nil {
		return r, err
	}
	r.GatewayID, r.CreatedAt = one.GatewayID, g.now()
	if err := checkRoute(&r); err != nil {
		return r, err
	}
	if err := g.cfg.Store.PutMessageRoute(ctx, &r, faas.MaxGatewayRoutes); err != nil {
		return r, err
	}
	g.cfg.Changes.GatewayChanged(r.GatewayID)
	return r, nil
}

func checkRoute(r *faas.MessageRoute) error {
	places := []string{faas.RouteLocal, faas.RouteCloud, faas.RouteFunction, faas.RouteApp}
	named := func(place string) bool { return place == faas.RouteFunction || place == faas.RouteApp }
	switch {
	case !utf8.ValidString(r.Name) || strings.TrimSpace(r.Name) == "" || utf8.RuneCountInString(r.Name) > maxTitleText:
		return faas.Errorf(faas.CodeInvalid, "name", "a route needs a name of at most %d characters", maxTitleText)
	case !slices.Contains(places, r.From):
		return faas.Errorf(faas.CodeInvalid, "from", "the source %.40q must be one of %v", r.From, places)
	case !slices.Contains(places, r.To):
		return faas.Errorf(faas.CodeInvalid, "to", "the destination %.40q must be one of %v", r.To, places)
	case named(r.From) && r.FromID == "":
		return faas.Errorf(faas.CodeInvalid, "from_id", "a source that is a function or an app must be named")
	case named(r.To) && r.ToID == "":
		return faas.Errorf(faas.CodeInvalid, "to_id", "a destination that is a function or an app must be named")
	case r.From == r.To && r.FromID == r.ToID:
		return faas.Errorf(faas.CodeInvalid, "to", "a route must not lead back to where it comes from")
	case !slices.Contains([]string{"sys", "user", "local"}, r.TopicKind):
		return faas.Errorf(faas.CodeInvalid, "topic_type", "the kind of the topic %.40q must be sys, user or local", r.TopicKind)
	case r.TopicKind == "local" && r.To == faas.RouteCloud:
		return faas.Errorf(faas.CodeInvalid, "to", "local topics never leave the gateway")
	case r.Cached && r.To != faas.RouteCloud:
		return faas.Errorf(faas.CodeInvalid, "cached", "only what leads to %s can wait for the gateway to be online", faas.RouteCloud)
	}
	if err := checkTexts("", r.Description); err != nil {
		return err
	}
	return checkTopic(r.Topic)
}

// checkTopic holds a topic filter to MQTT 3.1.1, section 4.7, and to the length of the vendor's topics.
func checkTopic(topic string) error {
	ok := topic != "" && len(topic) <= 128 && utf8.ValidString(topic) && !strings.ContainsRune(topic, 0) && strings.Count(topic, "/") <= 7
	levels := strings.Split(topic, "/")
	for i, level := range levels {
		ok = ok && (level == "+" || level == "#" && i == len(levels)-1 || !strings.ContainsAny(level, "+#"))
	}
	if !ok {
		return faas.Errorf(faas.CodeInvalid, "topic", "topic %.150q must be at most 128 bytes and 7 '/', with '+' for one level and '#' at the end for all below", topic)
	}
	return nil
}

// Routes lists the message routes of a gateway. Error: CodeNotFound, field "gateway".
func (g *Gateways) Routes(ctx context.Context, project string, id faas.GatewayID) ([]faas.MessageRoute, error) {
	one, err := g.Gateway(ctx, project, id)
	if err != nil {
		return nil, err
	}
	return g.cfg.Store.MessageRoutes(ctx, one.GatewayID)
}

// RoutesOn lists those of a gateway that is at hand.
func (g *Gateways) RoutesOn(ctx context.Context, one *faas.Gateway) ([]faas.MessageRoute, error) {
	return g.cfg.Store.MessageRoutes(ctx, one.GatewayID)
}

// Route gives one. Errors: CodeNotFound, field "gateway" or "route".
func (g *Gateways) Route(ctx context.Context, project string, id faas.GatewayID, route int64) (faas.MessageRoute, error) {
	all, err := g.Routes(ctx, project, id)
	if err != nil {
		return faas.MessageRoute{}, err
	}
	for _, r := range all {
		if r.ID == route {
			return r, nil
		}
	}
	return faas.MessageRoute{}, faas.NotFound("route", fmt.Sprint(route))
}

// DeleteRoutes removes message routes of a gateway, all or none. Errors: CodeNotFound, field "gateway" or "route".
func (g *Gateways) DeleteRoutes(ctx context.Context, project string, id faas.GatewayID, routes []int64) error {
	one, err := g.Gateway(ctx, project, id)
	if err != nil {
		return err
	}
	if err := g.cfg.Store.DeleteMessageRoutes(ctx, one.GatewayID, routes); err != nil {
		return err
	}
	g.cfg.Changes.GatewayChanged(one.GatewayID)
	return nil
}

// DeploymentState is what has become of a deployment.
type DeploymentState struct {
	faas.Deployment
	State string // DeployInit, ...
	Log   string
	At    int64 // ms since 1970, of the report that decided it; 0 before
}

// The states of a deployment (edge reference 1.3).
const (
	DeployInit       = "init" // the gateway has not been here
	DeployProcessing = "processing"
	DeploySuccess    = "success"
	DeployFailed     = "failed"
	DeployTimeout    = "timeout"
)

// Deploy notes the wish to see the present desired document, of the version given, stand on a gateway.
func (g *Gateways) Deploy(ctx context.Context, one *faas.Gateway, version uint64) (faas.Deployment, error) {
	d := faas.Deployment{Project: one.Project, GatewayID: one.GatewayID, Version: version, CreatedAt: g.now()}
	return d, g.cfg.Store.CreateDeployment(ctx, &d)
}

// Deployment tells what has become of one. Errors: CodeNotFound, field "deployment" or "gateway".
func (g *Gateways) Deployment(ctx context.Context, project string, id int64) (DeploymentState, error) {
	d, err := g.cfg.Store.Deployment(ctx, project, id)
	if err != nil {
		return DeploymentState{}, err
	}
	one, err := g.cfg.Store.Gateway(ctx, d.GatewayID)
	if err != nil {
		return DeploymentState{}, err
	}
	s := DeploymentState{Deployment: d, State: DeployInit}
	if one.Online {
		s.State = DeployProcessing
	}
	r := one.Report
	if r == nil || r.Version < d.Version {
		if g.now().Sub(d.CreatedAt) > deployTime {
			s.State, s.Log = DeployTimeout, "the gateway has not reported this version within 5 minutes; it takes it when it is online"
		}
		return s, nil
	}
	s.At = one.ReportedAt.UnixMilli()
	switch r.State {
	case faas.GatewayApplied:
		s.State = DeploySuccess
	case faas.GatewayFailed, faas.GatewayRolledBack:
		s.State = DeployFailed
	default:
		s.State = DeployProcessing
	}
	s.Log = deployLog(r)
	return s, nil
}

func deployLog(r *faas.GatewayReport) string {
	var lines []string
	if r.Message != "" {
		lines = append(lines, r.Message)
	}
	for _, f := range r.Functions {
		line := f.Name + " " + f.State
		if f.Message != "" {
			line += ": " + f.Message
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
