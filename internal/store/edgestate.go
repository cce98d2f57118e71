package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// reportDoc is a report on disk; see document for what may change.
type reportDoc struct {
	Boot      string              `json:"boot,omitempty"`
	Version   uint64              `json:"version"`
	Good      uint64              `json:"good"`
	State     string              `json:"state,omitempty"`
	Message   string              `json:"message,omitempty"`
	Agent     string              `json:"agent,omitempty"`
	Reverted  string              `json:"agent_reverted,omitempty"`
	OS        string              `json:"os,omitempty"`
	Arch      string              `json:"arch,omitempty"`
	StartedAt time.Time           `json:"started_at"`
	Functions []reportFunctionDoc `json:"functions,omitempty"`
	Routes    []reportRouteDoc    `json:"routes,omitempty"`
	Refused   []reportRefusalDoc  `json:"refused,omitempty"`
	CmdSeq    uint64              `json:"cmd_seq"`
	RSS       int64               `json:"rss,omitempty"`
	MemFree   int64               `json:"mem_free,omitempty"`
	DiskFree  int64               `json:"disk_free,omitempty"`
}

type reportFunctionDoc struct {
	Name     string    `json:"name"`
	Hash     string    `json:"hash,omitempty"`
	State    string    `json:"state"`
	Message  string    `json:"message,omitempty"`
	Calls    int64     `json:"calls,omitempty"`
	Errors   int64     `json:"errors,omitempty"`
	Restarts int64     `json:"restarts,omitempty"`
	LastRun  time.Time `json:"last_run"`
	NextCron time.Time `json:"next_cron"`
}

type reportRouteDoc struct {
	ID      int64 `json:"id"`
	Hits    int64 `json:"hits"`
	Dropped int64 `json:"dropped"`
	Queued  int64 `json:"queued"`
}

type reportRefusalDoc struct {
	Version uint64    `json:"version"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// encodeReport gives "" for none. JSON has no bytes that a database would refuse but the escape of NUL, which only the text
// column of a document could not hold.
func encodeReport(r *faas.GatewayReport) (string, error) {
	if r == nil {
		return "", nil
	}
	d := reportDoc{
		Boot: r.Boot, Version: r.Version, Good: r.Good, State: r.State, Message: r.Message, Agent: r.AgentVersion, Reverted: r.AgentReverted, OS: r.OS, Arch: r.Arch,
		StartedAt: r.StartedAt, CmdSeq: r.CmdSeq, RSS: r.RSS, MemFree: r.MemFree, DiskFree: r.DiskFree,
	}
	for _, f := range r.Functions {
		d.Functions = append(d.Functions, reportFunctionDoc(f))
	}
	for _, route := range r.Routes {
		d.Routes = append(d.Routes, reportRouteDoc(route))
	}
	for _, refusal := range r.Refused {
		d.Refused = append(d.Refused, reportRefusalDoc(refusal))
	}
	text, err := json.Marshal(d)
	return string(text), err
}

func decodeReport(text string) (*faas.GatewayReport, error) {
	if text == "" {
		return nil, nil
	}
	var d reportDoc
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	r := &faas.GatewayReport{
		Boot: d.Boot, Version: d.Version, Good: d.Good, State: d.State, Message: d.Message, AgentVersion: d.Agent, AgentReverted: d.Reverted, OS: d.OS, Arch: d.Arch,
		StartedAt: d.StartedAt, CmdSeq: d.CmdSeq, RSS: d.RSS, MemFree: d.MemFree, DiskFree: d.DiskFree,
	}
	for _, f := range d.Functions {
		r.Functions = append(r.Functions, faas.GatewayFunction(f))
	}
	for _, route := range d.Routes {
		r.Routes = append(r.Routes, faas.GatewayRoute(route))
	}
	for _, refusal := range d.Refused {
		r.Refused = append(r.Refused, faas.GatewayRefusal(refusal))
	}
	return r, nil
}

// MarkGateways stores in one transaction that gateways came, went and reported, in the order given. Gateways that are no more are
// passed over.
func (db *DB) MarkGateways(ctx context.Context, marks []faas.GatewayMark) error {
	return db.change(ctx, "mark gateways", func(tx *sql.Tx) error {
		for _, m := range marks {
			if err := markGateway(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

func markGateway(ctx context.Context, tx *sql.Tx, m faas.GatewayMark) (err error) {
	if !storable(m.Product, m.SN) {
		return nil
	}
	at := m.At.UnixMicro()
	switch {
	case m.Report != nil:
		text, err := encodeReport(m.Report)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `update edge_gateways set report = $1, reported_us = $2, online = 1 where product = $3 and sn = $4`, text, at, m.Product, m.SN)
		return err
	case m.Online:
		_, err = tx.ExecContext(ctx, `update edge_gateways set online = 1, connected_us = $1,
			activated_us = case when activated_us = 0 then $1 else activated_us end where product = $2 and sn = $3`, at, m.Product, m.SN)
	default:
		_, err = tx.ExecContext(ctx, `update edge_gateways set online = 0, left_us = $1 where product = $2 and sn = $3`, at, m.Product, m.SN)
	}
	return err
}

// GatewaysGone marks offline the gateways that were last heard of before a time, and all of them for the zero time.
func (db *DB) GatewaysGone(ctx context.Context, before, now time.Time) error {
	return db.change(ctx, "mark gateways gone", func(tx *sql.Tx) error {
		limit := int64(1) << 62
		if !before.IsZero() {
			limit = before.UnixMicro()
		}
		_, err := tx.ExecContext(ctx, `update edge_gateways set online = 0, left_us = $1 where online = 1 and reported_us < $2 and connected_us < $2`, now.UnixMicro(), limit)
		return err
	})
}

// SetDesired notes what gateways shall be, in one transaction, and gives the versions of that in the same order: the version that
// there was where nothing differs, or else a newer one, which is over Above too. A gateway that is no more gets version 0.
func (db *DB) SetDesired(ctx context.Context, all []faas.Desired, now time.Time) ([]faas.DesiredVersion, error) {
	var out []faas.DesiredVersion
	err := db.change(ctx, "set desired state", func(tx *sql.Tx) error {
		out = make([]faas.DesiredVersion, len(all))
		for i, d := range all {
			v, err := setDesired(ctx, tx, d, now)
			if err != nil && faas.CodeOf(err) != faas.CodeNotFound {
				return err
			}
			out[i] = v
		}
		return nil
	})
	return out, err
}

func setDesired(ctx context.Context, tx *sql.Tx, d faas.Desired, now time.Time) (v faas.DesiredVersion, err error) {
	if err := lockGateway(ctx, tx, d.GatewayID); err != nil {
		return v, err
	}
	var version, issued int64
	var hash string
	err = tx.QueryRowContext(ctx, `select version, hash, issued_us from edge_gateways where product = $1 and sn = $2`, d.Product, d.SN).Scan(&version, &hash, &issued)
	if err != nil {
		return v, err
	}
	if hash != d.Hash || version == 0 || uint64(version) < d.Above {
		version, issued, v.Changed = int64(max(uint64(version), d.Above))+1, now.UnixMicro(), true
		if _, err := tx.ExecContext(ctx, `update edge_gateways set version = $1, hash = $2, issued_us = $3 where product = $4 and sn = $5`,
			version, d.Hash, issued, d.Product, d.SN); err != nil {
			return v, err
		}
	}
	v.Version, v.IssuedAt = uint64(version), fromMicros(issued)
	return v, nil
}
