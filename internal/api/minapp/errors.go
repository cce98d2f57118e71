package minapp

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// statuses is the one mapping of expected failures. Every faas.Code has a row. A call that finds no room is answered with 400,
// as the reference has it (2, operations 8 and 10); a name that is taken too, since a client makes what it could not change.
func statuses() map[faas.Code]int {
	return map[faas.Code]int{
		faas.CodeInvalid: 400, faas.CodeUnsupported: 400, faas.CodeUnauthenticated: 401, faas.CodeForbidden: 403, faas.CodeNotFound: 404,
		faas.CodeExists: 400, faas.CodeConflict: 409, faas.CodeQuota: 403, faas.CodeTooLarge: 413, faas.CodeOverload: 429,
		faas.CodeDisabled: 400, faas.CodeQueueTimeout: 400, faas.CodeStart: 400, faas.CodeUnavailable: 503, faas.CodeCancelled: 408,
		faas.CodeInternal: 500,
		// Failures of a function's own making stand in an answer, and not here.
		faas.CodeLoad: 400, faas.CodeException: 400, faas.CodeInit: 400, faas.CodeInitTimeout: 400, faas.CodeTimeout: 400,
		faas.CodeMemory: 400, faas.CodeExit: 400, faas.CodeResult: 400, faas.CodeResultTooLarge: 400,
	}
}

// errorBody is the error of the dialect (minapp reference 2.3).
type errorBody struct {
	Status  string `json:"status"`
	Message string `json:"error_msg"`
}

// describe gives the status and the text of a failure. Anything but a *faas.Error is a fault of ours, and its text stays inside.
func describe(err error) (int, string) {
	var e *faas.Error
	if !errors.As(err, &e) || e.Code == faas.CodeInternal {
		return http.StatusInternalServerError, "internal server error"
	}
	if e.Code == faas.CodeOverload && e.Field == "function" {
		return http.StatusBadRequest, e.Message
	}
	if e.Field == "description" {
		return statuses()[e.Code], "remark" + strings.TrimPrefix(e.Message, "description")
	}
	return statuses()[e.Code], e.Message
}

func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, text := describe(err)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header()["Retry-After"] = []string{"1"}
	}
	if strings.HasPrefix(r.URL.Path, clients+"/") {
		allowOrigin(w)
	}
	_ = httpkit.WriteJSON(w, status, errorBody{"error", text}) // two strings can always be encoded
}

// NotFound answers a path or method that no operation has.
func NotFound(w http.ResponseWriter, r *http.Request, status int) {
	text := "there is no such path"
	if status == http.StatusMethodNotAllowed {
		text = "the path does not take this method"
	}
	_ = httpkit.WriteJSON(w, status, errorBody{"error", text})
}
