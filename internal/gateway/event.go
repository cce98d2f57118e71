package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// event is a request as a function sees it (FunctionGraph reference, section 4.2).
type event struct {
	Body       string            `json:"body"` // base64
	Context    eventContext      `json:"requestContext"`
	Query      map[string]any    `json:"queryStringParameters"` // a text, or texts where the name comes several times
	Method     string            `json:"httpMethod"`
	PathParams map[string]string `json:"pathParameters"`
	Headers    map[string]string `json:"headers"` // lower-case names
	Path       string            `json:"path"`
	Base64     bool              `json:"isBase64Encoded"`
	UserData   string            `json:"user_data"`
}

type eventContext struct {
	APIID     string `json:"apiId"`
	RequestID string `json:"requestId"`
	Stage     string `json:"stage"`
	SourceIP  string `json:"sourceIp"`
}

// eventOf writes the event of a request. Error: CodeInvalid, field "query", for a query that cannot be read.
func eventOf(r *http.Request, x *exchange) ([]byte, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, faas.Errorf(faas.CodeInvalid, "query", "the query cannot be read")
	}
	path, err := url.PathUnescape(x.path)
	if err != nil {
		path = x.path
	}
	e := event{
		Body:    base64.StdEncoding.EncodeToString(x.body),
		Context: eventContext{APIID: strings.ReplaceAll(x.route.Trigger, "-", ""), RequestID: x.id, Stage: x.route.Stage, SourceIP: sourceIP(r)},
		Query:   map[string]any{}, Method: r.Method, PathParams: x.params, Headers: headersOf(r, x), Path: path, Base64: true,
	}
	for name, values := range query {
		e.Query[name] = values[0]
		if len(values) > 1 {
			e.Query[name] = values
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(buf.Bytes()), nil
}

// headersOf gives the headers, and those that the gateway adds. Who sent a request is told by its connection alone.
func headersOf(r *http.Request, x *exchange) map[string]string {
	headers := map[string]string{}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	headers["host"] = r.Host
	headers["x-request-id"] = x.id
	headers["x-real-ip"] = sourceIP(r)
	return headers
}

func sourceIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// reply is what a function answers.
type reply struct {
	Status  json.Number                `json:"statusCode"`
	Headers map[string]json.RawMessage `json:"headers"`
	Multi   map[string][]string        `json:"multiValueHeaders"`
	Body    json.RawMessage            `json:"body"`
	Base64  bool                       `json:"isBase64Encoded"`
}

// answer writes what a function said: a text as a body of its own, an object as it says. Error: errAnswer.
func answer(w http.ResponseWriter, output []byte) error {
	output = bytes.TrimSpace(output)
	if len(output) > 0 && output[0] == '"' {
		var text string
		if json.Unmarshal(output, &text) != nil {
			return errAnswer
		}
		return write(w, http.StatusOK, []byte(text), "text/plain; charset=utf-8")
	}
	var a reply
	if len(output) == 0 || output[0] != '{' || json.Unmarshal(output, &a) != nil {
		return errAnswer
	}
	status, err := strconv.Atoi(a.Status.String())
	if err != nil || status < 200 || status > 599 {
		return errAnswer
	}
	body, err := a.body()
	if err != nil {
		return errAnswer
	}
	if !a.setHeaders(w.Header()) {
		return errAnswer
	}
	return write(w, status, body, "application/json")
}

func write(w http.ResponseWriter, status int, body []byte, usual string) error {
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h["Content-Type"] = []string{usual}
	}
	if status != http.StatusNoContent && status != http.StatusNotModified {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	if status != http.StatusNoContent && status != http.StatusNotModified {
		w.Write(body)
	}
	return nil
}

// body gives the bytes of the body: a text, in base64 or not; anything else as JSON.
func (a *reply) body() ([]byte, error) {
	raw := bytes.TrimSpace(a.Body)
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, nil
	case raw[0] != '"':
		return raw, nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, err
	}
	if a.Base64 {
		return base64.StdEncoding.DecodeString(text)
	}
	return []byte(text), nil
}

// ours are headers that the connection and the gateway set.
var ours = []string{"Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Upgrade", "Trailer", "Te", headerRequestID}

// setHeaders lays the function's headers in, and tells whether they could be read.
func (a *reply) setHeaders(h http.Header) bool {
	add := func(name, value string) {
		if name = http.CanonicalHeaderKey(name); !slices.Contains(ours, name) {
			h.Add(name, value)
		}
	}
	for name, raw := range a.Headers {
		var one any
		if json.Unmarshal(raw, &one) != nil {
			return false
		}
		switch v := one.(type) {
		case string:
			add(name, v)
		case []any:
			for _, each := range v {
				text, ok := each.(string)
				if !ok {
					return false
				}
				add(name, text)
			}
		case float64, bool:
			add(name, string(raw))
		case nil:
		default:
			return false
		}
	}
	for name, values := range a.Multi {
		for _, value := range values {
			add(name, value)
		}
	}
	return true
}
