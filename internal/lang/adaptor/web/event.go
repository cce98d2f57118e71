//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// event is what a gateway makes of a request (FunctionGraph reference 4.2), as far as a request can be made of it.
type event struct {
	Method  string         `json:"httpMethod"`
	Path    string         `json:"path"`
	Headers map[string]any `json:"headers"`
	Query   map[string]any `json:"queryStringParameters"`
	Body    string         `json:"body"`
	Base64  bool           `json:"isBase64Encoded"`
}

// requestOf makes the request that an event stands for. An event without httpMethod and path is posted to / as it is.
func requestOf(ctx context.Context, text []byte) (*http.Request, error) {
	var e event
	var shape struct{ HTTPMethod, Path *json.RawMessage }
	if json.Unmarshal(text, &shape) != nil || shape.HTTPMethod == nil && shape.Path == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/", bytes.NewReader(text))
		if err == nil {
			req.Header.Set("Content-Type", "application/json")
		}
		return req, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, err
	}
	body := []byte(e.Body)
	if e.Base64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, fmt.Errorf("body is not base64: %w", err)
		}
	}
	method := e.Method
	if method == "" {
		method = http.MethodGet
	}
	path := "/" + strings.TrimLeft(e.Path, "/")
	target, err := url.ParseRequestURI(path)
	if err != nil || target.Host != "" {
		target = &url.URL{Path: path}
	}
	target.Scheme, target.Host = "http", "127.0.0.1"
	query := target.Query()
	for name, values := range e.Query {
		query[name] = texts(values)
	}
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range e.Headers {
		if http.CanonicalHeaderKey(name) == "Host" {
			req.Host = strings.Join(texts(values), "")
			continue
		}
		for _, value := range texts(values) {
			req.Header.Add(name, value)
		}
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Connection", "Upgrade"} { // of the gateway's own connection
		req.Header.Del(name)
	}
	return req, nil
}

// texts are the values of a header or a parameter: one, or a list.
func texts(value any) []string {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, texts(one)...)
		}
		return all
	case string:
		return []string{v}
	}
	return []string{fmt.Sprint(value)}
}

// answerOf makes of an answer what a gateway takes as one. A body that is no text comes in base64, and a header that is there
// more than once as a list.
func answerOf(res *http.Response, body []byte) []byte {
	headers := map[string]any{}
	for name, values := range res.Header {
		headers[name] = single(values)
	}
	answer := map[string]any{"statusCode": res.StatusCode, "headers": headers, "body": string(body), "isBase64Encoded": false}
	if !utf8.Valid(body) {
		answer["body"], answer["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(answer) // texts and numbers can be written
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

func single(values []string) any {
	if len(values) == 1 {
		return values[0]
	}
	return values
}
