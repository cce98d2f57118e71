package lang

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// ResultOf makes JSON of what a function's process has answered: JSON is passed on as it is, and any other text becomes a JSON
// string. kind is not 0 when that is not possible or the result is over limit bytes.
func ResultOf(answer []byte, limit int) (result []byte, kind byte, failure Failure) {
	result = bytes.TrimSpace(answer)
	if !json.Valid(result) {
		if !utf8.Valid(answer) {
			return nil, FailResult, Failure{Type: "ValueError", Message: "the result cannot be written as JSON: it is neither JSON nor text in UTF-8"}
		}
		result = quote(answer)
	}
	if n := len(result); n > limit {
		return nil, FailTooLarge, TooLarge(n, limit)
	}
	return result, 0, failure
}

// TooLarge is the failure of a result over its limit.
func TooLarge(size, limit int) Failure {
	return Failure{Type: "ResponseTooLarge", Message: fmt.Sprintf("the result has %d bytes, over its limit of %d", size, limit)}
}

// quote writes a text as a JSON string, without the escapes that only HTML needs.
func quote(text []byte) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(string(text)); err != nil {
		return []byte(`""`) // never: a string can be written
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// Headers are those of a request that carries the credentials, by name in canonical form (FunctionGraph reference 5.3 and 5.4). A
// function without an agency has none.
func (c Credentials) Headers() map[string]string {
	all := map[string]string{
		"X-Cff-Access-Key": c.AccessKey, "X-Cff-Secret-Key": c.SecretKey, "X-Cff-Auth-Token": c.AuthToken,
		"X-Cff-Security-Access-Key": c.AccessKey, "X-Cff-Security-Secret-Key": c.SecretKey, "X-Cff-Security-Token": c.SecurityToken,
	}
	for name, value := range all {
		if value == "" {
			delete(all, name)
		}
	}
	return all
}

// Renew puts the credentials of a call, where it brings some, in the place of those before.
func (c *Credentials) Renew(extra CallExtra) {
	if extra.Credentials != nil {
		*c = *extra.Credentials
	}
}

// SetHeaders sets the headers of what most calls lack, and drops those of a call before.
func (extra CallExtra) SetHeaders(set func(name, value string), drop func(name string)) {
	alias := extra.Alias
	if alias != "" {
		alias = "!" + alias // as a qualifier names one
	}
	attempt := ""
	if extra.WorkflowAttempt > 0 {
		attempt = strconv.Itoa(extra.WorkflowAttempt)
	}
	for _, h := range [5][2]string{
		{"X-Cff-Origin-Version-Tag", alias}, {"X-Cff-Workflow-Id", extra.WorkflowID},
		{"X-Cff-Workflow-Run-Id", extra.WorkflowRunID}, {"X-Cff-Workflow-State-Id", extra.WorkflowStateID},
		{"X-Cff-Workflow-Attempt", attempt},
	} {
		if h[1] == "" {
			drop(h[0])
		} else {
			set(h[0], h[1])
		}
	}
}
