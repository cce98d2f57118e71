//go:build linux

package adaptor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/lang"
)

// Result makes JSON of what a function's process has answered: JSON is passed on as it is, and any other text becomes a JSON
// string. kind is not 0 when that is not possible or the result is over limit bytes.
func Result(answer []byte, limit int) (result []byte, kind byte, failure lang.Failure) {
	result = bytes.TrimSpace(answer)
	if !json.Valid(result) {
		if !utf8.Valid(answer) {
			return nil, lang.FailResult, lang.Failure{Type: "ValueError", Message: "the result cannot be written as JSON: it is neither JSON nor text in UTF-8"}
		}
		result = quote(answer)
	}
	if n := len(result); n > limit {
		return nil, lang.FailTooLarge, TooLarge(n, limit)
	}
	return result, 0, failure
}

// TooLarge is the failure of a result over its limit.
func TooLarge(size, limit int) lang.Failure {
	return lang.Failure{Type: "ResponseTooLarge", Message: fmt.Sprintf("the result has %d bytes, over its limit of %d", size, limit)}
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

// Credentials are the headers of a request that carry what the load has, by name in canonical form (FunctionGraph reference
// 5.3 and 5.4). A function without an agency has none.
func Credentials(load lang.Load) map[string]string {
	all := map[string]string{
		"X-Cff-Access-Key": load.AccessKey, "X-Cff-Secret-Key": load.SecretKey, "X-Cff-Auth-Token": load.AuthToken,
		"X-Cff-Security-Access-Key": load.AccessKey, "X-Cff-Security-Secret-Key": load.SecretKey, "X-Cff-Security-Token": load.SecurityToken,
	}
	for name, value := range all {
		if value == "" {
			delete(all, name)
		}
	}
	return all
}

// Renew puts the credentials of a call, where it brings some, in the place of those in the load.
func Renew(load *lang.Load, extra lang.CallExtra) {
	if extra.Credentials != nil {
		load.Credentials = *extra.Credentials
	}
}

// SetExtra sets the headers of what most calls lack, and drops those of a call before.
func SetExtra(extra lang.CallExtra, set func(name, value string), drop func(name string)) {
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
