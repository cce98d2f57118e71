package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/hanshu-faas/hanshu/client"
)

// arguments are those that the provider's own schema has (v1.97), by resource and block: text where nothing else is said, "!" for those
// that must be given. Words of the provider's own and older words for the same are left out.
var arguments = map[string]string{
	functionResource: `name! app runtime! handler memory_size:number! timeout:number! code_type code_url code_filename func_code depend_list:list
		description functiongraph_version user_data encrypted_user_data agency app_agency initializer_handler initializer_timeout:number
		enterprise_project_id vpc_id network_id dns_list mount_user_id:number mount_user_group_id:number max_instance_num log_group_id
		log_group_name log_stream_id log_stream_name concurrency_num:number gpu_type gpu_memory:number pre_stop_handler pre_stop_timeout:number
		heartbeat_handler restore_hook_handler restore_hook_timeout:number ephemeral_storage:number peering_cidr enable_dynamic_memory:bool
		enable_auth_in_header:bool enable_class_isolation:bool is_stateful_function:bool enable_lts_log:bool lts_custom_tag:map tags:map
		user_data_encrypt_kms_key_id code_encrypt_kms_key_id`,
	functionResource + " custom_image":                                     "url! command args working_dir user_id user_group_id",
	functionResource + " func_mounts":                                      "mount_type! mount_resource! mount_share_path! local_mount_path!",
	functionResource + " network_controller":                               "disable_public_network:bool",
	functionResource + " network_controller trigger_access_vpcs":           "vpc_id vpc_name",
	functionResource + " reserved_instances":                               "qualifier_type! qualifier_name! count:number! idle_mode:bool",
	functionResource + " reserved_instances tactics_config":                "",
	functionResource + " reserved_instances tactics_config cron_configs":   "name! cron! count:number! start_time:number! expired_time:number!",
	functionResource + " reserved_instances tactics_config metric_configs": "name! type! threshold:number! min:number!",
	functionResource + " versions":                                         "name! description",
	functionResource + " versions aliases":                                 "name! description additional_version_weights additional_version_strategy",
	triggerResource:                                                        "function_urn! type! status event_data!",
	dependencyResource:                                                     "name! runtime! link! description",
	eventResource:                                                          "function_urn! name! content!",
	asyncResource:                                                          "function_urn! max_async_event_age_in_seconds:number! max_async_retry_attempts:number! enable_async_status_log:bool",
	asyncResource + " on_success":                                          "destination! param!",
	asyncResource + " on_failure":                                          "destination! param!",
}

// together are arguments that the schema takes only beside another one.
var together = map[string]string{
	"vpc_id": "network_id", "network_id": "vpc_id", "dns_list": "vpc_id", "gpu_type": "gpu_memory", "gpu_memory": "gpu_type", "log_stream_name": "log_group_id",
}

// single are the blocks that may stand once.
var single = []string{"custom_image", "network_controller", "tactics_config", "aliases", "on_success", "on_failure"}

var kinds = map[string]cty.Type{
	"": cty.String, "number": cty.Number, "bool": cty.Bool, "list": cty.List(cty.String), "map": cty.Map(cty.String),
}

// reader reads Terraform as the provider would.
type reader struct {
	*testing.T
	all map[string]map[string]cty.Value
}

// written gives the arguments of resources: "type.label", and of blocks "type.label block", with a number behind the second and later ones of a
// name -> name -> value.
func written(t *testing.T, text []byte) map[string]map[string]cty.Value {
	t.Helper()
	file, faults := hclsyntax.ParseConfig(text, "main.tf", hcl.InitialPos)
	require.Empty(t, faults, "%s", text)
	r := reader{t, map[string]map[string]cty.Value{}}
	for _, block := range file.Body.(*hclsyntax.Body).Blocks {
		if block.Type == "resource" {
			r.walk(block.Labels[0], block.Labels[0]+"."+block.Labels[1], block.Body)
		} else {
			require.Contains(t, []string{"variable", "import"}, block.Type)
		}
	}
	return r.all
}

func (r reader) walk(kind, place string, body *hclsyntax.Body) {
	schema, ok := arguments[kind]
	require.True(r, ok, "there is no block %s", kind)
	require.NotContains(r, r.all, place)
	got := map[string]cty.Value{}
	r.all[place] = got
	for name, a := range body.Attributes {
		got[name] = r.value(a.Expr)
	}
	known := map[string]bool{}
	for _, word := range strings.Fields(schema) {
		name, kindName, _ := strings.Cut(strings.TrimSuffix(word, "!"), ":")
		known[name] = true
		value, given := got[name]
		require.False(r, strings.HasSuffix(word, "!") && !given, "%s must have %s", place, name)
		if given {
			_, err := convert.Convert(value, kinds[kindName])
			require.NoError(r, err, "%s %s", place, name)
		}
	}
	for name := range got {
		require.True(r, known[name], "%s has no argument %s", kind, name)
		if other := together[name]; other != "" && kind == functionResource {
			require.Contains(r, got, other, "%s wants it beside %s", place, name)
		}
	}
	seen := map[string]int{}
	for _, block := range body.Blocks {
		if block.Type == "lifecycle" {
			for _, passed := range block.Body.Attributes["ignore_changes"].Expr.Variables() {
				require.Contains(r, got, passed.RootName(), "%s passes over what it has not", place)
			}
			continue
		}
		seen[block.Type]++
		require.False(r, seen[block.Type] > 1 && slices.Contains(single, block.Type), "%s has several of %s", place, block.Type)
		at := place + " " + block.Type
		if n := seen[block.Type]; n > 1 {
			at += fmt.Sprint(n)
		}
		r.walk(kind+" "+block.Type, at, block.Body)
	}
}

func (r reader) value(of hclsyntax.Expression) cty.Value {
	scope := map[string]cty.Value{"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(".")})}
	for _, v := range of.Variables() {
		if v.RootName() != "path" {
			scope[v.RootName()] = cty.DynamicVal
		}
	}
	file := function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal("file " + args[0].AsString()), nil
		},
	})
	value, faults := of.Value(&hcl.EvalContext{Variables: scope, Functions: map[string]function.Function{
		"jsonencode": stdlib.JSONEncodeFunc, "filebase64": file, "replace": stdlib.RegexReplaceFunc,
	}})
	require.Empty(r, faults)
	return value
}

func functionOf(t *testing.T, urn, text string) *described {
	t.Helper()
	var f client.Function
	require.NoError(t, json.Unmarshal([]byte(text), &f))
	return &described{Function: &f, urn: urn}
}

func newTerraform(adopt bool) (*hclwrite.File, *terraform) {
	file := hclwrite.NewEmptyFile()
	return file, &terraform{body: file.Body(), names: map[string]bool{}, versions: map[string]string{}, functions: map[string]string{}, adopt: adopt}
}

const fullURN = "urn:fss:local:p:function:odd:full"

// full is a function with all that the provider has an argument for.
func full(t *testing.T) *described {
	f := functionOf(t, fullURN, `{"func_urn":"`+fullURN+`:latest","func_name":"full","package":"odd","runtime":"Python3.9","handler":"index.handler","memory_size":256,
		"timeout":30,"description":"say \"hi\" to ${everyone} %{now}\n你好","user_data":"{\"a\":\"${b}\"}","code_type":"zip","code_filename":"full.zip",
		"encrypted_user_data":"{\"api key\":\"\",\"b\":\"\"}","initializer_handler":"index.init","initializer_timeout":7,"depend_version_list":["v-1","public-1"],
		"xrole":"x","app_xrole":"a","enterprise_project_id":"e","type":"v1","pre_stop_handler":"index.stop","pre_stop_timeout":3,"heartbeat_handler":"index.beat",
		"restore_hook_handler":"r","restore_hook_timeout":4,"ephemeral_storage":10240,"gpu_memory":1024,"gpu_type":"t4","domain_names":"[]","peering_cidr":"10.0.0.0/8",
		"enable_dynamic_memory":true,"enable_auth_in_header":true,"enable_class_isolation":true,"is_stateful_function":true,"enable_lts_log":true,
		"lts_custom_tag":{"k":"v"},"strategy_config":{"concurrency":0,"concurrent_num":5},"user_data_encrypt_kms_key_id":"u","code_encrypt_kms_key_id":"c",
		"log_config":{"group_id":"g","group_name":"gn","stream_id":"s","stream_name":"sn"},"func_vpc":{"vpc_id":"v","subnet_id":"n"},
		"network_controller":{"disable_public_network":true,"trigger_access_vpcs":[{"vpc_id":"v"},{"vpc_name":"w"}]},"egress":"a.com:443\nb","isolation":"oci",
		"mount_config":{"mount_user":{"user_id":5,"user_group_id":-1},"func_mounts":[{"mount_type":"sfs","mount_resource":"r","local_mount_path":"/l"}]}}`)
	words := "d"
	f.versions = []*client.Function{{Version: "latest"}, {Version: "v1", VersionDescription: "one"}, {Version: "v2"}, {Version: "v3"}}
	f.aliases = []client.Alias{
		{Name: "prod", Version: "v1", Description: &words, Weights: map[string]int{"v2": 10}},
		{Name: "rules", Version: "v2", Strategies: map[string]client.Strategy{"v1": {CombineType: "or", Rules: []client.AliasRule{{Type: "Header", Param: "p", Op: "=", Value: "1"}}}}},
	}
	require.NoError(t, json.Unmarshal([]byte(`[{"qualifier_type":"version","qualifier_name":"latest","min_count":2,"idle_mode":true,"tactics_config":{}},
		{"qualifier_type":"alias","qualifier_name":"prod","min_count":0,"tactics_config":{"cron_configs":[{"name":"night","cron":"0 0 1 * * ?","count":0,"start_time":1,"expired_time":2}],
		"metric_configs":[{"name":"m","type":"Concurrency","threshold":50,"min":1}]}}]`), &f.reserved))
	f.tags = map[string]string{"team": "a", "empty": ""}
	return f
}

// TestTerraform holds what is printed to the language, to the real provider's schema, and to the function.
func TestTerraform(t *testing.T) {
	file, tf := newTerraform(true)
	tf.dependency(&client.Dependency{ID: "v-1", DependencyID: "d-1", Name: "1.pandas", Version: 3, Runtime: "Python3.9", Link: "https://b/p.zip"})
	label, err := tf.function(full(t))
	require.NoError(t, err)
	require.Equal(t, "odd_full", label)
	_, err = tf.function(functionOf(t, "urn:i", `{"func_name":"image","package":"default","runtime":"Custom Image","memory_size":128,"timeout":3,"code_type":"Custom-Image-Swr",
		"strategy_config":{"concurrency":-1},"custom_image":{"enabled":true,"image":"swr.x/app:1","command":"/a","args":"-b","working_dir":"/","uid":"1","gid":"2"},"domain_names":"[]"}`))
	require.NoError(t, err)
	_, err = tf.function(functionOf(t, "urn:o", `{"func_name":"odd_full","package":"default","runtime":"http","memory_size":128,"timeout":3,"code_type":"obs","code_url":"https://b/c.zip"}`))
	require.NoError(t, err)

	text := hclwrite.Format(file.Bytes())
	got := written(t, text)
	f := got[functionResource+".odd_full"]
	var unset []string
	for _, word := range strings.Fields(arguments[functionResource]) {
		if name, _, _ := strings.Cut(strings.TrimSuffix(word, "!"), ":"); f[name] == cty.NilVal {
			unset = append(unset, name)
		}
	}
	require.Equal(t, []string{"code_url"}, unset, "every argument is written")
	require.Equal(t, "say \"hi\" to ${everyone} %{now}\n你好", f["description"].AsString())
	require.Equal(t, `{"a":"${b}"}`, f["user_data"].AsString())
	require.Equal(t, "0", f["max_instance_num"].AsString())
	require.Equal(t, "file ./code/odd_full.zip", f["func_code"].AsString())
	require.Equal(t, "odd", f["app"].AsString())
	require.True(t, f["memory_size"].RawEquals(cty.NumberIntVal(256)))
	require.Contains(t, string(text), `[huaweicloud_fgs_dependency_version._1_pandas_3.version_id, "public-1"]`)
	require.Contains(t, string(text), `"api key" = var.odd_full_api_key`)
	require.Contains(t, string(text), `variable "odd_full_api_key"`)
	require.Equal(t, "swr.x/app:1", got[functionResource+".image custom_image"]["url"].AsString())
	require.NotContains(t, got[functionResource+".image"], "func_code")
	require.Equal(t, "https://b/c.zip", got[functionResource+".odd_full_2"]["code_url"].AsString(), "a label of its own")
	for _, id := range []string{`"` + fullURN + `:latest"`, `"d-1/3"`} {
		require.Contains(t, string(text), "id = "+id)
	}
	require.Equal(t, 2, strings.Count(string(text), "ignore_changes"), "%s", text)
	require.Contains(t, string(text), "ignore_changes = [func_code, encrypted_user_data, tags]")
	for _, out := range []string{`egress = "a.com:443\nb"`, `isolation = "oci"`, `dns_list: "[]"`} {
		require.Contains(t, string(text), out, "what is left out is named")
	}
	require.Len(t, tf.packages, 1)
}

// TestTerraformVersions: a version that a file does not name is removed by the next apply, so that each stands there with its alias.
func TestTerraformVersions(t *testing.T) {
	file, tf := newTerraform(false)
	_, err := tf.function(full(t))
	require.NoError(t, err)
	got := written(t, file.Bytes())
	const f = functionResource + ".odd_full "
	require.Equal(t, "v1", got[f+"versions"]["name"].AsString(), "latest has no alias, so that it has no block")
	require.Equal(t, "one", got[f+"versions"]["description"].AsString())
	require.JSONEq(t, `{"v2":10}`, got[f+"versions aliases"]["additional_version_weights"].AsString())
	require.Equal(t, `{"v1":{"combine_type":"or","rules":[{"op":"=","param":"p","rule_type":"Header","value":"1"}]}}`,
		got[f+"versions2 aliases"]["additional_version_strategy"].AsString(), "word for word what the provider reads")
	require.Equal(t, "v3", got[f+"versions3"]["name"].AsString())
	require.NotContains(t, got, f+"versions3 aliases")
	require.Equal(t, "prod", got[f+"reserved_instances2"]["qualifier_name"].AsString())
	require.Equal(t, "night", got[f+"reserved_instances2 tactics_config cron_configs"]["name"].AsString())
	require.Equal(t, "", got[f+"func_mounts"]["mount_share_path"].AsString())
	require.Equal(t, "w", got[f+"network_controller trigger_access_vpcs2"]["vpc_name"].AsString())
	require.NotContains(t, string(file.Bytes()), "ignore_changes")
}

// TestTerraformBeside writes triggers, test events, settings of asynchronous calls, and names workflows.
func TestTerraformBeside(t *testing.T) {
	file, tf := newTerraform(true)
	label, err := tf.function(full(t))
	require.NoError(t, err)
	for _, trigger := range []client.Trigger{
		{ID: "t-1", Type: "TIMER", Status: "ACTIVE", URN: fullURN + ":latest", Data: map[string]any{"name": "n", "schedule": "3m"}},
		{ID: "t-2", Type: "APIG", Status: "ACTIVE", URN: fullURN + ":!prod", Data: map[string]any{"name": "n", "invoke_url": "x", "app_code": "", "func_info": map[string]any{"timeout": 7.0}}},
	} {
		require.NoError(t, tf.trigger(label, &trigger))
	}
	tf.event(label, fullURN+":latest", client.TestEvent{ID: "e", Name: "try", Content: "e30="})
	var c client.AsyncConfig
	require.NoError(t, json.Unmarshal([]byte(`{"func_urn":"`+fullURN+`:latest","max_async_event_age_in_seconds":60,"max_async_retry_attempts":0,"destination_config":{
		"on_success":{"destination":"FunctionGraph","param":"{\"func_urn\":\"`+fullURN+`:v1\"}"},"on_failure":{"destination":"OBS","param":"{\"bucket\":\"b\",\"expires\":5}"}}}`), &c))
	require.NoError(t, tf.async(c))
	tf.flows([]client.Workflow{{Name: "order"}})
	text := string(hclwrite.Format(file.Bytes()))
	got := written(t, []byte(text))
	require.JSONEq(t, `{"name":"n","schedule":"3m"}`, got[triggerResource+".odd_full_timer"]["event_data"].AsString())
	require.Equal(t, `{"bucket":"b","expires":5}`, got[asyncResource+".odd_full on_failure"]["param"].AsString())
	for _, line := range []string{
		`id = "` + fullURN + `:latest/TIMER/t-1"`, `id = "` + fullURN + `:latest/try"`, `id = "` + fullURN + `:latest"`,
		`replace(huaweicloud_fgs_function.odd_full.urn, "/:latest$/", ":!prod")`, `app_code = var.odd_full_apig_app_code`, `variable "odd_full_apig_app_code"`,
		`func_urn = replace(huaweicloud_fgs_function.odd_full.urn, "/:latest$/", ":v1")`, `ignore_changes = [event_data]`, "the workflow order",
	} {
		require.Contains(t, text, line)
	}
}

// TestExportIn finds an export in every form it may be saved in.
func TestExportIn(t *testing.T) {
	const zip = "PK\x05\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	const text = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="
	for _, saved := range []string{zip, text, text + "\n", `"` + text + `"`, `{"func_name":"f","file_code":"` + text + `"}`, `{"` + text + `":null}`} {
		require.Equal(t, zip, string(exportIn([]byte(saved))), saved)
	}
	for _, other := range []string{"", "{}", "nothing", `{"file_code":7}`, `["` + text + `"]`, `{"error_code":"x","error_msg":"y"}`} {
		require.Nil(t, exportIn([]byte(other)), other)
	}
}
