package main

import (
	"encoding/json"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/hanshu-faas/hanshu/client"
)

// arguments are those that the provider's documentation names, by resource and block.
var arguments = map[string][]string{
	functionResource: {
		"name", "app", "runtime", "handler", "memory_size", "timeout", "code_type", "code_url", "code_filename", "func_code", "depend_list", "description",
		"functiongraph_version", "user_data", "encrypted_user_data", "agency", "app_agency", "initializer_handler", "initializer_timeout", "enterprise_project_id",
		"vpc_id", "network_id", "mount_user_id", "mount_user_group_id", "max_instance_num", "log_group_id", "log_group_name", "log_stream_id", "log_stream_name",
		"concurrency_num", "gpu_type", "gpu_memory", "pre_stop_handler", "pre_stop_timeout", "heartbeat_handler", "restore_hook_handler", "restore_hook_timeout",
		"ephemeral_storage", "domain_names", "peering_cidr", "enable_dynamic_memory", "enable_auth_in_header", "enable_class_isolation", "is_stateful_function",
		"enable_lts_log", "lts_custom_tag",
	},
	functionResource + " custom_image":       {"url", "command", "args", "working_dir", "user_id", "user_group_id"},
	functionResource + " func_mounts":        {"mount_type", "mount_resource", "mount_share_path", "local_mount_path"},
	functionResource + " network_controller": {"disable_public_network"},
	functionResource + " reserved_instances": {"qualifier_type", "qualifier_name", "count", "idle_mode"},
	functionResource + " versions":           {"name"},
	functionResource + " versions aliases":   {"name", "description", "additional_version_weights"},
	triggerResource:                          {"function_urn", "type", "status", "event_data"},
	dependencyResource:                       {"name", "runtime", "link", "description"},
}

// written parses Terraform and gives the arguments of its resources: "type.label" and of blocks "type.label block" -> name -> value.
func written(t *testing.T, text []byte) map[string]map[string]cty.Value {
	t.Helper()
	file, faults := hclsyntax.ParseConfig(text, "main.tf", hcl.InitialPos)
	require.Empty(t, faults, "%s", text)
	encode := stdlib.JSONEncodeFunc
	read := function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal("file " + args[0].AsString()), nil
		},
	})
	all := map[string]map[string]cty.Value{}
	var walk func(kind, place string, body *hclsyntax.Body)
	walk = func(kind, place string, body *hclsyntax.Body) {
		require.NotContains(t, all, place)
		all[place] = map[string]cty.Value{}
		for name, a := range body.Attributes {
			require.Contains(t, arguments[kind], name, "%s has no such argument", kind)
			scope := map[string]cty.Value{"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(".")})}
			for _, v := range a.Expr.Variables() {
				if v.RootName() != "path" {
					scope[v.RootName()] = cty.DynamicVal
				}
			}
			value, faults := a.Expr.Value(&hcl.EvalContext{Variables: scope, Functions: map[string]function.Function{"jsonencode": encode, "filebase64": read}})
			require.Empty(t, faults)
			all[place][name] = value
		}
		for _, block := range body.Blocks {
			require.Contains(t, arguments, kind+" "+block.Type)
			walk(kind+" "+block.Type, place+" "+block.Type, block.Body)
		}
	}
	for _, block := range file.Body.(*hclsyntax.Body).Blocks {
		if block.Type == "resource" {
			walk(block.Labels[0], block.Labels[0]+"."+block.Labels[1], block.Body)
		} else {
			require.Contains(t, []string{"variable", "import"}, block.Type)
		}
	}
	return all
}

func functionOf(t *testing.T, text string) *client.Function {
	t.Helper()
	var f client.Function
	require.NoError(t, json.Unmarshal([]byte(text), &f))
	return &f
}

// TestTerraform holds what is printed to the language, to the arguments of the real provider, and to the function.
func TestTerraform(t *testing.T) {
	file := hclwrite.NewEmptyFile()
	tf := &terraform{body: file.Body(), names: map[string]bool{}, versions: map[string]string{}, adopt: true}
	tf.dependency(&client.Dependency{ID: "v-1", DependencyID: "d-1", Name: "1.pandas", Version: 3, Runtime: "Python3.9", Link: "https://b/p.zip"})
	const urn = "urn:fss:local:p:function:odd:full"
	full := functionOf(t, `{"func_urn":"`+urn+`:latest","func_name":"full","package":"odd","runtime":"Python3.9","handler":"index.handler","memory_size":256,
		"timeout":30,"description":"say \"hi\" to ${everyone} %{now}\n你好","user_data":"{\"a\":\"${b}\"}","code_type":"zip","code_filename":"full.zip",
		"encrypted_user_data":"{\"api key\":\"\",\"b\":\"\"}","initializer_handler":"index.init","initializer_timeout":7,"depend_version_list":["v-1","public-1"],
		"xrole":"x","app_xrole":"a","enterprise_project_id":"e","type":"v1","pre_stop_handler":"index.stop","pre_stop_timeout":3,"heartbeat_handler":"index.beat",
		"restore_hook_handler":"r","restore_hook_timeout":4,"ephemeral_storage":10240,"gpu_memory":1024,"gpu_type":"t4","domain_names":"[]","peering_cidr":"10.0.0.0/8",
		"enable_dynamic_memory":true,"enable_auth_in_header":true,"enable_class_isolation":true,"is_stateful_function":true,"enable_lts_log":true,
		"lts_custom_tag":{"k":"v"},"strategy_config":{"concurrency":0,"concurrent_num":5},"reserved_instance_count":2,"reserved_instance_idle_mode":true,
		"log_config":{"group_id":"g","group_name":"gn","stream_id":"s","stream_name":"sn"},"func_vpc":{"vpc_id":"v","subnet_id":"n"},
		"network_controller":{"disable_public_network":true},
		"mount_config":{"mount_user":{"user_id":5,"user_group_id":-1},"func_mounts":[{"mount_type":"ecs","mount_resource":"r","mount_share_path":"h:/p","local_mount_path":"/l"}]}}`)
	words := "d"
	label, err := tf.function(urn, full, []client.Alias{{Name: "prod", Version: "v1", Description: &words, Weights: map[string]int{"v2": 10}}})
	require.NoError(t, err)
	require.Equal(t, "odd_full", label)
	require.NoError(t, tf.trigger(urn, label, &client.Trigger{ID: "t-1", Type: "TIMER", Status: "ACTIVE", Data: map[string]any{"name": "n", "schedule": "3m", "invoke_url": "x"}}))
	_, err = tf.function("urn:i", functionOf(t, `{"func_name":"image","package":"default","code_type":"Custom-Image-Swr","strategy_config":{"concurrency":-1},
		"custom_image":{"enabled":true,"image":"swr.x/app:1","command":"/a","args":"-b","working_dir":"/","uid":"1","gid":"2"}}`), nil)
	require.NoError(t, err)
	_, err = tf.function("urn:o", functionOf(t, `{"func_name":"odd_full","package":"default","code_type":"obs","code_url":"https://b/c.zip","code_filename":"c.zip"}`), nil)
	require.NoError(t, err)

	text := hclwrite.Format(file.Bytes())
	got := written(t, text)
	f := got[functionResource+".odd_full"]
	var unset []string
	for _, name := range arguments[functionResource] {
		if _, ok := f[name]; !ok {
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
	require.Contains(t, string(text), `huaweicloud_fgs_function.odd_full.urn`)
	require.JSONEq(t, `{"v2":10}`, got[functionResource+".odd_full versions aliases"]["additional_version_weights"].AsString())
	require.JSONEq(t, `{"name":"n","schedule":"3m"}`, got[triggerResource+".odd_full_timer"]["event_data"].AsString())
	require.Equal(t, "swr.x/app:1", got[functionResource+".image custom_image"]["url"].AsString())
	require.NotContains(t, got[functionResource+".image"], "func_code")
	require.Equal(t, "https://b/c.zip", got[functionResource+".odd_full_2"]["code_url"].AsString(), "a label of its own")
	for _, id := range []string{`"` + urn + `"`, `"` + urn + `/TIMER/t-1"`, `"d-1/3"`} {
		require.Contains(t, string(text), "id = "+id)
	}
	require.Len(t, tf.packages, 1)
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
