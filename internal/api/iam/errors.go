package iam

import (
	"errors"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// statuses of the failures that this face can meet; all others are 500, and their text is not shown.
var statuses = map[faas.Code]int{
	faas.CodeInvalid:         http.StatusBadRequest,
	faas.CodeUnsupported:     http.StatusBadRequest,
	faas.CodeUnauthenticated: http.StatusUnauthorized,
	faas.CodeForbidden:       http.StatusForbidden,
	faas.CodeNotFound:        http.StatusNotFound,
	faas.CodeExists:          http.StatusConflict,
	faas.CodeConflict:        http.StatusConflict,
	faas.CodeQuota:           http.StatusForbidden,
	faas.CodeTooLarge:        http.StatusRequestEntityTooLarge,
	faas.CodeOverload:        http.StatusTooManyRequests,
	faas.CodeCancelled:       http.StatusBadRequest,
	faas.CodeUnavailable:     http.StatusServiceUnavailable,
}

type errorAnswer struct {
	Error struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Title   string `json:"title"`
	} `json:"error"`
}

// writeError answers in IAM's shape (FunctionGraph reference, section 6).
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	e := new(faas.Error)
	_ = errors.As(err, &e)
	status, message := statuses[e.Code], e.Message
	switch e.Code {
	case faas.CodeInvalid, faas.CodeUnsupported:
		message = "The request body is invalid: " + message
		if e.Field == "page" || e.Field == "per_page" {
			message = e.Message
		}
	case faas.CodeOverload:
		w.Header().Set("Retry-After", retryAfter(e.Field))
	}
	if status == 0 {
		status, message = http.StatusInternalServerError, "An error occurred inside the server."
	}
	var answer errorAnswer
	answer.Error.Code, answer.Error.Message, answer.Error.Title = status, message, http.StatusText(status)
	_ = httpkit.WriteJSON(w, status, answer) // three plain fields always encode
}

// retryAfter gives the seconds after which to try again: the time of a lock after wrong passwords, or a moment.
func retryAfter(field string) string {
	if field == "login" {
		return "300"
	}
	return "1"
}
