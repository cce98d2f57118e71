package functiongraph

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// CarriedField is a field of the dialect that has no effect on this platform: it is checked, stored and given back.
type CarriedField struct {
	Name   string // on the wire
	Reason string // why it has no effect, in one line
}

// CarriedFields lists them, for docs/COMPATIBILITY.md.
func CarriedFields() []CarriedField {
	fields := []CarriedField{
		{"enterprise_project_id", "there is one enterprise project, 0"},
		{"type", "v1 and v2 functions run alike"},
	}
	for _, f := range carriedFields() {
		if f.Reason != "" {
			fields = append(fields, f.CarriedField)
		}
	}
	return fields
}

// carriedJSON holds the carried fields of a request as they came; nil for one that is absent.
type carriedJSON struct {
	CodeEncryptKmsKeyID     json.RawMessage `json:"code_encrypt_kms_key_id,omitempty"`
	CustomImage             json.RawMessage `json:"custom_image,omitempty"`
	DomainNames             json.RawMessage `json:"domain_names,omitempty"`
	EnableAuthInHeader      json.RawMessage `json:"enable_auth_in_header,omitempty"`
	EnableClassIsolation    json.RawMessage `json:"enable_class_isolation,omitempty"`
	EnableLtsLog            json.RawMessage `json:"enable_lts_log,omitempty"`
	ExtendConfig            json.RawMessage `json:"extend_config,omitempty"`
	FuncVpc                 json.RawMessage `json:"func_vpc,omitempty"`
	GPUMemory               json.RawMessage `json:"gpu_memory,omitempty"`
	GPUType                 json.RawMessage `json:"gpu_type,omitempty"`
	IsStatefulFunction      json.RawMessage `json:"is_stateful_function,omitempty"`
	LogConfig               json.RawMessage `json:"log_config,omitempty"`
	LtsCustomTag            json.RawMessage `json:"lts_custom_tag,omitempty"`
	MountConfig             json.RawMessage `json:"mount_config,omitempty"`
	NetworkController       json.RawMessage `json:"network_controller,omitempty"`
	PeeringCidr             json.RawMessage `json:"peering_cidr,omitempty"`
	RestoreHookHandler      json.RawMessage `json:"restore_hook_handler,omitempty"`
	RestoreHookTimeout      json.RawMessage `json:"restore_hook_timeout,omitempty"`
	UserDataEncryptKmsKeyID json.RawMessage `json:"user_data_encrypt_kms_key_id,omitempty"`
}

// carriedField adds the check of a field's shape: why a value is wrong, or "".
type carriedField struct {
	CarriedField
	check func(raw []byte) string
}

// carriedFields is the one table of carried fields, with the ranges of reference 1.17.
func carriedFields() []carriedField {
	row := func(name, reason string, check func([]byte) string) carriedField {
		return carriedField{CarriedField{name, reason}, check}
	}
	return []carriedField{
		row("code_encrypt_kms_key_id", "packages are not encrypted by a key service", text(128)),
		row("custom_image", "", object(checkCustomImage)), // it has an effect: given back as it came, and read by imageOf
		row("domain_names", "names are resolved as the host resolves them", text(4096)),
		row("enable_auth_in_header", "", flag), // it has an effect: given back as it came, and read by fromFunction
		row("enable_class_isolation", "a setting of the vendor's Java runtime", flag),
		row("enable_lts_log", "logs are kept by this server and not by the vendor's log service", flag),
		row("extend_config", "the vendor gives it no meaning", text(4096)),
		row("func_vpc", "there are no VPCs here; what a function reaches is set by egress", object(checkFuncVpc)),
		row("gpu_memory", "no graphics processors are handed to functions", number(1024, 16384, 1024)),
		row("gpu_type", "as gpu_memory", text(128)),
		row("is_stateful_function", "state is not kept between calls", flag),
		row("log_config", "as enable_lts_log", object(func(*logConfig) string { return "" })),
		row("lts_custom_tag", "as enable_lts_log", object(func(*map[string]string) string { return "" })),
		row("mount_config", "file systems of the vendor cannot be mounted", object(checkMountConfig)),
		row("network_controller", "disable_public_network has an effect, trigger_access_vpcs as func_vpc", object(func(*networkController) string { return "" })),
		row("peering_cidr", "as func_vpc", text(1024)),
		row("restore_hook_handler", "a hook of the vendor's Java snapshots", text(128)),
		row("restore_hook_timeout", "as restore_hook_handler", number(1, 300, 1)),
		row("user_data_encrypt_kms_key_id", "encrypted user data is sealed with this server's key", text(128)),
	}
}

// maxCarried bounds one carried field, in bytes.
const maxCarried = 16 << 10

// collect checks the carried fields of a request and gives those present by name, in compact JSON; "" for one that is
// cleared, by null or by a value that says nothing. Error: CodeInvalid with the field's name.
func collect(table []carriedField, from *carriedJSON) (map[string]string, error) {
	all, err := json.Marshal(from)
	if err != nil {
		return nil, fmt.Errorf("encode carried fields: %w", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(all, &fields); err != nil {
		return nil, fmt.Errorf("decode carried fields: %w", err)
	}
	given := make(map[string]string, len(fields))
	for _, f := range table {
		raw, ok := fields[f.Name]
		switch {
		case !ok:
		case says(raw) == "":
			given[f.Name] = ""
		case len(raw) > maxCarried:
			return nil, faas.Errorf(faas.CodeInvalid, f.Name, "%s is over %d bytes", f.Name, maxCarried)
		default:
			if why := f.check(raw); why != "" {
				return nil, faas.Errorf(faas.CodeInvalid, f.Name, "%s %s", f.Name, why)
			}
			given[f.Name] = string(raw)
			if f.Name == "mount_config" {
				given[f.Name] = documentedMounts(raw)
			}
		}
	}
	return given, nil
}

// says gives compact JSON, and "" for a value that says nothing.
func says(raw []byte) string {
	switch s := string(raw); s {
	case "null", `""`, "0", "{}", "[]":
		return ""
	default:
		return s
	}
}

func text(limit int) func([]byte) string {
	return func(raw []byte) string {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return "must be a string"
		}
		if utf8.RuneCountInString(s) > limit {
			return fmt.Sprintf("is over %d characters", limit)
		}
		return ""
	}
}

func flag(raw []byte) string {
	if s := string(raw); s != "true" && s != "false" {
		return "must be true or false"
	}
	return ""
}

func number(low, high, step int) func([]byte) string {
	return func(raw []byte) string {
		var n int
		if json.Unmarshal(raw, &n) != nil || n < low || n > high || n%step != 0 {
			return fmt.Sprintf("must be a number from %d to %d in steps of %d", low, high, step)
		}
		return ""
	}
}

// object reads a value into its schema and lets check look at it.
func object[T any](check func(*T) string) func([]byte) string {
	return func(raw []byte) string {
		var v T
		err := json.Unmarshal(raw, &v)
		var wrong *json.UnmarshalTypeError
		switch {
		case err == nil:
			return check(&v)
		case errors.As(err, &wrong) && wrong.Field != "":
			return fmt.Sprintf("has a %s at %q, where it does not belong", wrong.Value, wrong.Field)
		}
		return "does not have the form of its schema"
	}
}

// customImage is CustomImage.
type customImage struct {
	Enabled    bool   `json:"enabled"`
	Image      string `json:"image"`
	IsPublic   bool   `json:"is_public"`
	Command    string `json:"command"`
	Args       string `json:"args"`
	WorkingDir string `json:"working_dir"`
	UID        string `json:"uid"`
	GID        string `json:"gid"`
}

func checkCustomImage(c *customImage) string {
	if c.Enabled && c.Image == "" {
		return "must name an image when it is enabled"
	}
	for _, id := range []string{c.UID, c.GID} {
		if _, err := strconv.Atoi(id); id != "" && err != nil {
			return "must have numbers as uid and gid"
		}
	}
	return ""
}

// imageOf reads the image that a request wants run: nil where it says nothing of it, and one without a reference where it says that
// there is to be none. The fields have passed collect.
func imageOf(from *carriedJSON) (*faas.Image, error) {
	var c customImage
	if len(from.CustomImage) == 0 || string(from.CustomImage) == `""` {
		return nil, nil
	}
	if err := json.Unmarshal(from.CustomImage, &c); err != nil {
		return nil, fmt.Errorf("decode custom_image: %w", err)
	}
	if !c.Enabled {
		return &faas.Image{}, nil
	}
	image := &faas.Image{Ref: c.Image, Command: commaList(c.Command), Args: commaList(c.Args), WorkingDir: c.WorkingDir}
	for _, id := range []struct {
		text string
		to   *int
	}{{c.UID, &image.UID}, {c.GID, &image.GID}} {
		if id.text == "" {
			continue
		}
		n, err := strconv.Atoi(id.text)
		if err != nil || n == 0 { // 0 stands for none given, and is not the same as none
			n = -1
		}
		*id.to = n
	}
	return image, nil
}

// commaList reads command and args, whose parts stand between commas (reference 5.6).
func commaList(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// funcVpc is FuncVpc.
type funcVpc struct {
	DomainID       string   `json:"domain_id"`
	Namespace      string   `json:"namespace"`
	VpcID          string   `json:"vpc_id"`
	VpcName        string   `json:"vpc_name"`
	SubnetID       string   `json:"subnet_id"`
	SubnetName     string   `json:"subnet_name"`
	Cidr           string   `json:"cidr"`
	Gateway        string   `json:"gateway"`
	IsSafety       bool     `json:"is_safety"`
	SecurityGroups []string `json:"security_groups"`
}

func checkFuncVpc(v *funcVpc) string {
	if v.VpcID == "" || v.SubnetID == "" {
		return "must have vpc_id and subnet_id"
	}
	return ""
}

// logConfig is FuncLogConfig.
type logConfig struct {
	GroupName  string `json:"group_name"`
	GroupID    string `json:"group_id"`
	StreamName string `json:"stream_name"`
	StreamID   string `json:"stream_id"`
}

// mountConfig is MountConfig with MountUser and FuncMount. Terraform sends the user by names of its own, and reads the documented ones
// (reference 1.16).
type mountConfig struct {
	MountUser struct {
		UserID       *int `json:"user_id"`
		UserGroupID  *int `json:"user_group_id"`
		MountUserID  *int `json:"mount_user_id"`
		MountGroupID *int `json:"mount_user_group_id"`
	} `json:"mount_user"`
	FuncMounts []struct {
		MountType      string `json:"mount_type"`
		MountResource  string `json:"mount_resource"`
		MountSharePath string `json:"mount_share_path"`
		LocalMountPath string `json:"local_mount_path"`
	} `json:"func_mounts"`
}

func checkMountConfig(m *mountConfig) string {
	for _, id := range []*int{m.MountUser.UserID, m.MountUser.UserGroupID, m.MountUser.MountUserID, m.MountUser.MountGroupID} {
		if id != nil && (*id < -1 || *id > 65534 || *id == 0 || *id == 1000 || *id == 1002) {
			return "must have a mount_user from -1 to 65534, and not 0, 1000 or 1002"
		}
	}
	if len(m.FuncMounts) > 5 {
		return "may have at most 5 func_mounts"
	}
	for _, f := range m.FuncMounts {
		switch {
		case f.MountType != "sfs" && f.MountType != "sfsTurbo" && f.MountType != "ecs":
			return fmt.Sprintf("has mount_type %.40q, and sfs, sfsTurbo and ecs are those there are", f.MountType)
		case f.MountResource == "":
			return "must have a mount_resource in each of func_mounts"
		case !strings.HasPrefix(f.LocalMountPath, "/"):
			return "must have an absolute local_mount_path in each of func_mounts"
		case f.MountType == "ecs" && !strings.Contains(f.MountSharePath, ":/"):
			return "must have a mount_share_path such as host:/path for ecs"
		}
	}
	return ""
}

// documentedMounts gives a mount_config that has been checked, with its user by the documented names.
func documentedMounts(raw []byte) string {
	var config, user map[string]json.RawMessage
	if json.Unmarshal(raw, &config) != nil || json.Unmarshal(config["mount_user"], &user) != nil {
		return string(raw) // it names no user
	}
	if user["mount_user_id"] == nil && user["mount_user_group_id"] == nil {
		return string(raw)
	}
	for _, name := range []string{"user_id", "user_group_id"} {
		if given, ok := user["mount_"+name]; ok {
			delete(user, "mount_"+name)
			if _, both := user[name]; !both {
				user[name] = given
			}
		}
	}
	var err error
	if config["mount_user"], err = json.Marshal(user); err != nil {
		return string(raw)
	}
	text, err := json.Marshal(config)
	if err != nil {
		return string(raw)
	}
	return string(text)
}

// networkController is NetworkControlConfig with VpcConfig.
type networkController struct {
	DisablePublicNetwork bool `json:"disable_public_network"`
	TriggerAccessVpcs    []struct {
		VpcID   string `json:"vpc_id"`
		VpcName string `json:"vpc_name"`
	} `json:"trigger_access_vpcs"`
}

// noPublic reads whether a function is to be shut in: nil where a request says nothing of it. The shape has been checked.
func noPublic(raw json.RawMessage) *bool {
	if raw == nil {
		return nil
	}
	var c networkController
	_ = json.Unmarshal(raw, &c) // null and "" leave it as it is: they take the setting away
	return &c.DisablePublicNetwork
}
