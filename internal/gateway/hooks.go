package gateway

import (
	"context"
	"net/http"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// hookPath is where notifications arrive: <trigger id>/<key>. The key is the proof.
const hookPath = "/_hooks/"

// Hooks takes notifications of buckets and topics in. id and key are those of the address that a trigger showed.
//
// It gives what to answer, once everything is on disk. Errors: CodeNotFound for an address that is none; CodeInvalid for a
// notification that cannot be read; those of Sink.
type Hooks interface {
	Take(ctx context.Context, id, key string, body []byte) (answer map[string]any, err error)
}

// maxNotification bounds a notification.
const maxNotification = 1 << 20

func (g *gateway) hook(w http.ResponseWriter, r *http.Request, x *exchange) {
	answer, err := g.takeHook(w, r, x)
	if err != nil {
		g.fail(w, r, x.id, err)
		return
	}
	if err := httpkit.WriteJSON(w, http.StatusOK, answer); err != nil {
		g.fail(w, r, x.id, err)
	}
}

func (g *gateway) takeHook(w http.ResponseWriter, r *http.Request, x *exchange) (map[string]any, error) {
	id, key, _ := strings.Cut(strings.TrimPrefix(x.path, hookPath), "/")
	if r.Method != http.MethodPost {
		return nil, faas.Errorf(faas.CodeInvalid, "method", "notifications are posted")
	}
	body, done, err := g.Bodies.ReadBody(w, r, maxNotification)
	if err != nil {
		return nil, err
	}
	defer done()
	return g.Hooks.Take(r.Context(), id, key, body)
}
