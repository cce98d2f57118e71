package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// nextNumber gives the next number of a kind, and locks the kind until the end of the transaction.
func nextNumber(ctx context.Context, tx *sql.Tx, kind string) (n int64, err error) {
	err = tx.QueryRowContext(ctx, `insert into edge_numbers (kind, last) values ($1, 1)
		on conflict (kind) do update set last = edge_numbers.last + 1 returning last`, kind).Scan(&n)
	return n, err
}

const productColumns = "sn, project, number, name, description, secret, dynamic, pre_register, created_us"

// CreateProduct stores a product, whose Number it sets. Error: CodeExists, field "product".
func (db *DB) CreateProduct(ctx context.Context, p *faas.Product) error {
	if !storable(p.SN, p.Project, p.Name, p.Description) {
		return faas.Errorf(faas.CodeInvalid, "product", "the product's name or description holds bytes that are not text")
	}
	return db.change(ctx, "create product", func(tx *sql.Tx) error {
		number, err := nextNumber(ctx, tx, "product")
		if err != nil {
			return err
		}
		added, err := insert(ctx, tx, `insert into edge_products (`+productColumns+`) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing`,
			p.SN, p.Project, number, p.Name, p.Description, p.SealedSecret, bit(p.Dynamic), bit(p.PreRegister), p.CreatedAt.UnixMicro())
		if err == nil && !added {
			return faas.Errorf(faas.CodeExists, "product", "a product with the serial number %q exists already", p.SN)
		}
		p.Number = number
		return err
	})
}

func scanProduct(row interface{ Scan(...any) error }) (p faas.Product, err error) {
	var dynamic, pre int
	var created int64
	err = row.Scan(&p.SN, &p.Project, &p.Number, &p.Name, &p.Description, &p.SealedSecret, &dynamic, &pre, &created)
	p.Dynamic, p.PreRegister, p.CreatedAt = dynamic != 0, pre != 0, fromMicros(created)
	return p, err
}

// Product gives a product of any project. Error: CodeNotFound, field "product".
func (db *DB) Product(ctx context.Context, sn string) (faas.Product, error) {
	p, err := product(ctx, db.read, sn)
	return p, db.failed("read product", err)
}

func product(ctx context.Context, q queries, sn string) (faas.Product, error) {
	if !storable(sn) {
		return faas.Product{}, faas.NotFound("product", sn)
	}
	p, err := scanProduct(q.QueryRowContext(ctx, `select `+productColumns+` from edge_products where sn = $1`, sn))
	if errors.Is(err, sql.ErrNoRows) {
		return p, faas.NotFound("product", sn)
	}
	return p, err
}

// Products lists the products of a project by number.
func (db *DB) Products(ctx context.Context, project string) ([]faas.Product, error) {
	if !storable(project) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, `select `+productColumns+` from edge_products where project = $1 order by number`, project)
	if err != nil {
		return nil, db.failed("list products", err)
	}
	var list []faas.Product
	err = each(rows, func() error {
		p, err := scanProduct(rows)
		list = append(list, p)
		return err
	})
	return list, db.failed("list products", err)
}

// ProductSNs lists the serial numbers of the products of all projects.
func (db *DB) ProductSNs(ctx context.Context) ([]string, error) {
	rows, err := db.read.QueryContext(ctx, `select sn from edge_products order by number`)
	if err != nil {
		return nil, db.failed("list products", err)
	}
	var list []string
	err = each(rows, func() error {
		var sn string
		err := rows.Scan(&sn)
		list = append(list, sn)
		return err
	})
	return list, db.failed("list products", err)
}

// UpdateProduct lets change alter a product, but for its serial number, project and number. An error of change leaves it as it
// was. Error: CodeNotFound, field "product".
func (db *DB) UpdateProduct(ctx context.Context, sn string, change func(*faas.Product) error) error {
	return db.change(ctx, "update product", func(tx *sql.Tx) error {
		if !storable(sn) {
			return faas.NotFound("product", sn)
		}
		if _, err := insert(ctx, tx, `update edge_products set number = number where sn = $1`, sn); err != nil { // the lock
			return err
		}
		p, err := product(ctx, tx, sn)
		if err != nil {
			return err
		}
		if err := change(&p); err != nil {
			return err
		}
		if !storable(p.Name, p.Description) {
			return faas.Errorf(faas.CodeInvalid, "product", "the product's name or description holds bytes that are not text")
		}
		_, err = tx.ExecContext(ctx, `update edge_products set name = $1, description = $2, secret = $3, dynamic = $4, pre_register = $5 where sn = $6`,
			p.Name, p.Description, p.SealedSecret, bit(p.Dynamic), bit(p.PreRegister), sn)
		return err
	})
}

// DeleteProduct removes a product with what is bound to it. Errors: CodeNotFound, field "product"; CodeConflict, field "product",
// while it has gateways.
func (db *DB) DeleteProduct(ctx context.Context, sn string) error {
	return db.change(ctx, "delete product", func(tx *sql.Tx) error {
		if !storable(sn) {
			return faas.NotFound("product", sn)
		}
		gone, err := insert(ctx, tx, `delete from edge_products where sn = $1`, sn)
		if err != nil {
			return err
		}
		if !gone {
			return faas.NotFound("product", sn)
		}
		var gateways int64
		if err := tx.QueryRowContext(ctx, `select count(*) from edge_gateways where product = $1`, sn).Scan(&gateways); err != nil {
			return err
		}
		if gateways > 0 {
			return faas.Errorf(faas.CodeConflict, "product", "product %q has %d gateways; delete them first", sn, gateways)
		}
		for _, table := range []string{"edge_bindings", "edge_settings", "edge_routes", "edge_release_uses"} {
			if _, err := tx.ExecContext(ctx, `delete from `+table+` where product = $1`, sn); err != nil {
				return err
			}
		}
		return nil
	})
}

const gatewayColumns = `product, sn, project, number, description, secret, disabled, created_us, activated_us, online, connected_us, left_us,
	version, hash, issued_us, report, reported_us`

// CreateGateway stores a gateway, whose Number it sets. Errors: CodeExists, field "gateway"; CodeNotFound, field "product".
func (db *DB) CreateGateway(ctx context.Context, g *faas.Gateway) error {
	if !storable(g.Product, g.SN, g.Project, g.Description) {
		return faas.Errorf(faas.CodeInvalid, "gateway", "the gateway's description holds bytes that are not text")
	}
	return db.change(ctx, "create gateway", func(tx *sql.Tx) error {
		// The product is locked, so that it does not go meanwhile.
		there, err := insert(ctx, tx, `update edge_products set number = number where sn = $1 and project = $2`, g.Product, g.Project)
		if err != nil {
			return err
		}
		if !there {
			return faas.NotFound("product", g.Product)
		}
		number, err := nextNumber(ctx, tx, "gateway")
		if err != nil {
			return err
		}
		added, err := insert(ctx, tx, `insert into edge_gateways (`+gatewayColumns+`, up_stream, up_seq, cmd_seq)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0, 0, '', 0, '', 0, '', 0, 0) on conflict do nothing`,
			g.Product, g.SN, g.Project, number, g.Description, g.SealedSecret, bit(g.Disabled), g.CreatedAt.UnixMicro(), orZero(g.ActivatedAt))
		if err == nil && !added {
			return faas.Errorf(faas.CodeExists, "gateway", "gateway %q of product %q exists already", g.SN, g.Product)
		}
		g.Number = number
		return err
	})
}

func scanGateway(row interface{ Scan(...any) error }) (g faas.Gateway, err error) {
	var disabled, online int
	var created, activated, connected, left, version, issued, reported int64
	var report string
	err = row.Scan(&g.Product, &g.SN, &g.Project, &g.Number, &g.Description, &g.SealedSecret, &disabled, &created, &activated, &online,
		&connected, &left, &version, &g.Hash, &issued, &report, &reported)
	if err != nil {
		return g, err
	}
	g.Disabled, g.Online, g.Version = disabled != 0, online != 0, uint64(version)
	g.CreatedAt, g.ActivatedAt, g.ConnectedAt, g.LeftAt = fromMicros(created), fromMicros(activated), fromMicros(connected), fromMicros(left)
	g.IssuedAt, g.ReportedAt = fromMicros(issued), fromMicros(reported)
	if g.Report, err = decodeReport(report); err != nil {
		return g, fmt.Errorf("gateway %s/%s: %w", g.Product, g.SN, err)
	}
	return g, nil
}

// Gateway gives a gateway of any project. Error: CodeNotFound, field "gateway".
func (db *DB) Gateway(ctx context.Context, id faas.GatewayID) (faas.Gateway, error) {
	g, err := gateway(ctx, db.read, id)
	return g, db.failed("read gateway", err)
}

func gateway(ctx context.Context, q queries, id faas.GatewayID) (faas.Gateway, error) {
	if !storable(id.Product, id.SN) {
		return faas.Gateway{}, faas.NotFound("gateway", id.SN)
	}
	g, err := scanGateway(q.QueryRowContext(ctx, `select `+gatewayColumns+` from edge_gateways where product = $1 and sn = $2`, id.Product, id.SN))
	if errors.Is(err, sql.ErrNoRows) {
		return g, faas.NotFound("gateway", id.SN)
	}
	return g, err
}

// Gateways lists gateways by number, and counts all that match.
func (db *DB) Gateways(ctx context.Context, f faas.GatewayFilter) (list []faas.Gateway, total int64, err error) {
	if !storable(f.Project, f.Product, f.SN, f.SNPart) {
		return nil, 0, nil
	}
	where, args := []string{"project = $1"}, []any{f.Project}
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if f.Product != "" {
		add("product = $%d", f.Product)
	}
	if f.SN != "" {
		add("sn = $%d", f.SN)
	}
	if f.SNPart != "" {
		add(db.dialect.position+"(sn, $%d) > 0", f.SNPart)
	}
	from := ` from edge_gateways where ` + strings.Join(where, " and ")
	err = db.view(ctx, "list gateways", func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `select count(*)`+from, args...).Scan(&total); err != nil {
			return err
		}
		limit := int64(f.Limit)
		if limit == 0 {
			limit = 1 << 40
		}
		n := len(args)
		rows, err := tx.QueryContext(ctx, `select `+gatewayColumns+from+fmt.Sprintf(` order by number limit $%d offset $%d`, n+1, n+2), append(args, limit, f.Offset)...)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			g, err := scanGateway(rows)
			list = append(list, g)
			return err
		})
	})
	return list, total, err
}

// UpdateGateway lets change alter what its owner sets of a gateway (Description, SealedSecret, Disabled) and ActivatedAt. An error of
// change leaves it as it was. Error: CodeNotFound, field "gateway".
func (db *DB) UpdateGateway(ctx context.Context, id faas.GatewayID, change func(*faas.Gateway) error) (g faas.Gateway, err error) {
	err = db.change(ctx, "update gateway", func(tx *sql.Tx) error {
		if err := lockGateway(ctx, tx, id); err != nil {
			return err
		}
		if g, err = gateway(ctx, tx, id); err != nil {
			return err
		}
		if err := change(&g); err != nil {
			return err
		}
		if !storable(g.Description) {
			return faas.Errorf(faas.CodeInvalid, "gateway", "the gateway's description holds bytes that are not text")
		}
		_, err = tx.ExecContext(ctx, `update edge_gateways set description = $1, secret = $2, disabled = $3, activated_us = $4 where product = $5 and sn = $6`,
			g.Description, g.SealedSecret, bit(g.Disabled), orZero(g.ActivatedAt), id.Product, id.SN)
		return err
	})
	return g, err
}

// lockGateway locks a gateway until the end of the transaction. Error: CodeNotFound, field "gateway".
func lockGateway(ctx context.Context, tx *sql.Tx, id faas.GatewayID) error {
	if !storable(id.Product, id.SN) {
		return faas.NotFound("gateway", id.SN)
	}
	there, err := insert(ctx, tx, `update edge_gateways set number = number where product = $1 and sn = $2`, id.Product, id.SN)
	if err == nil && !there {
		return faas.NotFound("gateway", id.SN)
	}
	return err
}

// DeleteGateway removes a gateway with all that belongs to it. Errors: CodeNotFound, field "gateway"; CodeConflict, field
// "gateway", while functions are bound to it by itself.
func (db *DB) DeleteGateway(ctx context.Context, id faas.GatewayID) error {
	return db.change(ctx, "delete gateway", func(tx *sql.Tx) error {
		if err := lockGateway(ctx, tx, id); err != nil {
			return err
		}
		var bound int64
		if err := tx.QueryRowContext(ctx, `select count(*) from edge_bindings where product = $1 and gateway = $2`, id.Product, id.SN).Scan(&bound); err != nil {
			return err
		}
		if bound > 0 {
			return faas.Errorf(faas.CodeConflict, "gateway", "%d functions are bound to gateway %q; unbind them first", bound, id.SN)
		}
		if _, err := tx.ExecContext(ctx, `delete from edge_gateways where product = $1 and sn = $2`, id.Product, id.SN); err != nil {
			return err
		}
		for _, table := range []string{"edge_settings", "edge_routes", "edge_deployments", "edge_commands", "edge_messages", "edge_release_uses"} {
			if _, err := tx.ExecContext(ctx, `delete from `+table+` where product = $1 and gateway = $2`, id.Product, id.SN); err != nil {
				return err
			}
		}
		return nil
	})
}
