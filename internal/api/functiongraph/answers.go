package functiongraph

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// owner holds the names in answers that a function does not know itself.
type owner struct{ region, domainID, domain, project string }

// functionAnswer is CreateFunctionResponseBody, ShowFunctionConfigResponseBody, UpdateFunctionConfigResponseBody,
// UpdateFunctionMaxInstanceConfigResponseBody and ListFunctionResult (reference 1.1) in one. These differ by a few optional
// fields, and clients pass over what they do not know. The fields of carriedFields stand in it too, under their own names.
type functionAnswer struct {
	FuncURN     string `json:"func_urn"`
	FuncID      string `json:"func_id"`
	ResourceID  string `json:"resource_id"`
	FuncName    string `json:"func_name"`
	DomainID    string `json:"domain_id"`
	UserDomain  string `json:"user_domain,omitempty"` // in the oldest published sample only
	Namespace   string `json:"namespace"`
	ProjectName string `json:"project_name"`
	Package     string `json:"package"`
	Runtime     string `json:"runtime"`
	// RuntimeNotice is ours: which version serves the runtime when it is not the one named.
	RuntimeNotice string `json:"runtime_notice,omitempty"`
	Timeout       int    `json:"timeout"`
	Handler       string `json:"handler"`
	MemorySize    int    `json:"memory_size"`
	CPU           int    `json:"cpu"`

	CodeType     string         `json:"code_type"`
	CodeURL      string         `json:"code_url"`
	CodeFilename string         `json:"code_filename"`
	CodeSize     int64          `json:"code_size"`
	FuncCode     funcCodeAnswer `json:"func_code"` // empty: ShowFunctionCode has it
	Digest       string         `json:"digest"`

	UserData          string `json:"user_data"`
	EncryptedUserData string `json:"encrypted_user_data"`

	Version            string   `json:"version"`
	VersionDescription string   `json:"version_description,omitempty"`
	ImageName          string   `json:"image_name"`
	Xrole              string   `json:"xrole"`
	AppXrole           string   `json:"app_xrole"`
	Description        string   `json:"description"`
	LastModified       string   `json:"last_modified"`
	DependList         []string `json:"depend_list"`
	DependVersionList  []string `json:"depend_version_list"`
	Dependencies       []any    `json:"dependencies"`
	// StrategyConfig is given whole.
	StrategyConfig      strategyAnswer `json:"strategy_config"`
	InitializerHandler  string         `json:"initializer_handler"`
	InitializerTimeout  int            `json:"initializer_timeout"`
	PreStopHandler      string         `json:"pre_stop_handler,omitempty"`
	PreStopTimeout      int            `json:"pre_stop_timeout,omitempty"`
	HeartbeatHandler    string         `json:"heartbeat_handler,omitempty"`
	EnterpriseProjectID string         `json:"enterprise_project_id"`
	EphemeralStorage    int            `json:"ephemeral_storage"`
	EnableDynamicMemory bool           `json:"enable_dynamic_memory"`
	Type                string         `json:"type"`
	Egress              string         `json:"egress,omitempty"`    // hanshu's own
	Isolation           string         `json:"isolation,omitempty"` // hanshu's own

	LongTime                 bool   `json:"long_time"` // may run for longer than 15 minutes
	AllowEphemeralStorage    bool   `json:"allow_ephemeral_storage"`
	ApigRouteEnable          bool   `json:"apig_route_enable"`
	EnableCloudDebug         string `json:"enable_cloud_debug"`
	IsBridgeFunction         bool   `json:"is_bridge_function"`
	IsReturnStream           bool   `json:"is_return_stream"`
	ReservedInstanceCount    int    `json:"reserved_instance_count"`
	ReservedInstanceIdleMode bool   `json:"reserved_instance_idle_mode"`

	// Parts of carried fields that answers name apart.
	FuncVpcID   string `json:"func_vpc_id,omitempty"`
	LogGroupID  string `json:"log_group_id,omitempty"`
	LogStreamID string `json:"log_stream_id,omitempty"`

	carried map[string]string
}

// strategyAnswer is StrategyConfig.
type strategyAnswer struct {
	Concurrency   int `json:"concurrency"`
	ConcurrentNum int `json:"concurrent_num"`
}

// funcCodeAnswer is FuncCode.
type funcCodeAnswer struct {
	File string `json:"file,omitempty"`
	Link string `json:"link,omitempty"`
}

// codeAnswer is ShowFunctionCodeResponseBody and UpdateFunctionCodeResponseBody.
type codeAnswer struct {
	FuncURN             string          `json:"func_urn"`
	FuncName            string          `json:"func_name"`
	DomainID            string          `json:"domain_id"`
	Runtime             string          `json:"runtime"`
	CodeType            string          `json:"code_type"`
	CodeURL             string          `json:"code_url"`
	CodeFilename        string          `json:"code_filename"`
	CodeSize            int64           `json:"code_size"`
	Digest              string          `json:"digest"`
	CodeEncryptKmsKeyID json.RawMessage `json:"code_encrypt_kms_key_id,omitempty"`
	LastModified        string          `json:"last_modified"`
	DependList          []string        `json:"depend_list"`
	DependVersionList   []string        `json:"depend_version_list"`
	Dependencies        []any           `json:"dependencies"`
	StrategyConfig      strategyAnswer  `json:"strategy_config"`
	FuncCode            *funcCodeAnswer `json:"func_code,omitempty"`
}

// listAnswer is ListFunctionsResponseBody.
type listAnswer struct {
	Functions  []functionAnswer `json:"functions"`
	NextMarker int64            `json:"next_marker"` // Count when this is the last page
	Count      int64            `json:"count"`
}

// quotasAnswer is ListQuotasResponseBody with ListQuotasResult.
type quotasAnswer struct {
	Quotas struct {
		Resources []resourceAnswer `json:"resources"`
	} `json:"quotas"`
}

// resourceAnswer is Resources.
type resourceAnswer struct {
	Type  string `json:"type"`
	Quota int64  `json:"quota"`
	Used  int64  `json:"used"`
	Unit  string `json:"unit,omitempty"`
}

// toFunction gives a function in the dialect's words.
func toFunction(f *faas.Function, o owner, notice string) functionAnswer {
	s := &f.Spec
	a := functionAnswer{
		FuncURN: f.URN(o.region).String(), FuncID: f.ID, ResourceID: f.ID, FuncName: f.Name,
		DomainID: o.domainID, UserDomain: o.domain, Namespace: f.Project, ProjectName: o.project, Package: f.Package,
		Runtime: s.Runtime, RuntimeNotice: notice, Timeout: int(s.Timeout / time.Second), Handler: s.Handler,
		MemorySize: s.MemoryMB, CPU: faas.CPUMillis(s.MemoryMB),
		CodeType: f.Code.Kind, CodeURL: f.Code.URL, CodeFilename: f.Code.Filename, CodeSize: f.Code.Size, Digest: f.Code.Digest,
		UserData: s.UserData, EncryptedUserData: mask(s.SealedKeys),
		Version: f.Version, VersionDescription: f.VersionDescription, ImageName: f.ImageLabel,
		Xrole: s.Role, AppXrole: s.AppRole, Description: s.Description, LastModified: lastModified(f),
		DependList: list(s.Dependencies), DependVersionList: list(s.Dependencies), Dependencies: []any{},
		StrategyConfig:     strategyAnswer{Concurrency: s.MaxInstances, ConcurrentNum: s.RequestsPer},
		InitializerHandler: s.InitHandler, InitializerTimeout: int(s.InitTimeout / time.Second),
		PreStopHandler: s.StopHandler, PreStopTimeout: int(s.StopTimeout / time.Second), HeartbeatHandler: s.BeatHandler,
		EnterpriseProjectID: s.EnterpriseID, EphemeralStorage: s.TmpMB, EnableDynamicMemory: s.DynamicMemory, Type: s.Generation,
		LongTime: s.Timeout > 15*time.Minute, AllowEphemeralStorage: true, EnableCloudDebug: "DISABLED",
		Egress: s.Egress, Isolation: s.Isolation,
		carried: s.Carried,
	}
	a.ReservedInstanceCount, a.ReservedInstanceIdleMode = s.Keeps()
	if a.EnterpriseProjectID == "" {
		a.EnterpriseProjectID = "0" // the vendor's id of the default enterprise project
	}
	a.FuncVpcID = part(s.Carried["func_vpc"], "vpc_id")
	a.LogGroupID = part(s.Carried["log_config"], "group_id")
	a.LogStreamID = part(s.Carried["log_config"], "stream_id")
	return a
}

// MarshalJSON writes the carried fields behind the others.
func (a functionAnswer) MarshalJSON() ([]byte, error) {
	type plain functionAnswer
	text, err := marshal(plain(a))
	if err != nil || len(a.carried) == 0 {
		return text, err
	}
	text = bytes.TrimSuffix(text, []byte("}"))
	for _, name := range slices.Sorted(maps.Keys(a.carried)) {
		text = append(text, `,"`+name+`":`+a.carried[name]...)
	}
	return append(text, '}'), nil
}

// marshal is json.Marshal without HTML escapes.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// toCode gives a function's code in the dialect's words, without the code itself.
func toCode(f *faas.Function, o owner) codeAnswer {
	s := &f.Spec
	return codeAnswer{
		FuncURN: f.URN(o.region).String(), FuncName: f.Name, DomainID: o.domainID, Runtime: s.Runtime,
		CodeType: f.Code.Kind, CodeURL: f.Code.URL, CodeFilename: f.Code.Filename, CodeSize: f.Code.Size, Digest: f.Code.Digest,
		CodeEncryptKmsKeyID: json.RawMessage(s.Carried["code_encrypt_kms_key_id"]), LastModified: lastModified(f),
		DependList: list(s.Dependencies), DependVersionList: list(s.Dependencies), Dependencies: []any{},
		StrategyConfig: strategyAnswer{Concurrency: s.MaxInstances, ConcurrentNum: s.RequestsPer},
	}
}

// lastModified is in UTC with a Z: the Go SDK takes the hours of any other offset for UTC.
func lastModified(f *faas.Function) string { return f.ModifiedAt.UTC().Format(time.RFC3339) }

// mask shows the names of secrets and not their values: {"key":""}.
func mask(names []string) string {
	if len(names) == 0 {
		return ""
	}
	shown := make(map[string]string, len(names))
	for _, n := range names {
		shown[n] = ""
	}
	text, err := json.Marshal(shown)
	if err != nil {
		return ""
	}
	return string(text)
}

func list(ids []string) []string {
	if ids == nil {
		return []string{}
	}
	return ids
}

// part reads one text out of a carried object.
func part(object, name string) string {
	if object == "" {
		return ""
	}
	var fields map[string]any
	if json.Unmarshal([]byte(object), &fields) != nil {
		return ""
	}
	text, _ := fields[name].(string)
	return text
}
