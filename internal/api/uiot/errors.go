package uiot

import (
	"errors"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// The codes of the dialect (edge reference 1.1). It has no others: what is no matter of identity or permission is the parameter's or
// the server's.
const (
	codeParameter  = 400
	codeIdentity   = 401
	codePermission = 402
	codeInternal   = 500
)

type mapping struct{ status, code int }

// mappings is the one mapping of expected failures. Every faas.Code has a row.
func mappings() map[faas.Code]mapping {
	parameter, internal := mapping{http.StatusBadRequest, codeParameter}, mapping{http.StatusInternalServerError, codeInternal}
	busy := mapping{http.StatusServiceUnavailable, codeInternal}
	return map[faas.Code]mapping{
		faas.CodeInvalid: parameter, faas.CodeUnsupported: parameter, faas.CodeNotFound: parameter, faas.CodeExists: parameter,
		faas.CodeConflict: parameter, faas.CodeQuota: parameter, faas.CodeDisabled: parameter, faas.CodeCancelled: parameter,
		faas.CodeTooLarge:        {http.StatusRequestEntityTooLarge, codeParameter},
		faas.CodeUnauthenticated: {http.StatusUnauthorized, codeIdentity},
		faas.CodeForbidden:       {http.StatusForbidden, codePermission},
		faas.CodeOverload:        {http.StatusTooManyRequests, codeInternal},
		faas.CodeQueueTimeout:    busy, faas.CodeStart: busy, faas.CodeUnavailable: busy, faas.CodeInternal: internal,
		// Failures of a function's own making are no answer of any call of the dialect.
		faas.CodeLoad: internal, faas.CodeException: internal, faas.CodeInit: internal, faas.CodeInitTimeout: internal, faas.CodeTimeout: internal,
		faas.CodeMemory: internal, faas.CodeExit: internal, faas.CodeResult: internal, faas.CodeResultTooLarge: internal,
	}
}

type errorBody struct {
	Code    int
	Message string
}

func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	m, text := mapping{http.StatusInternalServerError, codeInternal}, "internal error"
	var e *faas.Error
	if errors.As(err, &e) && e.Code != faas.CodeInternal {
		m, text = mappings()[e.Code], e.Message
	}
	if m.status == http.StatusTooManyRequests || m.status == http.StatusServiceUnavailable {
		w.Header()["Retry-After"] = []string{"1"}
	}
	_ = httpkit.WriteJSON(w, m.status, errorBody{m.code, text}) // it can always be encoded
}

// NotFound answers a path or method that no operation has.
func NotFound(w http.ResponseWriter, _ *http.Request, status int) {
	text := "there is no such path"
	if status == http.StatusMethodNotAllowed {
		text = "the path does not take this method"
	}
	_ = httpkit.WriteJSON(w, status, errorBody{codeParameter, text})
}
