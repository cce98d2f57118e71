package control

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"time"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// GatewayStore keeps gateways and what belongs to them. Each method is one whole transaction; what it acknowledges is on disk.
type GatewayStore interface {
	CreateProduct(ctx context.Context, p *faas.Product) error
	Product(ctx context.Context, sn string) (faas.Product, error)
	Products(ctx context.Context, project string) ([]faas.Product, error)
	UpdateProduct(ctx context.Context, sn string, change func(*faas.Product) error) error
	DeleteProduct(ctx context.Context, sn string) error
	CreateGateway(ctx context.Context, g *faas.Gateway) error
	Gateway(ctx context.Context, id faas.GatewayID) (faas.Gateway, error)
	Gateways(ctx context.Context, f faas.GatewayFilter) ([]faas.Gateway, int64, error)
	UpdateGateway(ctx context.Context, id faas.GatewayID, change func(*faas.Gateway) error) (faas.Gateway, error)
	DeleteGateway(ctx context.Context, id faas.GatewayID) error
	PlacementStore
	ReleaseStore
}

// GatewayChanges hears of gateways whose desired state may have changed, and of those that must leave. SN "" is all of a product.
type GatewayChanges interface {
	GatewayChanged(id faas.GatewayID)
	// GatewayBarred tells that the gateway's credentials are good no more.
	GatewayBarred(id faas.GatewayID)
}

// GatewaysConfig is what Gateways needs. All of it is required but Now.
type GatewaysConfig struct {
	Store     GatewayStore
	Functions *Functions
	Packages  PackageStore
	Sealer    Sealer
	Changes   GatewayChanges
	Now       func() time.Time // nil means time.Now
}

// Gateways are the use cases on products, gateways and what is bound to them. A thing of another project does not exist.
type Gateways struct{ cfg GatewaysConfig }

// NewGateways makes the use cases.
func NewGateways(cfg GatewaysConfig) *Gateways {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Gateways{cfg}
}

func (g *Gateways) now() time.Time { return g.cfg.Now().UTC().Truncate(time.Millisecond) }

const (
	serialLength = 16
	maxTitleText = 64  // characters of a product's name
	maxRemark    = 256 // characters of a description
)

// serial draws a serial number or a secret: 16 lower-case letters and digits, as the vendor's are. 80 bits of it are chance.
func serial() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	var random [serialLength]byte
	rand.Read(random[:]) // never fails
	for i := range random {
		random[i] = alphabet[random[i]&31]
	}
	return string(random[:])
}

func checkTexts(name, description string) error {
	switch {
	case !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxTitleText:
		return faas.Errorf(faas.CodeInvalid, "name", "the name must have at most %d characters", maxTitleText)
	case !utf8.ValidString(description) || utf8.RuneCountInString(description) > maxRemark:
		return faas.Errorf(faas.CodeInvalid, "description", "the description must have at most %d characters", maxRemark)
	}
	return nil
}

func productLabel(sn string) string          { return "edge_product:" + sn }
func gatewayLabel(id faas.GatewayID) string  { return "edge_gateway:" + id.Product + "/" + id.SN }
func (g *Gateways) seal(label string) []byte { return g.cfg.Sealer.Seal(label, []byte(serial())) }
func missingGateway(id faas.GatewayID) error { return faas.NotFound("gateway", id.SN) }
func missingProduct(productSN string) error  { return faas.NotFound("product", productSN) }

// CreateProduct makes a product; its SN is drawn where it is "". Errors: CodeInvalid, field "product", "name" or "description";
// CodeExists, field "product".
func (g *Gateways) CreateProduct(ctx context.Context, p faas.Product) (faas.Product, error) {
	if p.SN == "" {
		p.SN = serial()
	}
	if err := faas.CheckSN("product", p.SN); err != nil {
		return p, err
	}
	if err := checkTexts(p.Name, p.Description); err != nil {
		return p, err
	}
	p.CreatedAt, p.SealedSecret = g.now(), g.seal(productLabel(p.SN))
	return p, g.cfg.Store.CreateProduct(ctx, &p)
}

// Product gives a product. Error: CodeNotFound, field "product".
func (g *Gateways) Product(ctx context.Context, project, sn string) (faas.Product, error) {
	p, err := g.cfg.Store.Product(ctx, sn)
	if err == nil && p.Project != project {
		return faas.Product{}, missingProduct(sn)
	}
	return p, err
}

// Products lists the products of a project.
func (g *Gateways) Products(ctx context.Context, project string) ([]faas.Product, error) {
	return g.cfg.Store.Products(ctx, project)
}

// ProductSecret opens the secret of a product.
func (g *Gateways) ProductSecret(p *faas.Product) (string, error) {
	plain, err := g.cfg.Sealer.Open(productLabel(p.SN), p.SealedSecret)
	return string(plain), err
}

// ProductUpdate is a change of a product; nil leaves a part.
type ProductUpdate struct {
	Name, Description    *string
	Dynamic, PreRegister *bool
	Renew                bool // a new secret
}

// UpdateProduct changes a product. Errors: CodeNotFound, field "product"; CodeInvalid, field "name" or "description".
func (g *Gateways) UpdateProduct(ctx context.Context, project, sn string, u ProductUpdate) error {
	if _, err := g.Product(ctx, project, sn); err != nil {
		return err
	}
	return g.cfg.Store.UpdateProduct(ctx, sn, func(p *faas.Product) error {
		assign(&p.Name, u.Name)
		assign(&p.Description, u.Description)
		assign(&p.Dynamic, u.Dynamic)
		assign(&p.PreRegister, u.PreRegister)
		if u.Renew {
			p.SealedSecret = g.seal(productLabel(sn))
		}
		return checkTexts(p.Name, p.Description)
	})
}

// DeleteProduct removes a product. Errors: CodeNotFound, field "product"; CodeConflict, field "product", while it has gateways.
func (g *Gateways) DeleteProduct(ctx context.Context, project, sn string) error {
	if _, err := g.Product(ctx, project, sn); err != nil {
		return err
	}
	return g.cfg.Store.DeleteProduct(ctx, sn)
}

// CreateGateway makes a gateway of a product; its SN is drawn where it is "". Errors: CodeInvalid, field "gateway" or
// "description"; CodeExists, field "gateway"; CodeNotFound, field "product".
func (g *Gateways) CreateGateway(ctx context.Context, project string, id faas.GatewayID, description string) (faas.Gateway, error) {
	if id.SN == "" {
		id.SN = serial()
	}
	made := faas.Gateway{GatewayID: id, Project: project, Description: description, CreatedAt: g.now()}
	if err := faas.CheckSN("gateway", id.SN); err != nil {
		return made, err
	}
	if err := checkTexts("", description); err != nil {
		return made, err
	}
	made.SealedSecret = g.seal(gatewayLabel(id))
	return made, g.cfg.Store.CreateGateway(ctx, &made)
}

// Gateway gives a gateway. Where id names no product, the project must have one gateway of that serial number alone. Errors:
// CodeNotFound, field "gateway"; CodeInvalid, field "product", where several have it.
func (g *Gateways) Gateway(ctx context.Context, project string, id faas.GatewayID) (faas.Gateway, error) {
	if id.SN == "" {
		return faas.Gateway{}, missingGateway(id)
	}
	if id.Product == "" {
		found, _, err := g.cfg.Store.Gateways(ctx, faas.GatewayFilter{Project: project, SN: id.SN, Limit: 2})
		switch {
		case err != nil:
			return faas.Gateway{}, err
		case len(found) == 0:
			return faas.Gateway{}, missingGateway(id)
		case len(found) > 1:
			return faas.Gateway{}, faas.Errorf(faas.CodeInvalid, "product", "gateways of several products have the serial number %q; name the product too", id.SN)
		}
		return found[0], nil
	}
	found, err := g.cfg.Store.Gateway(ctx, id)
	if err == nil && found.Project != project {
		return faas.Gateway{}, missingGateway(id)
	}
	return found, err
}

// Gateways lists gateways, and counts all that match.
func (g *Gateways) Gateways(ctx context.Context, f faas.GatewayFilter) ([]faas.Gateway, int64, error) {
	return g.cfg.Store.Gateways(ctx, f)
}

// Secret opens the secret of a gateway.
func (g *Gateways) Secret(one *faas.Gateway) (string, error) {
	plain, err := g.cfg.Sealer.Open(gatewayLabel(one.GatewayID), one.SealedSecret)
	return string(plain), err
}

// GatewayUpdate is a change of a gateway; nil leaves a part.
type GatewayUpdate struct {
	Description *string
	Disabled    *bool
	Renew       bool // a new secret; it counts as never seen, so that it may ask for the secret
}

// UpdateGateway changes a gateway. One whose credentials went is cut off. Errors: CodeNotFound, field "gateway"; CodeInvalid, field
// "description".
func (g *Gateways) UpdateGateway(ctx context.Context, project string, id faas.GatewayID, u GatewayUpdate) (faas.Gateway, error) {
	found, err := g.Gateway(ctx, project, id)
	if err != nil {
		return found, err
	}
	found, err = g.cfg.Store.UpdateGateway(ctx, found.GatewayID, func(one *faas.Gateway) error {
		assign(&one.Description, u.Description)
		assign(&one.Disabled, u.Disabled)
		if u.Renew {
			one.SealedSecret, one.ActivatedAt = g.seal(gatewayLabel(one.GatewayID)), time.Time{}
		}
		return checkTexts("", one.Description)
	})
	if err == nil && (u.Renew || found.Disabled) {
		g.cfg.Changes.GatewayBarred(found.GatewayID)
	}
	return found, err
}

// DeleteGateway removes a gateway and cuts it off. Errors: CodeNotFound, field "gateway"; CodeConflict, field "gateway", while
// functions are bound to it by itself.
func (g *Gateways) DeleteGateway(ctx context.Context, project string, id faas.GatewayID) error {
	found, err := g.Gateway(ctx, project, id)
	if err != nil {
		return err
	}
	if err := g.cfg.Store.DeleteGateway(ctx, found.GatewayID); err != nil {
		return err
	}
	g.cfg.Changes.GatewayBarred(found.GatewayID)
	return nil
}

var errLogin = faas.Errorf(faas.CodeUnauthenticated, "gateway", "the gateway, its product or its secret is wrong, or it is disabled")

// Login proves a gateway by its secret. Error: CodeUnauthenticated, field "gateway".
func (g *Gateways) Login(ctx context.Context, id faas.GatewayID, secret string) error {
	one, err := g.cfg.Store.Gateway(ctx, id)
	if faas.CodeOf(err) == faas.CodeNotFound || err == nil && one.Disabled {
		return errLogin
	}
	if err != nil {
		return err
	}
	return g.matches(gatewayLabel(id), one.SealedSecret, secret)
}

func (g *Gateways) matches(label string, sealed []byte, secret string) error {
	plain, err := g.cfg.Sealer.Open(label, sealed)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(plain, []byte(secret)) != 1 {
		return errLogin
	}
	return nil
}

// LoginProduct proves a gateway that has no secret yet, by its product's. Error: CodeUnauthenticated, field "gateway".
func (g *Gateways) LoginProduct(ctx context.Context, id faas.GatewayID, secret string) error {
	p, err := g.cfg.Store.Product(ctx, id.Product)
	if faas.CodeOf(err) == faas.CodeNotFound || err == nil && !p.Dynamic {
		return errLogin
	}
	if err != nil {
		return err
	}
	return g.matches(productLabel(p.SN), p.SealedSecret, secret)
}

// Register gives a gateway that has proved its product's secret its own, and makes it where the product lets any be made. Errors:
// CodeForbidden, field "gateway", for one that was not made before, is disabled, or has logged in already.
func (g *Gateways) Register(ctx context.Context, id faas.GatewayID) (string, error) {
	p, err := g.cfg.Store.Product(ctx, id.Product)
	if err != nil {
		return "", err
	}
	one, err := g.cfg.Store.Gateway(ctx, id)
	switch {
	case faas.CodeOf(err) == faas.CodeNotFound && p.PreRegister:
		return "", faas.Errorf(faas.CodeForbidden, "gateway", "gateway %q was not registered before, which its product wants", id.SN)
	case faas.CodeOf(err) == faas.CodeNotFound:
		if one, err = g.CreateGateway(ctx, p.Project, id, ""); err != nil {
			return "", err
		}
	case err != nil:
		return "", err
	case one.Disabled || !one.ActivatedAt.IsZero():
		return "", faas.Errorf(faas.CodeForbidden, "gateway", "gateway %q is active already or disabled, so its secret is told no more", id.SN)
	}
	return g.Secret(&one)
}
