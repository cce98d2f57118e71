package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// AddGatewayCommand accepts a command, whose Seq it sets. Errors: CodeNotFound, field "gateway"; CodeOverload, field "commands",
// while the gateway has most open ones.
func (db *DB) AddGatewayCommand(ctx context.Context, c *faas.GatewayCommand, most int) error {
	if !storable(c.ID, c.Kind, string(c.Body)) {
		return faas.Errorf(faas.CodeInvalid, "body", "the command holds bytes that are not text")
	}
	return db.change(ctx, "add gateway command", func(tx *sql.Tx) error {
		if err := lockGateway(ctx, tx, c.GatewayID); err != nil {
			return err
		}
		var open int64
		if err := tx.QueryRowContext(ctx, `select count(*) from edge_commands where product = $1 and gateway = $2 and ended_us = 0`, c.Product, c.SN).Scan(&open); err != nil {
			return err
		}
		if open >= int64(most) {
			return faas.Errorf(faas.CodeOverload, "commands", "gateway %q has %d commands that wait already", c.SN, open)
		}
		var seq int64
		if err := tx.QueryRowContext(ctx, `update edge_gateways set cmd_seq = cmd_seq + 1 where product = $1 and sn = $2 returning cmd_seq`, c.Product, c.SN).Scan(&seq); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `insert into edge_commands (product, gateway, seq, id, kind, body, created_us, expires_us, ended_us, ok, result, code, message)
			values ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, '', '', '')`, c.Product, c.SN, seq, c.ID, c.Kind, string(c.Body), c.CreatedAt.UnixMicro(), c.ExpiresAt.UnixMicro())
		c.Seq = uint64(seq)
		return err
	})
}

// RaiseGatewaySeq sees to it that commands to come have numbers over seq, which a gateway says that it has carried out.
func (db *DB) RaiseGatewaySeq(ctx context.Context, id faas.GatewayID, seq uint64) error {
	return db.change(ctx, "raise gateway sequence", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `update edge_gateways set cmd_seq = $1 where product = $2 and sn = $3 and cmd_seq < $1`, int64(seq), id.Product, id.SN)
		return err
	})
}

// OpenGatewayCommands lists the commands of a gateway that have neither ended nor expired, in order.
func (db *DB) OpenGatewayCommands(ctx context.Context, id faas.GatewayID, now time.Time) ([]faas.GatewayCommand, error) {
	if !storable(id.Product, id.SN) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, `select seq, id, kind, body, created_us, expires_us from edge_commands
		where product = $1 and gateway = $2 and ended_us = 0 and expires_us > $3 order by seq`, id.Product, id.SN, now.UnixMicro())
	if err != nil {
		return nil, db.failed("list gateway commands", err)
	}
	var list []faas.GatewayCommand
	err = each(rows, func() error {
		c := faas.GatewayCommand{GatewayID: id}
		var seq, created, expires int64
		var body string
		if err := rows.Scan(&seq, &c.ID, &c.Kind, &body, &created, &expires); err != nil {
			return err
		}
		c.Seq, c.Body, c.CreatedAt, c.ExpiresAt = uint64(seq), []byte(body), fromMicros(created), fromMicros(expires)
		list = append(list, c)
		return nil
	})
	return list, db.failed("list gateway commands", err)
}

// EndGatewayCommand stores how a command of a gateway ended, by its Seq and ID, and tells whether it was open until then.
func (db *DB) EndGatewayCommand(ctx context.Context, c faas.GatewayCommand) (ended bool, err error) {
	if !storable(c.Product, c.SN, c.ID) {
		return false, nil
	}
	result, message := string(c.Result), c.Message
	if !storable(result, message, string(c.Code)) {
		result, message, c.OK, c.Code = "", "the gateway's answer holds bytes that are not text", false, faas.CodeResult
	}
	err = db.change(ctx, "end gateway command", func(tx *sql.Tx) error {
		ended, err = insert(ctx, tx, `update edge_commands set ended_us = $1, ok = $2, result = $3, code = $4, message = $5, body = ''
			where product = $6 and gateway = $7 and seq = $8 and id = $9 and ended_us = 0`,
			c.EndedAt.UnixMicro(), bit(c.OK), result, string(c.Code), message, c.Product, c.SN, int64(c.Seq), c.ID)
		return err
	})
	return ended, err
}

// SweepGatewayCommands ends the commands that expired, and forgets those that ended before a time.
func (db *DB) SweepGatewayCommands(ctx context.Context, now, forget time.Time) error {
	return db.change(ctx, "sweep gateway commands", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `update edge_commands set ended_us = $1, code = $2, message = 'the gateway did not take the command in time', body = ''
			where ended_us = 0 and expires_us <= $1`, now.UnixMicro(), string(faas.CodeQueueTimeout)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `delete from edge_commands where ended_us > 0 and ended_us < $1`, forget.UnixMicro())
		return err
	})
}

// AddGatewayMessages keeps messages of a gateway's stream that are newer than the last that was kept, in order, and the youngest
// most of all its messages. It gives those it kept, which come in the order of Seq, and the last Seq. Error: CodeNotFound, field
// "gateway".
func (db *DB) AddGatewayMessages(ctx context.Context, id faas.GatewayID, stream string, all []faas.GatewayMessage, most int) (kept []faas.GatewayMessage, last uint64, err error) {
	if !storable(stream) {
		return nil, 0, faas.Errorf(faas.CodeInvalid, "stream", "the stream's name holds bytes that are not text")
	}
	err = db.change(ctx, "keep gateway messages", func(tx *sql.Tx) error {
		kept = nil
		if err := lockGateway(ctx, tx, id); err != nil {
			return err
		}
		var was string
		var seq int64
		if err := tx.QueryRowContext(ctx, `select up_stream, up_seq from edge_gateways where product = $1 and sn = $2`, id.Product, id.SN).Scan(&was, &seq); err != nil {
			return err
		}
		if was != stream {
			seq = 0
		}
		last = uint64(seq)
		var number int64
		if err := tx.QueryRowContext(ctx, `select coalesce(max(number), 0) from edge_messages where product = $1 and gateway = $2`, id.Product, id.SN).Scan(&number); err != nil {
			return err
		}
		for _, m := range all {
			if m.Seq <= last || !storable(m.Topic) {
				continue
			}
			number++
			if _, err := tx.ExecContext(ctx, `insert into edge_messages (product, gateway, number, seq, route, topic, payload, at_us)
				values ($1, $2, $3, $4, $5, $6, $7, $8)`, id.Product, id.SN, number, int64(m.Seq), m.Route, m.Topic, m.Payload, orZero(m.At)); err != nil {
				return err
			}
			kept, last = append(kept, m), m.Seq
		}
		if len(kept) == 0 {
			return nil
		}
		if _, err := tx.ExecContext(ctx, `delete from edge_messages where product = $1 and gateway = $2 and number <= $3`, id.Product, id.SN, number-int64(most)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `update edge_gateways set up_stream = $1, up_seq = $2 where product = $3 and sn = $4`, stream, int64(last), id.Product, id.SN)
		return err
	})
	return kept, last, err
}

// GatewayMessages lists the youngest messages of a gateway, the oldest of them first.
func (db *DB) GatewayMessages(ctx context.Context, id faas.GatewayID, limit int) ([]faas.GatewayMessage, error) {
	if !storable(id.Product, id.SN) {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, `select seq, route, topic, payload, at_us from (select * from edge_messages where product = $1 and gateway = $2
		order by number desc limit $3) as youngest order by number`, id.Product, id.SN, limit)
	if err != nil {
		return nil, db.failed("list gateway messages", err)
	}
	var list []faas.GatewayMessage
	err = each(rows, func() error {
		var m faas.GatewayMessage
		var seq, at int64
		if err := rows.Scan(&seq, &m.Route, &m.Topic, &m.Payload, &at); err != nil {
			return err
		}
		m.Seq, m.At = uint64(seq), fromMicros(at)
		list = append(list, m)
		return nil
	})
	return list, db.failed("list gateway messages", err)
}
