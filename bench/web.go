package main

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
)

// siteNode is a web server in Node.js, which is both the function and its floor.
//
//go:embed site.js
var siteNode string

const lineWeb = "HTTP function, c=16, throughput by Node http"

// web is a function that serves HTTP, through the data plane, beside the same server alone.
type web struct {
	through, alone *place
}

// measureWeb measures both in turn.
func (b *bench) measureWeb(ctx context.Context, dir string) error {
	runtime, err := b.server.runtime(ctx, "Node.js")
	if err != nil {
		return err
	}
	script := filepath.Join(dir, "site.js")
	if err := os.WriteFile(script, []byte(siteNode), 0o600); err != nil {
		return err
	}
	floor, err := start(ctx, os.Environ(), runtime.Path, script, "floor")
	if err != nil {
		return err
	}
	defer floor.stop()
	address, err := floor.line()
	if err != nil {
		return err
	}
	to, err := b.server.route(ctx)
	if err != nil {
		return err
	}
	w := &web{through: newPlace(to, b.server.pid()), alone: newPlace(target{Address: address, Path: "/"}, floor.pid())}
	if err := b.callOnce(ctx, to); err != nil {
		return err
	}
	for round := range b.opts.rounds {
		warm := b.opts.warm
		if round > 0 {
			warm = min(warm, againWarm)
		}
		for _, p := range []*place{w.alone, w.through} {
			s, err := load(ctx, p.PID, loadSpec{Target: p.target, Clients: 16, Warm: warm, Run: b.opts.run})
			if err != nil {
				return fmt.Errorf("HTTP function: %w", err)
			}
			p.Samples[16] = append(p.Samples[16], s)
		}
	}
	b.web = w
	return nil
}

// route makes the function and a route to it, open to all.
func (s *server) route(ctx context.Context) (target, error) {
	e := executables{program: []byte(siteNode), together: 100} // one web server for all, as beside it
	function, err := e.create(ctx, s, "http", "bootstrap", "site")
	if err != nil {
		return target{}, err
	}
	urn := filepath.Base(filepath.Dir(function.Path))
	var made struct {
		Data struct {
			URL string `json:"invoke_url"`
		} `json:"event_data"`
	}
	err = s.api(ctx, http.MethodPost, "/v2/"+s.ProjectID+"/fgs/triggers/"+urn, map[string]any{
		"trigger_type_code": "APIG", "trigger_status": "ACTIVE",
		"event_data": map[string]any{"name": "site", "path": "/site", "auth": "NONE", "req_method": "POST"},
	}, &made)
	if err != nil {
		return target{}, err
	}
	at, err := url.Parse(made.Data.URL)
	if err != nil {
		return target{}, err
	}
	return target{Address: at.Host, Path: at.Path}, nil
}

func (w *web) rows() []row {
	var rows []row
	for i, f := range figures() {
		line := lineWeb
		if i > 0 {
			line = "HTTP function, c=16, " + f.name
		}
		rows = append(rows, pair(line, f, 16, w.through, w.alone))
	}
	return rows
}

// samples are all that were taken; nil gives none.
func (w *web) samples() []sample {
	if w == nil {
		return nil
	}
	return slices.Concat(w.through.Samples[16], w.alone.Samples[16])
}

// runWeb measures this part alone.
func (b *bench) runWeb(ctx context.Context, dir string) (err error) {
	if b.server, err = startServer(ctx, os.Environ(), b.opts.binary, dir); err != nil {
		return err
	}
	defer b.server.stop()
	return b.measureWeb(ctx, dir)
}
