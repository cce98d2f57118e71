package httpkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// MaxDepth is how deep JSON in a request may nest.
const MaxDepth = 64

// DecodeJSON reads one JSON value. Names that v does not have are left aside, as clients send more than one dialect needs.
// Error: CodeInvalid, field "body", saying where; an *faas.Error of a type's own UnmarshalJSON comes through as it is.
func DecodeJSON(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return faas.Errorf(faas.CodeInvalid, "body", "the request body is empty; JSON is expected")
	}
	if at := tooDeep(body); at >= 0 {
		return faas.Errorf(faas.CodeInvalid, "body", "the request body nests deeper than %d at byte %d", MaxDepth, at)
	}
	err := json.Unmarshal(body, v)
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	var own *faas.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.As(err, &syntax):
		return faas.Errorf(faas.CodeInvalid, "body", "the request body is not JSON at byte %d: %v", syntax.Offset, syntax)
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return faas.Errorf(faas.CodeInvalid, "body", "the request body has the wrong type at %.200q (byte %d): %.60s", wrongType.Field, wrongType.Offset, wrongType.Value)
	case errors.As(err, &wrongType):
		return faas.Errorf(faas.CodeInvalid, "body", "the request body has the wrong type at byte %d: %.60s", wrongType.Offset, wrongType.Value)
	default:
		return &faas.Error{Code: faas.CodeInvalid, Field: "body", Message: "the request body cannot be read", Err: err}
	}
}

// tooDeep gives the place where JSON passes MaxDepth, or -1. It looks at brackets and strings only: what is not JSON is
// left to the decoder.
func tooDeep(body []byte) int {
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i = stringEnd(body, i+1)
		case '{', '[':
			if depth++; depth > MaxDepth {
				return i
			}
		case '}', ']':
			depth--
		}
	}
	return -1
}

// stringEnd finds the quote that ends a string, stepping over escaped ones; len(body) when there is none.
func stringEnd(body []byte, i int) int {
	for i < len(body) {
		n := bytes.IndexByte(body[i:], '"')
		if n < 0 {
			return len(body)
		}
		quote, slashes := i+n, 0
		for quote-slashes > i && body[quote-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return quote
		}
		i = quote + 1
	}
	return len(body)
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keepBuffer is the largest buffer worth keeping for the next answer.
const keepBuffer = 64 << 10

// WriteJSON answers v as JSON, without HTML escapes. It fails, with nothing written, when v cannot be encoded. That the
// client went away is no error: there is nobody left to tell.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	defer func() {
		if buf.Cap() <= keepBuffer {
			buffers.Put(buf)
		}
	}()
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	WriteBytes(w, status, "application/json", bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
	return nil
}

// ownLength is the size from which an answer names its length. Below it net/http does so by itself (http.ResponseWriter),
// and a ninth header would make it move a call's headers to a larger map, twice.
const ownLength = 2000

// WriteBytes answers body as it is, with its length, as the whole of an answer.
func WriteBytes(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h["Content-Type"] = []string{contentType}
	if len(body) >= ownLength {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away
}
