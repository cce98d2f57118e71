package functiongraph

import (
	"errors"
	"net/http"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// errorKey is a code and the field it is about; Field "" stands for every field without a row of its own.
type errorKey struct {
	Code  faas.Code
	Field string
}

// errorReply is how the dialect says it (reference 6). inner is the kernel's number for it (reference 3.1). text, when
// not empty, is the one wording that the published samples show; else the failure's own sentence is given.
type errorReply struct {
	status int
	code   string
	inner  string
	text   string
}

type errorTable map[errorKey]errorReply

// newErrorTable is the one mapping of expected failures. Every faas.Code has a row with Field "".
func newErrorTable() errorTable {
	t := errorTable{
		{faas.CodeInvalid, ""}:         {400, "FSS.0400", "200400", ""},
		{faas.CodeUnsupported, ""}:     {400, "FSS.0400", "200400", ""},
		{faas.CodeUnauthenticated, ""}: {401, "APIGW.0301", "200401", ""},
		{faas.CodeForbidden, ""}:       {403, "FSS.0403", "200403", ""},

		{faas.CodeNotFound, ""}:           {404, "FSS.0404", "4024", ""},
		{faas.CodeNotFound, "function"}:   {404, "FSS.1051", "4024", "Not found the function"},
		{faas.CodeNotFound, "version"}:    {404, "FSS.1052", "4024", "Not found the function version"},
		{faas.CodeNotFound, "alias"}:      {404, "FSS.1053", "4024", "Not found the function alias"},
		{faas.CodeNotFound, "dependency"}: {404, "FSS.1056", "200404", ""},

		{faas.CodeNotFound, "trigger"}: {404, "FSS.1131", "200404", ""},
		{faas.CodeQuota, "tags"}:       {400, "FSS.0400", "200400", ""},
		{faas.CodeQuota, "events"}:     {400, "FSS.0400", "200400", ""},

		{faas.CodeExists, ""}:         {409, "FSS.0409", "200409", ""},
		{faas.CodeExists, "function"}: {409, "FSS.1061", "200409", "The function has existed"},
		{faas.CodeExists, "path"}:     {409, "FSS.1147", "200409", ""},
		{faas.CodeConflict, ""}:       {409, "FSS.0409", "200409", ""},

		{faas.CodeInvalid, "additional_version"}:        {400, "FSS.1091", "200400", ""},
		{faas.CodeInvalid, "additional_version.weight"}: {400, "FSS.1092", "200400", ""},
		{faas.CodeInvalid, "additional_version.same"}:   {400, "FSS.1093", "200400", ""},
		{faas.CodeInvalid, "digest"}:                    {400, "FSS.1011", "200400", ""},
		{faas.CodeExists, "version"}:                    {409, "FSS.1062", "200409", ""},
		{faas.CodeExists, "alias"}:                      {409, "FSS.1063", "200409", ""},
		{faas.CodeConflict, "version"}:                  {409, "FSS.1066", "200409", ""},
		{faas.CodeConflict, "digest"}:                   {428, "FSS.0428", "200428", ""},
		{faas.CodeConflict, "additional_version"}:       {403, "FSS.1094", "200403", ""},
		{faas.CodeConflict, "alias.triggers"}:           {403, "FSS.1154", "200403", ""},
		{faas.CodeQuota, "aliases"}:                     {403, "FSS.1043", "200403", ""},

		{faas.CodeNotFound, "async_config"}: {404, "FSS.0404", "200404", ""},
		{faas.CodeNotFound, "job"}:          {400, "FSS.0400", "200400", "Invalid RequestId"},
		{faas.CodeConflict, "job"}:          {400, "FSS.0400", "200400", ""},

		{faas.CodeQuota, ""}:           {403, "FSS.0403", "200403", ""},
		{faas.CodeQuota, "count"}:      {400, "FSS.1076", "200400", ""},
		{faas.CodeQuota, "functions"}:  {403, "FSS.1041", "200403", ""},
		{faas.CodeQuota, "code_bytes"}: {403, "FSS.1042", "200403", ""},

		{faas.CodeQuota, "triggers"}: {403, "FSS.1123", "200403", ""},

		{faas.CodeTooLarge, ""}:          {413, "FSS.0413", "4140", ""},
		{faas.CodeTooLarge, "func_code"}: {413, "FSS.1071", "4140", ""},
		{faas.CodeTooLarge, "code_url"}:  {413, "FSS.1071", "4140", ""},

		{faas.CodeOverload, ""}:     {429, "FSS.0429", "150429", ""},
		{faas.CodeDisabled, ""}:     {403, "FSS.0403", "150434", ""},
		{faas.CodeQueueTimeout, ""}: {429, "FSS.0429", "150430", ""},
		{faas.CodeStart, ""}:        {503, "FSS.0503", "150431", ""},
		{faas.CodeUnavailable, ""}:  {503, "FSS.0503", "200503", ""},
		{faas.CodeCancelled, ""}:    {408, "FSS.0408", "4208", ""},
		{faas.CodeInternal, ""}:     {500, "FSS.0500", "200500", "Internal server error."},
	}
	// Failures of a function's own making. They stand in a result and not in an error; the inner numbers serve there. The
	// kernel has none for a death by memory or by the function's own exit: both are an exception of the invocation.
	for code, inner := range map[faas.Code]string{
		faas.CodeLoad: "4001", faas.CodeException: "4002", faas.CodeMemory: "4002", faas.CodeExit: "4002",
		faas.CodeResultTooLarge: "4004", faas.CodeResult: "4007", faas.CodeTimeout: "4010", faas.CodeInit: "4201",
		faas.CodeInitTimeout: "4211",
	} {
		t[errorKey{code, ""}] = errorReply{500, "FSS.0500", inner, ""}
	}
	for field, fss := range map[string]string{
		"func_name": "FSS.1002", "handler": "FSS.1003", "package": "FSS.1004", "runtime": "FSS.1005", "code_type": "FSS.1006",
		"memory_size": "FSS.1007", "X-Cff-Instance-Memory": "FSS.1007", "timeout": "FSS.1008",
		"user_data": "FSS.1009", "user_data.items": "FSS.1017", "user_data.size": "FSS.1018",
		"encrypted_user_data": "FSS.1009", "encrypted_user_data.items": "FSS.1017", "encrypted_user_data.size": "FSS.1018",
		"code_url": "FSS.1010", "func_code": "FSS.1011", "func_code.missing": "FSS.1012", "code_filename": "FSS.1013",
		"alias": "FSS.1014", "version": "FSS.1015", "description": "FSS.1019", "depend_version_list": "FSS.1024",
		"concurrency": "FSS.1026", "concurrent_num": "FSS.1026", "custom_image": "FSS.1034", "func_vpc": "FSS.1036",
		"mount_config": "FSS.1039", "function_urn": "FSS.1309", "initializer_handler": "FSS.1404",
		"initializer_timeout": "FSS.1405", "count": "FSS.1076", "marker": "FSS.1001", "maxitems": "FSS.1001",
		"limit": "FSS.1001", "status": "FSS.1001", "requests": "FSS.1001", "query_begin_time": "FSS.1001", "query_end_time": "FSS.1001",
		"trigger_type_code": "FSS.1101",
	} {
		t[errorKey{faas.CodeInvalid, field}] = errorReply{400, fss, "200400", ""}
		t[errorKey{faas.CodeUnsupported, field}] = errorReply{400, fss, "200400", ""}
	}
	t.addTriggers()
	t.addDependencies()
	return t
}

// addDependencies says what is wrong with a dependency, or with an import.
func (t errorTable) addDependencies() {
	t[errorKey{faas.CodeNotFound, "dependency_version"}] = errorReply{404, "FSS.1056", "200404", ""}
	t[errorKey{faas.CodeExists, "dependency"}] = errorReply{409, "FSS.1065", "200409", ""}
	t[errorKey{faas.CodeConflict, "dependency"}] = errorReply{412, "FSS.1033", "200412", ""}
	t[errorKey{faas.CodeQuota, "dependencies"}] = errorReply{403, "FSS.1045", "200403", ""}
	t[errorKey{faas.CodeForbidden, "dependency"}] = errorReply{403, "FSS.1046", "200403", ""}
	for field, fss := range map[string]string{
		"depend_name": "FSS.1024", "depend_type": "FSS.1032", "depend_file": "FSS.1024", "depend_link": "FSS.1010",
		"depend_runtime": "FSS.1005", "dependency_type": "FSS.1001", "ispublic": "FSS.1001",
		"file_type": "FSS.1013", "file_code": "FSS.1013", "templates": "FSS.1022", "template": "FSS.1025",
	} {
		t[errorKey{faas.CodeInvalid, field}] = errorReply{400, fss, "200400", ""}
	}
}

// addTriggers says of each kind of trigger that it is wrong, missing or there already (reference 6). Kinds without words of their
// own get the general ones.
func (t errorTable) addTriggers() {
	for kind, codes := range map[string]struct{ invalid, missing, exists string }{
		"TIMER": {"FSS.1109", "FSS.1140", "FSS.1148"}, "APIG": {"FSS.1107", "FSS.1138", "FSS.1147"},
		"DEDICATEDGATEWAY": {"FSS.1107", "FSS.1138", "FSS.1147"}, "OBS": {"FSS.1106", "FSS.1136", "FSS.1145"},
		"SMN": {"FSS.1102", "FSS.1132", "FSS.1141"}, "KAFKA": {"FSS.1112", "FSS.1174", "FSS.1150"},
		"OPENSOURCEKAFKA": {"FSS.1112", "FSS.1174", "FSS.1150"}, "RABBITMQ": {"FSS.0400", "FSS.1131", "FSS.0409"},
		"MQTT": {"FSS.0400", "FSS.1131", "FSS.0409"}, "IOTDA": {"FSS.0400", "FSS.1131", "FSS.0409"},
	} {
		t[errorKey{faas.CodeInvalid, "event_data." + kind}] = errorReply{400, codes.invalid, "200400", ""}
		t[errorKey{faas.CodeNotFound, "trigger." + kind}] = errorReply{404, codes.missing, "200404", ""}
		t[errorKey{faas.CodeExists, "trigger." + kind}] = errorReply{409, codes.exists, "200409", ""}
	}
}

// of gives the reply to a failure, with the text that may be shown. Anything but a *faas.Error is a fault of ours, and its
// text stays inside.
func (t errorTable) of(err error) errorReply {
	var e *faas.Error
	if !errors.As(err, &e) {
		e = &faas.Error{Code: faas.CodeInternal}
	}
	reply, ok := t[errorKey{e.Code, e.Field}]
	if !ok {
		reply = t[errorKey{e.Code, ""}]
	}
	if reply.text == "" {
		reply.text = e.Message
	}
	return reply
}

// errorBody is the error of the dialect; the gateway in front of the vendor's service adds the request id.
type errorBody struct {
	Code      string `json:"error_code"`
	Message   string `json:"error_msg"`
	RequestID string `json:"request_id,omitempty"`
}

func (a *api) writeError(w http.ResponseWriter, r *http.Request, err error) {
	reply := a.errors.of(err)
	body := errorBody{Code: reply.code, Message: reply.text}
	if reply.status != http.StatusUnauthorized && ofFlows(r.URL.Path) {
		reply = flowReply(err)
		body = errorBody{Code: reply.code, Message: reply.text, RequestID: httpkit.RequestIDOf(r.Context())}
	}
	switch reply.status {
	case http.StatusUnauthorized:
		body.Message = "Incorrect IAM authentication information: " + reply.text
		body.RequestID = httpkit.RequestIDOf(r.Context())
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header()["Retry-After"] = []string{"1"}
	}
	_ = httpkit.WriteJSON(w, reply.status, body) // three strings can always be encoded
}

// NotFound answers a path or method that no operation has, as the vendor's gateway does.
func NotFound(w http.ResponseWriter, r *http.Request, status int) {
	body := errorBody{
		Code: "APIGW.0101", Message: "The API does not exist or has not been published in the environment",
		RequestID: httpkit.RequestIDOf(r.Context()),
	}
	_ = httpkit.WriteJSON(w, status, body)
}
