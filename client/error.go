package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// APIError is what the server answered instead of what was asked for.
type APIError struct {
	Status    int    // of HTTP
	Code      string // e.g. "FSS.1051"; the status as a number where the answer names none
	Message   string // one sentence for people
	RequestID string // to find the request in the server's log
}

// Error gives the message with the code.
func (e *APIError) Error() string { return e.Message + " (" + e.Code + ")" }

// failure gives the APIError of an answer that is none of 2xx, and nil of any other.
func (a *answer) failure() error {
	if a.status >= 200 && a.status < 300 {
		return nil
	}
	var body struct {
		Code      string `json:"error_code"`
		Message   string `json:"error_msg"`
		RequestID string `json:"request_id"`
		Said      string `json:"Message"` // in UIoT Stack's answers
		Error     struct {
			Code    json.RawMessage `json:"code"` // a number in IAM's answers, a word in ours
			Message string          `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(a.body, &body) // an answer that is no JSON names nothing; the status has to do
	e := &APIError{Status: a.status, Code: body.Code, Message: body.Message, RequestID: a.requestID()}
	if e.RequestID == "" {
		e.RequestID = body.RequestID
	}
	if e.Code == "" {
		e.Code = string(bytes.Trim(body.Error.Code, `"`))
	}
	if e.Code == "" {
		e.Code = fmt.Sprint(a.status)
	}
	if e.Message == "" {
		e.Message = body.Error.Message
	}
	if e.Message == "" {
		e.Message = body.Said
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("the server answered %d %s", a.status, http.StatusText(a.status))
	}
	return e
}

func (a *answer) requestID() string {
	if id := a.header.Get("X-Cff-Request-Id"); id != "" {
		return id
	}
	return a.header.Get("X-Request-Id")
}
