package functiongraph

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
	"github.com/hanshu-faas/hanshu/internal/invoke"
)

// Names of headers as net/http keeps them (reference 3.1).
const (
	headerLogType        = "X-Cff-Log-Type"
	headerRequestVersion = "X-Cff-Request-Version"
	headerInstanceMemory = "X-Cff-Instance-Memory"
	headerGateway        = "X-Hanshu-Gateway" // hanshu's own: SERIAL or PRODUCT/SERIAL

	headerRequestID       = "X-Cff-Request-Id"
	headerSummary         = "X-Cff-Invoke-Summary"
	headerFunctionLog     = "X-Cff-Function-Log"
	headerBilling         = "X-Cff-Billing-Duration"
	headerResponseVersion = "X-Cff-Response-Version"
	headerErrCode         = "X-Func-Err-Code"
	headerIsFuncErr       = "X-Is-Func-Err"
)

// invokeOptions are what the headers of a call ask for.
type invokeOptions struct {
	tail     bool   // give the end of the log
	version  string // "v0" or "v1"
	memoryMB int    // 0 for the function's own
	gateway  faas.GatewayID
}

// invokeAnswer is InvokeFunctionResponseBody, the answer of v1.
type invokeAnswer struct {
	RequestID string `json:"request_id"`
	Result    string `json:"result"`
	Log       string `json:"log"`
	Status    int    `json:"status"`
}

// invokeFunction runs a function and waits for it (reference 3.1). It is the hot path: v0 hands the result through as it
// came, and nothing is looked up here.
func (a *api) invokeFunction(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	id := httpkit.RequestIDOf(ctx)
	result, opts, err := a.run(r, id)
	if err != nil {
		h := w.Header()
		h[headerRequestID] = []string{id}
		h[headerErrCode] = []string{a.errors.of(err).inner}
		h[headerIsFuncErr] = []string{"false"}
		return err
	}
	var log []byte
	if opts.tail {
		log = logTail(id, result)
	}
	inner, failed, status, output := "0", "false", http.StatusOK, result.Output
	if f := result.Failure; f != nil {
		inner, failed, status, output = a.errors.of(&faas.Error{Code: f.Code}).inner, "true", http.StatusInternalServerError, failureBody(f)
	}
	setInvokeHeaders(w.Header(), id, opts, inner, failed, result, log)
	if opts.version == "v1" {
		return httpkit.WriteJSON(w, http.StatusOK, invokeAnswer{RequestID: id, Result: string(output), Log: string(log), Status: status})
	}
	httpkit.WriteBytes(w, status, "application/json", output)
	return nil
}

// run checks a call and hands it on.
func (a *api) run(r *http.Request, id string) (*faas.Result, invokeOptions, error) {
	project, urn, err := a.target(r, auth.ActionInvoke)
	if err != nil {
		return nil, invokeOptions{}, err
	}
	opts, err := readInvokeOptions(r.Header)
	if err != nil {
		return nil, opts, err
	}
	event, err := checkEvent(httpkit.BodyOf(r.Context()))
	if err != nil {
		return nil, opts, err
	}
	if urn.Project != "" && urn.Project != project {
		return nil, opts, faas.NotFound("function", urn.Name)
	}
	version := urn.Version
	if version == "" && urn.Alias == "" {
		version = faas.Latest
	}
	result, err := a.Invoker.Invoke(r.Context(), invoke.Request{
		Key:   faas.FunctionKey{Project: project, Package: urn.Package, Name: urn.Name, Version: version},
		Alias: urn.Alias, Asked: (*httpkit.Asked)(r),
		Call: faas.Invocation{ID: id, Source: faas.SourceAPI, Event: event, MemoryMB: opts.memoryMB, Alias: urn.Alias, Gateway: opts.gateway},
	})
	return result, opts, err
}

// readInvokeOptions reads the headers of a call. A value that is none of those documented is refused. Whether a function
// lets a call choose its memory is for the invoker to say.
func readInvokeOptions(h http.Header) (invokeOptions, error) {
	opts := invokeOptions{version: "v0"}
	switch logType := h.Get(headerLogType); logType {
	case "":
	case "tail":
		opts.tail = true
	default:
		return opts, faas.Errorf(faas.CodeInvalid, headerLogType, "X-Cff-Log-Type %.40q must be tail or empty", logType)
	}
	switch version := h.Get(headerRequestVersion); version {
	case "", "v0":
	case "v1":
		opts.version = version
	default:
		return opts, faas.Errorf(faas.CodeInvalid, headerRequestVersion, "X-CFF-Request-Version %.40q must be v0 or v1", version)
	}
	if name := h.Get(headerGateway); name != "" {
		product, sn, whole := strings.Cut(name, "/")
		if !whole {
			product, sn = "", product
		}
		opts.gateway = faas.GatewayID{Product: product, SN: sn}
	}
	if memory := h.Get(headerInstanceMemory); memory != "" {
		mb, err := strconv.Atoi(memory)
		if err != nil || !slices.Contains(faas.MemorySizes, mb) {
			return opts, faas.Errorf(faas.CodeInvalid, headerInstanceMemory, "X-Cff-Instance-Memory %.40q is not one of %v MB", memory, faas.MemorySizes)
		}
		opts.memoryMB = mb
	}
	return opts, nil
}

// maxEventDepth is how deep an event may nest: about half of what the interpreters' own parsers take.
const maxEventDepth = 400

// checkEvent holds a body to what a function can read: one JSON value of any kind in UTF-8, nested no deeper than
// maxEventDepth. An empty body is the event {}. Error: CodeInvalid, field "body".
func checkEvent(body []byte) ([]byte, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return []byte("{}"), nil
	}
	if brackets := bytes.Count(body, []byte("{")) + bytes.Count(body, []byte("[")); brackets > maxEventDepth && depthOver(body, maxEventDepth) {
		return nil, faas.Errorf(faas.CodeInvalid, "body", "the event nests deeper than %d", maxEventDepth)
	}
	if !utf8.Valid(body) {
		return nil, faas.Errorf(faas.CodeInvalid, "body", "the event is not UTF-8")
	}
	if !gjson.ValidBytes(body) { // as json.Valid, in a quarter of its time
		return nil, faas.Errorf(faas.CodeInvalid, "body", "the event is not JSON")
	}
	return body, nil
}

// depthOver counts the brackets outside strings.
func depthOver(body []byte, limit int) bool {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// failureBody is a function's own failure as the dialect writes it: errorMessage, errorType and stackTrace, indented by four
// blanks.
func failureBody(f *faas.Failure) []byte {
	body := struct {
		Message string   `json:"errorMessage"`
		Type    string   `json:"errorType"`
		Stack   []string `json:"stackTrace"`
	}{failureMessage(f), f.Type, list(f.Stack)}
	if body.Type == "" {
		body.Type = failureType(f.Code)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	_ = enc.Encode(body) // strings can always be encoded
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

func failureMessage(f *faas.Failure) string {
	switch f.Code {
	case faas.CodeException:
		return "function invocation exception, error: " + f.Message
	case faas.CodeInit:
		return "function initialization exception, error: " + f.Message
	case faas.CodeLoad:
		return "function cannot be loaded, error: " + f.Message
	}
	return f.Message
}

// failureType names a failure for which the language gave no type.
func failureType(code faas.Code) string {
	switch code {
	case faas.CodeLoad:
		return "LoadError"
	case faas.CodeInit:
		return "InitializerError"
	case faas.CodeInitTimeout:
		return "InitializerTimeout"
	case faas.CodeTimeout:
		return "InvocationTimeout"
	case faas.CodeMemory:
		return "MemoryLimitExceeded"
	case faas.CodeExit:
		return "ProcessExited"
	case faas.CodeResult:
		return "InvalidResult"
	case faas.CodeResultTooLarge:
		return "ResultTooLarge"
	}
	return "Error"
}

// setInvokeHeaders writes the headers of an answer. One array backs all values.
func setInvokeHeaders(h http.Header, id string, opts invokeOptions, inner, failed string, result *faas.Result, log []byte) {
	v := [...]string{id, opts.version, inner, failed, strconv.FormatInt(billed(result), 10), summary(result)}
	values := v[:]
	h[headerRequestID] = values[0:1:1]
	h[headerResponseVersion] = values[1:2:2]
	h[headerErrCode] = values[2:3:3]
	h[headerIsFuncErr] = values[3:4:4]
	h[headerBilling] = values[4:5:5]
	h[headerSummary] = values[5:6:6]
	if opts.tail {
		h[headerFunctionLog] = []string{base64.StdEncoding.EncodeToString(log)}
	}
}
