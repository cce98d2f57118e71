package gateway

import (
	"errors"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

var (
	errNoRoute = faas.Errorf(faas.CodeNotFound, "route", "The API does not exist or has not been published in the environment")
	errTimeout = faas.Errorf(faas.CodeTimeout, "route", "Backend timeout")
	errAnswer  = faas.Errorf(faas.CodeResult, "function", "Backend unavailable: the function's answer is neither a text nor an object with statusCode, headers, body and isBase64Encoded")
)

// errorReply is a status with the gateway's code for it (FunctionGraph reference, section 6).
type errorReply struct {
	status int
	code   string
}

// replyTo maps failures. A failure of the function says no more than that: its words are for its owner's log.
func replyTo(err error) (errorReply, string) {
	var e *faas.Error
	if !errors.As(err, &e) {
		return errorReply{http.StatusInternalServerError, "APIG.0106"}, "Internal server error"
	}
	switch e.Code {
	case faas.CodeNotFound:
		if e.Field != "route" {
			return errorReply{http.StatusNotFound, "APIG.0103"}, "The backend does not exist"
		}
		return errorReply{http.StatusNotFound, "APIG.0101"}, e.Message
	case faas.CodeUnauthenticated:
		if e.Field == "app" {
			return errorReply{http.StatusUnauthorized, "APIG.0303"}, e.Message
		}
		return errorReply{http.StatusUnauthorized, "APIG.0301"}, e.Message
	case faas.CodeForbidden, faas.CodeDisabled:
		return errorReply{http.StatusForbidden, "APIG.0302"}, e.Message
	case faas.CodeTooLarge:
		return errorReply{http.StatusRequestEntityTooLarge, "APIG.0201"}, e.Message
	case faas.CodeInvalid, faas.CodeUnsupported:
		return errorReply{http.StatusBadRequest, "APIG.0201"}, e.Message
	case faas.CodeOverload:
		return errorReply{http.StatusTooManyRequests, "APIG.0308"}, e.Message
	case faas.CodeTimeout:
		if e.Field == "route" {
			return errorReply{http.StatusGatewayTimeout, "APIG.0203"}, e.Message
		}
	case faas.CodeQueueTimeout, faas.CodeStart, faas.CodeUnavailable:
		return errorReply{http.StatusServiceUnavailable, "APIG.0202"}, "Backend unavailable"
	case faas.CodeResult:
		return errorReply{http.StatusInternalServerError, "APIG.0202"}, e.Message
	}
	return errorReply{http.StatusInternalServerError, "APIG.0202"}, "Backend unavailable: the function failed"
}

func (g *gateway) fail(w http.ResponseWriter, r *http.Request, id string, err error) {
	reply, text := replyTo(err)
	if faas.CodeOf(err) == faas.CodeInternal && r.Context().Err() == nil {
		g.Log.Error("request failed", "request_id", id, "err", err)
	}
	if reply.status == http.StatusTooManyRequests || reply.status == http.StatusServiceUnavailable {
		w.Header()["Retry-After"] = []string{"1"}
	}
	_ = httpkit.WriteJSON(w, reply.status, errorBody{reply.code, text, id}) // three strings can always be encoded
}

// errorBody is the gateway's own answer.
type errorBody struct {
	Code      string `json:"error_code"`
	Message   string `json:"error_msg"`
	RequestID string `json:"request_id"`
}
