package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/hanshu-faas/hanshu/client"
)

// terraform writes resources of Huawei Cloud's provider.
type terraform struct {
	body     *hclwrite.Body
	names    map[string]bool   // "type.label" that are taken
	versions map[string]string // label of the resource, by the id of a dependency version

	functions map[string]string // label of the resource, by the function's URN without a version
	packages  []struct{ urn, file string }
	adopt     bool
}

// The resources of the provider.
const (
	functionResource   = "huaweicloud_fgs_function"
	triggerResource    = "huaweicloud_fgs_function_trigger"
	dependencyResource = "huaweicloud_fgs_dependency_version"
	eventResource      = "huaweicloud_fgs_function_event"
	asyncResource      = "huaweicloud_fgs_async_invoke_configuration"
)

var notInLabels = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// resource begins a block under a label that no other of its type has.
func (t *terraform) resource(kind, name string) (*hclwrite.Body, string) {
	base := notInLabels.ReplaceAllString(name, "_")
	if base == "" || base[0] >= '0' && base[0] <= '9' || base[0] == '-' {
		base = "_" + base
	}
	label := base
	for n := 2; t.names[kind+"."+label]; n++ {
		label = base + "_" + strconv.Itoa(n)
	}
	t.names[kind+"."+label] = true
	block := t.body.AppendNewBlock("resource", []string{kind, label})
	t.body.AppendNewline()
	return block.Body(), label
}

// adoption brings a resource that exists under Terraform.
func (t *terraform) adoption(kind, label, id string) {
	if !t.adopt {
		return
	}
	body := t.body.AppendNewBlock("import", nil).Body()
	body.SetAttributeTraversal("to", traversal(kind, label))
	body.SetAttributeValue("id", cty.StringVal(id))
	t.body.AppendNewline()
}

func traversal(root string, names ...string) hcl.Traversal {
	path := hcl.Traversal{hcl.TraverseRoot{Name: root}}
	for _, name := range names {
		path = append(path, hcl.TraverseAttr{Name: name})
	}
	return path
}

// text sets an argument that is not empty.
func text(body *hclwrite.Body, name, value string) {
	if value != "" {
		body.SetAttributeValue(name, cty.StringVal(value))
	}
}

// number sets an argument that is not 0.
func number(body *hclwrite.Body, name string, value int) {
	if value != 0 {
		body.SetAttributeValue(name, cty.NumberIntVal(int64(value)))
	}
}

func (t *terraform) dependency(v *client.Dependency) {
	body, label := t.resource(dependencyResource, v.Name+"_"+strconv.FormatInt(v.Version, 10))
	text(body, "name", v.Name)
	text(body, "runtime", v.Runtime)
	text(body, "link", v.Link)
	text(body, "description", v.Description)
	t.unread(body, "link")
	t.versions[v.ID] = label
	t.adoption(dependencyResource, label, v.DependencyID+"/"+strconv.FormatInt(v.Version, 10))
}

// functionConfig is what a server says of a function and client.Function leaves in its text.
type functionConfig struct {
	CodeURL             string          `json:"code_url"`
	DependVersionList   []string        `json:"depend_version_list"`
	EncryptedUserData   string          `json:"encrypted_user_data"`
	Xrole               string          `json:"xrole"`
	AppXrole            string          `json:"app_xrole"`
	EnterpriseProjectID string          `json:"enterprise_project_id"`
	Type                string          `json:"type"`
	PreStopHandler      string          `json:"pre_stop_handler"`
	PreStopTimeout      int             `json:"pre_stop_timeout"`
	HeartbeatHandler    string          `json:"heartbeat_handler"`
	RestoreHookHandler  string          `json:"restore_hook_handler"`
	RestoreHookTimeout  int             `json:"restore_hook_timeout"`
	EphemeralStorage    int             `json:"ephemeral_storage"`
	GPUMemory           int             `json:"gpu_memory"`
	GPUType             string          `json:"gpu_type"`
	DomainNames         string          `json:"domain_names"`
	PeeringCidr         string          `json:"peering_cidr"`
	DynamicMemory       bool            `json:"enable_dynamic_memory"`
	AuthInHeader        bool            `json:"enable_auth_in_header"`
	ClassIsolation      bool            `json:"enable_class_isolation"`
	Stateful            bool            `json:"is_stateful_function"`
	LtsLog              bool            `json:"enable_lts_log"`
	LtsTags             json.RawMessage `json:"lts_custom_tag"`
	UserDataKey         string          `json:"user_data_encrypt_kms_key_id"`
	CodeKey             string          `json:"code_encrypt_kms_key_id"`
	ExtendConfig        string          `json:"extend_config"`
	Strategy            struct {
		Concurrency   int `json:"concurrency"`
		ConcurrentNum int `json:"concurrent_num"`
	} `json:"strategy_config"`
	Log struct {
		GroupID    string `json:"group_id"`
		GroupName  string `json:"group_name"`
		StreamID   string `json:"stream_id"`
		StreamName string `json:"stream_name"`
	} `json:"log_config"`
	VPC struct {
		VpcID    string `json:"vpc_id"`
		SubnetID string `json:"subnet_id"`
	} `json:"func_vpc"`
	Network struct {
		DisablePublic bool `json:"disable_public_network"`
		Vpcs          []struct {
			ID   string `json:"vpc_id"`
			Name string `json:"vpc_name"`
		} `json:"trigger_access_vpcs"`
	} `json:"network_controller"`
	Mount struct {
		User struct {
			UserID  int `json:"user_id"`
			GroupID int `json:"user_group_id"`
		} `json:"mount_user"`
		Mounts []struct {
			Type      string `json:"mount_type"`
			Resource  string `json:"mount_resource"`
			SharePath string `json:"mount_share_path"`
			LocalPath string `json:"local_mount_path"`
		} `json:"func_mounts"`
	} `json:"mount_config"`
	Image struct {
		Image      string `json:"image"`
		Command    string `json:"command"`
		Args       string `json:"args"`
		WorkingDir string `json:"working_dir"`
		UID        string `json:"uid"`
		GID        string `json:"gid"`
	} `json:"custom_image"`
}

// described is a function with what the provider has in its resource.
type described struct {
	*client.Function
	urn      string // without a version
	versions []*client.Function
	aliases  []client.Alias
	reserved []client.Reserved
	tags     map[string]string
}

// latest is the URN that the provider knows a function by.
func (d *described) latest() string { return d.urn + ":latest" }

// function writes a function with its versions and aliases and gives its label.
func (t *terraform) function(f *described) (string, error) {
	var config functionConfig
	if err := json.Unmarshal(f.Raw, &config); err != nil {
		return "", fmt.Errorf("%s: the answer is not what it should be: %w", f.urn, err)
	}
	name := f.Name
	if f.Package != "default" {
		name = f.Package + "_" + f.Name
	}
	body, label := t.resource(functionResource, name)
	t.functions[f.urn] = label
	for _, a := range [][2]string{
		{"name", f.Name}, {"app", f.Package}, {"runtime", f.Runtime}, {"handler", f.Handler}, {"description", f.Description},
		{"functiongraph_version", config.Type}, {"user_data", f.UserData}, {"agency", config.Xrole}, {"app_agency", config.AppXrole},
		{"initializer_handler", f.InitializerHandler}, {"pre_stop_handler", config.PreStopHandler}, {"heartbeat_handler", config.HeartbeatHandler},
		{"restore_hook_handler", config.RestoreHookHandler}, {"gpu_type", config.GPUType},
		{"user_data_encrypt_kms_key_id", config.UserDataKey}, {"code_encrypt_kms_key_id", config.CodeKey},
		{"peering_cidr", config.PeeringCidr}, {"vpc_id", config.VPC.VpcID}, {"network_id", config.VPC.SubnetID},
		{"log_group_id", config.Log.GroupID}, {"log_group_name", config.Log.GroupName}, {"log_stream_id", config.Log.StreamID},
		{"log_stream_name", config.Log.StreamName},
	} {
		text(body, a[0], a[1])
	}
	if config.VPC.VpcID != "" { // without one the provider refuses it
		text(body, "dns_list", config.DomainNames)
	}
	if config.EnterpriseProjectID != "0" { // which is the provider's default
		text(body, "enterprise_project_id", config.EnterpriseProjectID)
	}
	for _, a := range []struct {
		name  string
		value int
	}{
		{"memory_size", f.MemorySize}, {"timeout", f.Timeout}, {"initializer_timeout", f.InitializerTimeout}, {"pre_stop_timeout", config.PreStopTimeout},
		{"restore_hook_timeout", config.RestoreHookTimeout}, {"gpu_memory", config.GPUMemory}, {"ephemeral_storage", config.EphemeralStorage},
		{"mount_user_id", config.Mount.User.UserID}, {"mount_user_group_id", config.Mount.User.GroupID},
	} {
		number(body, a.name, a.value)
	}
	if config.Strategy.ConcurrentNum > 1 { // the provider takes it for web servers and images alone
		number(body, "concurrency_num", config.Strategy.ConcurrentNum)
	}
	body.SetAttributeValue("max_instance_num", cty.StringVal(strconv.Itoa(config.Strategy.Concurrency)))
	for _, a := range []struct {
		name string
		on   bool
	}{
		{"enable_dynamic_memory", config.DynamicMemory}, {"enable_auth_in_header", config.AuthInHeader}, {"enable_class_isolation", config.ClassIsolation},
		{"is_stateful_function", config.Stateful}, {"enable_lts_log", config.LtsLog},
	} {
		if a.on {
			body.SetAttributeValue(a.name, cty.True)
		}
	}
	if err := object(body, "lts_custom_tag", config.LtsTags); err != nil {
		return "", err
	}
	t.code(body, label, f, &config)
	t.uses(body, config.DependVersionList)
	if len(f.tags) > 0 {
		body.SetAttributeValue("tags", textMap(f.tags))
	}
	t.secrets(body, label, config.EncryptedUserData)
	functionBlocks(body, &config)
	versionBlocks(body, f)
	for _, r := range f.reserved {
		reservedBlock(body, r)
	}
	leftOut(body, f, &config)
	t.unread(body, "func_code", "encrypted_user_data", "tags")
	t.adoption(functionResource, label, f.latest())
	return label, nil
}

// code says where the package comes from.
func (t *terraform) code(body *hclwrite.Body, label string, f *described, config *functionConfig) {
	text(body, "code_type", f.CodeType)
	if config.Image.Image != "" {
		return
	}
	text(body, "code_filename", f.CodeFilename)
	if f.CodeType == "obs" {
		text(body, "code_url", config.CodeURL)
		return
	}
	file := "code/" + label + path.Ext(f.CodeFilename)
	t.packages = append(t.packages, struct{ urn, file string }{f.urn, file})
	place := hclwrite.TokensForTraversal(traversal("path", "module"))
	quoted := hclwrite.Tokens{{Type: hclsyntax.TokenOQuote, Bytes: []byte(`"`)}, {Type: hclsyntax.TokenTemplateInterp, Bytes: []byte("${")}}
	quoted = append(append(quoted, place...), &hclwrite.Token{Type: hclsyntax.TokenTemplateSeqEnd, Bytes: []byte("}")},
		&hclwrite.Token{Type: hclsyntax.TokenQuotedLit, Bytes: []byte("/" + file)}, &hclwrite.Token{Type: hclsyntax.TokenCQuote, Bytes: []byte(`"`)})
	body.SetAttributeRaw("func_code", hclwrite.TokensForFunctionCall("filebase64", quoted))
}

// uses names dependencies: by their resources where there are such, else by their ids.
func (t *terraform) uses(body *hclwrite.Body, ids []string) {
	if len(ids) == 0 {
		return
	}
	var list []hclwrite.Tokens
	for _, id := range ids {
		if label, ok := t.versions[id]; ok {
			list = append(list, hclwrite.TokensForTraversal(traversal(dependencyResource, label, "version_id")))
		} else {
			list = append(list, hclwrite.TokensForValue(cty.StringVal(id)))
		}
	}
	body.SetAttributeRaw("depend_list", hclwrite.TokensForTuple(list))
}

// encoded is jsonencode of a value.
func encoded(value cty.Value) hclwrite.Tokens {
	return hclwrite.TokensForFunctionCall("jsonencode", hclwrite.TokensForValue(value))
}

// secrets makes a variable of each, as a server tells their names alone.
func (t *terraform) secrets(body *hclwrite.Body, label, masked string) {
	var names map[string]string
	if json.Unmarshal([]byte(masked), &names) != nil || len(names) == 0 {
		return
	}
	var fields []hclwrite.ObjectAttrTokens
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fields = append(fields, hclwrite.ObjectAttrTokens{Name: hclwrite.TokensForValue(cty.StringVal(name)), Value: t.secret(label, name)})
	}
	body.SetAttributeRaw("encrypted_user_data", hclwrite.TokensForFunctionCall("jsonencode", hclwrite.TokensForObject(fields)))
}

// secret makes a variable and gives what refers to it.
func (t *terraform) secret(label, name string) hclwrite.Tokens {
	variable := label + "_" + strings.Trim(notInLabels.ReplaceAllString(name, "_"), "-")
	block := t.body.AppendNewBlock("variable", []string{variable}).Body()
	block.SetAttributeTraversal("type", traversal("string"))
	block.SetAttributeValue("sensitive", cty.True)
	t.body.AppendNewline()
	return hclwrite.TokensForTraversal(traversal("var", variable))
}

// object sets an argument from JSON that is there and not empty.
func object(body *hclwrite.Body, name string, in json.RawMessage) error {
	if len(in) == 0 || string(in) == "null" || string(in) == "{}" {
		return nil
	}
	value, err := valueOf(in)
	if err == nil {
		body.SetAttributeValue(name, value)
	}
	return err
}

func valueOf(in []byte) (cty.Value, error) {
	kind, err := ctyjson.ImpliedType(in)
	if err != nil {
		return cty.NilVal, fmt.Errorf("read what the server said: %w", err)
	}
	value, err := ctyjson.Unmarshal(in, kind)
	if err != nil {
		return cty.NilVal, fmt.Errorf("read what the server said: %w", err)
	}
	return value, nil
}
