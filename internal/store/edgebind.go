package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Bind stores a binding; one that is there already keeps its time. Errors: CodeNotFound, field "function", "product" or
// "gateway"; CodeQuota, field "gateway", for more than most functions in one place.
func (db *DB) Bind(ctx context.Context, b faas.GatewayBinding, most int) error {
	f := b.Function
	return db.change(ctx, "bind function", func(tx *sql.Tx) error {
		if err := placeOf(ctx, tx, f, b.GatewayID); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `insert into edge_bindings (project, package, name, product, gateway, bound_us)
			values ($1, $2, $3, $4, $5, $6) on conflict do nothing`, f.Project, f.Package, f.Name, b.Product, b.SN, b.BoundAt.UnixMicro()); err != nil {
			return err
		}
		var n int64
		if err := tx.QueryRowContext(ctx, `select count(*) from edge_bindings where product = $1 and gateway = $2`, b.Product, b.SN).Scan(&n); err != nil {
			return err
		}
		if n > int64(most) {
			return faas.Errorf(faas.CodeQuota, "gateway", "%d functions are bound there already, which is the most", most)
		}
		return nil
	})
}

// placeOf locks the project and sees to it that a function and a gateway, or with SN "" a product, are there.
func placeOf(ctx context.Context, tx *sql.Tx, f faas.FunctionKey, id faas.GatewayID) error {
	f.Version = faas.Latest
	if _, err := lockFunction(ctx, tx, f); err != nil {
		return err
	}
	p, err := product(ctx, tx, id.Product)
	if err != nil {
		return err
	}
	if p.Project != f.Project {
		return faas.NotFound("product", id.Product)
	}
	if id.SN == "" {
		return nil
	}
	return lockGateway(ctx, tx, id)
}

// Unbind removes a binding with its setting. Settings that gateways have for a binding of their product go with it, but for those
// of gateways that are bound themselves. Error: CodeNotFound, field "binding".
func (db *DB) Unbind(ctx context.Context, b faas.GatewayBinding) error {
	f := b.Function
	if !storable(f.Project, f.Package, f.Name, b.Product, b.SN) {
		return notBound(f.Name)
	}
	args := []any{f.Project, f.Package, f.Name, b.Product, b.SN}
	return db.change(ctx, "unbind function", func(tx *sql.Tx) error {
		gone, err := insert(ctx, tx, `delete from edge_bindings where project = $1 and package = $2 and name = $3 and product = $4 and gateway = $5`, args...)
		if err == nil && !gone {
			return notBound(f.Name)
		}
		if err != nil {
			return err
		}
		// What is left without a binding: a gateway's setting needs one of the gateway or of its product.
		_, err = tx.ExecContext(ctx, `delete from edge_settings where project = $1 and package = $2 and name = $3 and product = $4 and ($5 = '' or gateway = $5)
			and not exists (select 1 from edge_bindings b where b.project = $1 and b.package = $2 and b.name = $3 and b.product = $4
				and (b.gateway = edge_settings.gateway or b.gateway = ''))`, args...)
		return err
	})
}

func notBound(function string) error {
	return faas.Errorf(faas.CodeNotFound, "binding", "function %q is not bound there", function)
}

// unbound refuses a function that gateways need. The project is locked.
func unbound(ctx context.Context, tx *sql.Tx, key faas.FunctionKey) error {
	var n int64
	err := tx.QueryRowContext(ctx, `select count(*) from edge_bindings where project = $1 and package = $2 and name = $3`, key.Project, key.Package, key.Name).Scan(&n)
	if err == nil && n > 0 {
		return faas.Errorf(faas.CodeConflict, "binding", "function %q is bound to gateways or products (%d in all); unbind it there first", key.Name, n)
	}
	return err
}

// GatewayBindings lists bindings with their own settings, in the order of their making. A filter with a Product lists those of the product
// with those of its gateways; with an SN as well, those of the product and of that gateway.
func (db *DB) GatewayBindings(ctx context.Context, f faas.BindingFilter) ([]faas.GatewayBinding, error) {
	if !storable(f.Project, f.Package, f.Name, f.Product, f.SN) {
		return nil, nil
	}
	where, args := conditions(f)
	rows, err := db.read.QueryContext(ctx, `select b.project, b.package, b.name, b.product, b.gateway, b.bound_us, s.cron, s.cron_enable, s.config
		from edge_bindings b left join edge_settings s on s.project = b.project and s.package = b.package and s.name = b.name
			and s.product = b.product and s.gateway = b.gateway where `+where+` order by b.bound_us, b.name, b.product, b.gateway`, args...)
	if err != nil {
		return nil, db.failed("list bindings", err)
	}
	var list []faas.GatewayBinding
	err = each(rows, func() error {
		var b faas.GatewayBinding
		var bound int64
		var cron, config sql.NullString
		var enable sql.NullInt64
		if err := rows.Scan(&b.Function.Project, &b.Function.Package, &b.Function.Name, &b.Product, &b.SN, &bound, &cron, &enable, &config); err != nil {
			return err
		}
		b.BoundAt = fromMicros(bound)
		if config.Valid {
			b.Setting = &faas.GatewaySetting{Cron: cron.String, CronEnable: enable.Int64 != 0, Config: config.String}
		}
		list = append(list, b)
		return nil
	})
	return list, db.failed("list bindings", err)
}

// conditions are of the table b, which has project, package, name, product and gateway.
func conditions(f faas.BindingFilter) (string, []any) {
	var where []string
	var args []any
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	for _, c := range []struct{ condition, value string }{
		{"b.project = ?", f.Project}, {"b.package = ?", f.Package}, {"b.name = ?", f.Name}, {"b.product = ?", f.Product},
		{"(b.gateway = '' or b.gateway = ?)", f.SN},
	} {
		if c.value != "" {
			add(c.condition, c.value)
		}
	}
	if len(where) == 0 {
		return "1 = 1", nil
	}
	return strings.Join(where, " and "), args
}

// SetGatewaySetting stores how a function works in a place to which it is bound, itself or by its product. Errors: CodeNotFound,
// field "function", "product", "gateway" or "binding".
func (db *DB) SetGatewaySetting(ctx context.Context, key faas.FunctionKey, id faas.GatewayID, s faas.GatewaySetting) error {
	if !storable(s.Cron, s.Config) {
		return faas.Errorf(faas.CodeInvalid, "config", "the configuration holds bytes that are not text")
	}
	return db.change(ctx, "set gateway setting", func(tx *sql.Tx) error {
		if err := placeOf(ctx, tx, key, id); err != nil {
			return err
		}
		var bound int64
		if err := tx.QueryRowContext(ctx, `select count(*) from edge_bindings where project = $1 and package = $2 and name = $3 and product = $4
			and (gateway = '' or gateway = $5)`, key.Project, key.Package, key.Name, id.Product, id.SN).Scan(&bound); err != nil {
			return err
		}
		if bound == 0 {
			return notBound(key.Name)
		}
		_, err := tx.ExecContext(ctx, `insert into edge_settings (project, package, name, product, gateway, cron, cron_enable, config)
			values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (project, package, name, product, gateway)
			do update set cron = excluded.cron, cron_enable = excluded.cron_enable, config = excluded.config`,
			key.Project, key.Package, key.Name, id.Product, id.SN, s.Cron, bit(s.CronEnable), s.Config)
		return err
	})
}

// GatewaySettings gives the settings of places, by function name and then by SN ("" for the product's own). The filter works as in
// GatewayBindings; it must name a project and a product.
func (db *DB) GatewaySettings(ctx context.Context, f faas.BindingFilter) (map[string]map[string]faas.GatewaySetting, error) {
	if !storable(f.Project, f.Package, f.Name, f.Product, f.SN) {
		return nil, nil
	}
	where, args := conditions(f)
	rows, err := db.read.QueryContext(ctx, `select b.name, b.gateway, b.cron, b.cron_enable, b.config from edge_settings b where `+where, args...)
	if err != nil {
		return nil, db.failed("list gateway settings", err)
	}
	found := map[string]map[string]faas.GatewaySetting{}
	err = each(rows, func() error {
		var name, sn string
		var s faas.GatewaySetting
		var enable int64
		if err := rows.Scan(&name, &sn, &s.Cron, &enable, &s.Config); err != nil {
			return err
		}
		s.CronEnable = enable != 0
		if found[name] == nil {
			found[name] = map[string]faas.GatewaySetting{}
		}
		found[name][sn] = s
		return nil
	})
	return found, db.failed("list gateway settings", err)
}

// routeDoc is a message route on disk; see document.
type routeDoc struct {
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	From        string `json:"from"`
	FromID      string `json:"from_id,omitempty"`
	To          string `json:"to"`
	ToID        string `json:"to_id,omitempty"`
	Topic       string `json:"topic"`
	TopicKind   string `json:"topic_kind,omitempty"`
	Product     string `json:"topic_product,omitempty"`
	Device      string `json:"topic_device,omitempty"`
	Suffix      string `json:"topic_suffix,omitempty"`
	Cached      bool   `json:"cached,omitempty"`
	Disabled    bool   `json:"disabled,omitempty"`
}

// PutMessageRoute stores a route: a new one where its ID is 0, which it sets. Errors: CodeNotFound, field "gateway" or "route";
// CodeQuota, field "routes", for more than most on one gateway.
func (db *DB) PutMessageRoute(ctx context.Context, r *faas.MessageRoute, most int) error {
	doc, err := json.Marshal(routeDoc{r.Name, r.Description, r.From, r.FromID, r.To, r.ToID, r.Topic, r.TopicKind, r.TopicProduct, r.TopicDevice, r.TopicSuffix, r.Cached, r.Disabled})
	if err != nil {
		return err
	}
	return db.change(ctx, "put message route", func(tx *sql.Tx) error {
		if err := lockGateway(ctx, tx, r.GatewayID); err != nil {
			return err
		}
		if r.ID != 0 {
			there, err := insert(ctx, tx, `update edge_routes set doc = $1 where id = $2 and project = $3 and product = $4 and gateway = $5`, string(doc), r.ID, r.Project, r.Product, r.SN)
			if err == nil && !there {
				return faas.NotFound("route", fmt.Sprint(r.ID))
			}
			return err
		}
		var n int64
		if err := tx.QueryRowContext(ctx, `select count(*) from edge_routes where product = $1 and gateway = $2`, r.Product, r.SN).Scan(&n); err != nil {
			return err
		}
		if n >= int64(most) {
			return faas.Errorf(faas.CodeQuota, "routes", "gateway %q has %d message routes already, which is the most", r.SN, n)
		}
		id, err := nextNumber(ctx, tx, "route")
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `insert into edge_routes (id, project, product, gateway, created_us, doc) values ($1, $2, $3, $4, $5, $6)`,
			id, r.Project, r.Product, r.SN, r.CreatedAt.UnixMicro(), string(doc))
		r.ID = id
		return err
	})
}

// MessageRoutes lists the routes of a gateway in the order of their making.
func (db *DB) MessageRoutes(ctx context.Context, id faas.GatewayID) ([]faas.MessageRoute, error) {
	if !storable(id.Product, id.SN) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, `select id, project, created_us, doc from edge_routes where product = $1 and gateway = $2 order by id`, id.Product, id.SN)
	if err != nil {
		return nil, db.failed("list message routes", err)
	}
	var list []faas.MessageRoute
	err = each(rows, func() error {
		r := faas.MessageRoute{GatewayID: id}
		var created int64
		var text string
		if err := rows.Scan(&r.ID, &r.Project, &created, &text); err != nil {
			return err
		}
		var d routeDoc
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			return fmt.Errorf("decode message route: %w", err)
		}
		r.Name, r.Description, r.From, r.FromID, r.To, r.ToID, r.Topic, r.TopicKind = d.Name, d.Description, d.From, d.FromID, d.To, d.ToID, d.Topic, d.TopicKind
		r.TopicProduct, r.TopicDevice, r.TopicSuffix, r.Cached, r.Disabled = d.Product, d.Device, d.Suffix, d.Cached, d.Disabled
		r.CreatedAt = fromMicros(created)
		list = append(list, r)
		return nil
	})
	return list, db.failed("list message routes", err)
}

// DeleteMessageRoutes removes routes of a gateway, all or none. Error: CodeNotFound, field "route".
func (db *DB) DeleteMessageRoutes(ctx context.Context, id faas.GatewayID, routes []int64) error {
	return db.change(ctx, "delete message routes", func(tx *sql.Tx) error {
		for _, route := range routes {
			gone, err := insert(ctx, tx, `delete from edge_routes where id = $1 and product = $2 and gateway = $3`, route, id.Product, id.SN)
			if err == nil && !gone {
				return faas.NotFound("route", fmt.Sprint(route))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// CreateDeployment stores a deployment, whose ID it sets.
func (db *DB) CreateDeployment(ctx context.Context, d *faas.Deployment) error {
	return db.change(ctx, "create deployment", func(tx *sql.Tx) (err error) {
		if d.ID, err = nextNumber(ctx, tx, "deployment"); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `insert into edge_deployments (id, project, product, gateway, version, created_us) values ($1, $2, $3, $4, $5, $6)`,
			d.ID, d.Project, d.Product, d.SN, int64(d.Version), d.CreatedAt.UnixMicro())
		return err
	})
}

// Deployment gives one of a project. Error: CodeNotFound, field "deployment".
func (db *DB) Deployment(ctx context.Context, project string, id int64) (d faas.Deployment, err error) {
	var version, created int64
	d.ID, d.Project = id, project
	err = db.read.QueryRowContext(ctx, `select product, gateway, version, created_us from edge_deployments where id = $1 and project = $2`, id, project).
		Scan(&d.Product, &d.SN, &version, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return d, faas.NotFound("deployment", fmt.Sprint(id))
	}
	d.Version, d.CreatedAt = uint64(version), fromMicros(created)
	return d, db.failed("read deployment", err)
}

// PackageSums gives what SavePackageSums has kept of a package; the zero sums where nothing is.
func (db *DB) PackageSums(ctx context.Context, digest string) (s faas.PackageSums, err error) {
	err = db.read.QueryRowContext(ctx, `select sha256, md5 from edge_packages where digest = $1`, digest).Scan(&s.SHA256, &s.MD5)
	if errors.Is(err, sql.ErrNoRows) {
		return faas.PackageSums{}, nil
	}
	return s, db.failed("read sums of a package", err)
}

// SavePackageSums keeps the sums of a package by its digest.
func (db *DB) SavePackageSums(ctx context.Context, digest string, s faas.PackageSums) error {
	return db.change(ctx, "keep sums of a package", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into edge_packages (digest, sha256, md5) values ($1, $2, $3) on conflict do nothing`, digest, s.SHA256, s.MD5)
		return err
	})
}
