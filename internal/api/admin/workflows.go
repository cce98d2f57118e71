package admin

import (
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// workflowSchema gives the JSON Schema of definitions, to whoever has an identity here.
func (f *face) workflowSchema(w http.ResponseWriter, _ *http.Request) error {
	httpkit.WriteBytes(w, http.StatusOK, "application/schema+json", f.cfg.WorkflowSchema)
	return nil
}
