package functiongraph

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// functionRequest is CreateFunctionRequestBody and UpdateFunctionConfigRequestBody (reference 1.1) in one, as they share
// most fields. A field that is absent or null is left as it is; "" clears a text.
type functionRequest struct {
	FuncName          *string         `json:"func_name"`
	Package           *string         `json:"package"`
	CodeType          string          `json:"code_type"`
	CodeURL           string          `json:"code_url"`
	CodeFilename      string          `json:"code_filename"`
	FuncCode          funcCodeRequest `json:"func_code"`
	DependVersionList *[]string       `json:"depend_version_list"`

	Runtime             *string          `json:"runtime"`
	Handler             *string          `json:"handler"`
	MemorySize          *int             `json:"memory_size"`
	Timeout             *int             `json:"timeout"`
	Description         *string          `json:"description"`
	UserData            *string          `json:"user_data"`
	EncryptedUserData   *string          `json:"encrypted_user_data"`
	InitializerHandler  *string          `json:"initializer_handler"`
	InitializerTimeout  *int             `json:"initializer_timeout"`
	PreStopHandler      *string          `json:"pre_stop_handler"`
	PreStopTimeout      *int             `json:"pre_stop_timeout"`
	HeartbeatHandler    *string          `json:"heartbeat_handler"`
	EphemeralStorage    *int             `json:"ephemeral_storage"`
	EnableDynamicMemory *bool            `json:"enable_dynamic_memory"`
	StrategyConfig      *strategyRequest `json:"strategy_config"`
	Tags                *string          `json:"tags"` // of CreateFunction only
	Type                *string          `json:"type"`
	Xrole               *string          `json:"xrole"`
	AppXrole            *string          `json:"app_xrole"`
	EnterpriseProjectID *string          `json:"enterprise_project_id"`

	// Fields of hanshu's own.
	Egress    *string `json:"egress"`
	Isolation *string `json:"isolation"`

	carriedJSON
}

// strategyRequest is StrategyConfig.
type strategyRequest struct {
	Concurrency   *int `json:"concurrency"`
	ConcurrentNum *int `json:"concurrent_num"`
}

// funcCodeRequest is FuncCode.
type funcCodeRequest struct {
	File packageFile `json:"file"`
	Link string      `json:"link"`
}

// codeRequest is UpdateFunctionCodeRequestBody.
type codeRequest struct {
	CodeType          string          `json:"code_type"`
	CodeURL           string          `json:"code_url"`
	CodeFilename      string          `json:"code_filename"`
	FuncCode          funcCodeRequest `json:"func_code"`
	DependVersionList *[]string       `json:"depend_version_list"`

	carriedJSON
}

// maxInstanceRequest is UpdateFunctionMaxInstanceConfigRequestBody.
type maxInstanceRequest struct {
	MaxInstanceNum *int `json:"max_instance_num"`
}

func (a *api) decodeCreate(body []byte) (control.NewFunction, error) {
	var q functionRequest
	if err := httpkit.DecodeJSON(body, &q); err != nil {
		return control.NewFunction{}, err
	}
	set, err := a.fromFunction(&q)
	if err != nil {
		return control.NewFunction{}, err
	}
	set.Dependencies = q.DependVersionList
	tags, err := tagsOfCreate(value(q.Tags))
	if err != nil {
		return control.NewFunction{}, err
	}
	return control.NewFunction{
		Name: value(q.FuncName), Package: value(q.Package), Settings: set,
		Code: fromCode(q.CodeType, q.CodeFilename, q.CodeURL, q.FuncCode), Tags: tags,
	}, nil
}

// decodeConfig reads a change of the function at urn. Its name and package cannot change, so that they may be left out.
func (a *api) decodeConfig(body []byte, urn faas.URN) (control.Settings, error) {
	var q functionRequest
	if err := httpkit.DecodeJSON(body, &q); err != nil {
		return control.Settings{}, err
	}
	if name := value(q.FuncName); name != "" && name != urn.Name {
		return control.Settings{}, faas.Errorf(faas.CodeInvalid, "func_name", "func_name %.80q is not the function of the path, and a function cannot be renamed", name)
	}
	if q.whole() {
		q.takeAway(urn.Package)
	}
	if group := value(q.Package); group != "" && group != urn.Package {
		return control.Settings{}, faas.Errorf(faas.CodeInvalid, "package", "package %.80q is not that of the path, and a function cannot be moved", group)
	}
	if value(q.Tags) != "" {
		return control.Settings{}, faas.Errorf(faas.CodeInvalid, "tags", "tags are changed by CreateTags and DeleteTags; leave tags out")
	}
	return a.fromFunction(&q)
}

func (a *api) decodeCode(body []byte) (control.CodeUpdate, error) {
	var q codeRequest
	if err := httpkit.DecodeJSON(body, &q); err != nil {
		return control.CodeUpdate{}, err
	}
	carried, err := collect(a.carried, &q.carriedJSON)
	if err != nil {
		return control.CodeUpdate{}, err
	}
	image, err := imageOf(&q.carriedJSON)
	return control.CodeUpdate{
		Code:         fromCode(q.CodeType, q.CodeFilename, q.CodeURL, q.FuncCode),
		Dependencies: q.DependVersionList, Image: image, Carried: carried,
	}, err
}

func (a *api) fromFunction(q *functionRequest) (control.Settings, error) {
	carried, err := collect(a.carried, &q.carriedJSON)
	if err != nil {
		return control.Settings{}, err
	}
	set := control.Settings{
		Description: q.Description, Runtime: q.Runtime, Handler: q.Handler, TimeoutSec: q.Timeout, MemoryMB: q.MemorySize,
		TmpMB: q.EphemeralStorage, InitHandler: q.InitializerHandler, InitTimeoutSec: q.InitializerTimeout,
		StopHandler: q.PreStopHandler, StopTimeoutSec: q.PreStopTimeout, BeatHandler: q.HeartbeatHandler,
		UserData: q.UserData, EncryptedUserData: q.EncryptedUserData, DynamicMemory: q.EnableDynamicMemory,
		Role: q.Xrole, AppRole: q.AppXrole, EnterpriseID: q.EnterpriseProjectID, Carried: carried,
		Egress: q.Egress, Isolation: q.Isolation, NoPublic: noPublic(q.NetworkController),
	}
	if given, ok := carried["enable_auth_in_header"]; ok {
		yes := given == "true"
		set.AuthInHeader = &yes
	}
	if set.Image, err = imageOf(&q.carriedJSON); err != nil {
		return control.Settings{}, err
	}
	if q.StrategyConfig != nil {
		set.MaxInstances, set.RequestsPer = q.StrategyConfig.Concurrency, q.StrategyConfig.ConcurrentNum
	}
	if value(q.Type) != "" {
		set.Generation = q.Type
	}
	return set, nil
}

// fromCode takes a URL from either of its two places.
func fromCode(kind, filename, url string, code funcCodeRequest) control.Code {
	if url == "" {
		url = code.Link
	}
	return control.Code{Kind: kind, Filename: filename, URL: url, Data: code.File}
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// packageFile is func_code.file: base64, of the standard or the URL alphabet, with or without padding, line breaks and
// blanks passed over. It is decoded while the body is read, so that a large package is not held once more as text.
type packageFile []byte

// UnmarshalJSON reads the text. Errors: CodeInvalid and CodeTooLarge, field "func_code".
func (f *packageFile) UnmarshalJSON(raw []byte) error {
	bad := faas.Errorf(faas.CodeInvalid, "func_code", "func_code.file is not base64")
	if string(raw) == "null" {
		return nil
	}
	if raw[0] != '"' {
		return bad
	}
	text := raw[1 : len(raw)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		var plain string
		if err := json.Unmarshal(raw, &plain); err != nil {
			return bad
		}
		text = []byte(plain)
	}
	data := make([]byte, base64.RawStdEncoding.DecodedLen(len(text))) // the larger of both encodings
	n, err := base64.StdEncoding.Decode(data, text)
	if err != nil {
		text = bytes.TrimRight(bytes.Map(standardAlphabet, text), "=")
		if n, err = base64.RawStdEncoding.Decode(data, text); err != nil {
			return bad
		}
	}
	if n > faas.MaxPackageBytes {
		return faas.Errorf(faas.CodeTooLarge, "func_code", "the package has %d bytes, over the limit of %d", n, faas.MaxPackageBytes)
	}
	*f = data[:n]
	return nil
}

func standardAlphabet(r rune) rune {
	switch {
	case r == '-':
		return '+'
	case r == '_':
		return '/'
	case strings.ContainsRune(" \t\r\n", r):
		return -1
	}
	return r
}
