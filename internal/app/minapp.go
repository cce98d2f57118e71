package app

import (
	"context"
	"net/http"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/api/functiongraph"
	"github.com/hanshu-faas/hanshu/internal/api/minapp"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/store"
)

var (
	_ invoke.LedgerStore = (*store.DB)(nil)
	_ minapp.Records     = (*store.DB)(nil)
)

// peers lets functions call each other. api is set before any function runs.
type peers struct{ api *minapp.API }

func (p *peers) Tell(ctx context.Context, asker *faas.Function, call faas.Invocation, q lang.Question) lang.Answer {
	result, status, reason := p.api.Call(ctx, asker, call, q.Invoke, q.Data, q.Sync)
	return lang.Answer{Result: result, Status: status, Reason: reason}
}

// newestNode names the runtime of functions that are made without one: the newest that is here as it is named, or else that which
// another serves.
func newestNode(catalogue *lang.Catalogue) func() string {
	return func() string {
		name := ""
		for _, i := range catalogue.List() {
			if strings.HasPrefix(i.Name, "Node.js") && (i.Status == lang.StatusExact || name == "" && i.Status == lang.StatusServed) {
				name = i.Name
			}
		}
		if name == "" {
			return "Node.js20.15" // refused, with what to install
		}
		return name
	}
}

// notFound answers what no route takes in the words of the dialect that the path is nearest to.
func notFound(w http.ResponseWriter, r *http.Request, status int) {
	if edgeNotFound(w, r, status) {
		return
	}
	for _, prefix := range minapp.Prefixes() {
		if strings.HasPrefix(r.URL.Path, prefix) {
			minapp.NotFound(w, r, status)
			return
		}
	}
	functiongraph.NotFound(w, r, status)
}

// callbackPolicy is how accepted calls are made of functions that answer by a callback, where their owner has said nothing: once,
// and within the dialect's time.
func callbackPolicy(c faas.AsyncConfig) faas.AsyncConfig {
	if c.CreatedAt.IsZero() {
		c.Retries, c.MaxAge = 0, minapp.AsyncMaxAge
	}
	return c
}

// policies adds to the settings for asynchronous calls what the contract of a function says.
type policies struct {
	jobPolicies
	invoker *invoke.Invoker
}

func (p policies) Policy(ctx context.Context, key faas.FunctionKey, alias string) (faas.AsyncConfig, error) {
	c, err := p.AsyncConfigs.Policy(ctx, key, alias)
	if err != nil {
		return c, err
	}
	f, err := p.invoker.Find(ctx, invoke.Request{Key: key, Alias: alias})
	if err == nil && f.Spec.Contract == faas.ContractCallback {
		c = callbackPolicy(c)
	}
	return c, nil // a function that is gone is for the attempt to find
}

var _ minapp.Sealer = control.Sealer(nil)
