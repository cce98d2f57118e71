package functiongraph_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// sentByTerraform is a change of a configuration with every field that Terraform compares with what it reads (reference 8.1), but for
// custom_image, which belongs to functions of their own, and gpu_*.
const sentByTerraform = `{
	"runtime": "Python3.9", "timeout": 30, "memory_size": 512, "handler": "src/index.handler", "description": "描述 <&>", "user_data": "{\"a\": \"b\",\"c\":\"\"}",
	"xrole": "x", "app_xrole": "ax", "enterprise_project_id": "ep",
	"pre_stop_handler": "index.stop", "pre_stop_timeout": 20, "initializer_handler": "index.init", "initializer_timeout": 30,
	"heartbeat_handler": "index.beat", "restore_hook_handler": "index.restore", "restore_hook_timeout": 5,
	"strategy_config": {"concurrency": 12, "concurrent_num": 3},
	"domain_names": "[{\"id\":\"1\",\"domain_name\":\"www.a.com\"}]", "peering_cidr": "192.168.0.0/16",
	"func_vpc": {"vpc_id": "v", "subnet_id": "s", "cidr": "192.168.0.0/24", "security_groups": ["g"]},
	"mount_config": {"mount_user": {"user_id": -1, "user_group_id": -1}, "func_mounts": [{"mount_type": "sfs", "mount_resource": "r", "local_mount_path": "/m"}]},
	"network_controller": {"disable_public_network": true, "trigger_access_vpcs": [{"vpc_id": "v"}]},
	"enable_dynamic_memory": true, "is_stateful_function": true, "enable_auth_in_header": true, "enable_class_isolation": true,
	"ephemeral_storage": 10240, "enable_lts_log": true, "lts_custom_tag": {"a": "b"}, "log_config": {"group_id": "g", "group_name": "gn", "stream_id": "s", "stream_name": "sn"}
}`

// TestTerraformReadsWhatItSent compares field by field, so that a second plan finds nothing to do; clears every text by ""; and finds
// the rest as it was.
func TestTerraformReadsWhatItSent(t *testing.T) {
	b := newDiskBench(t, faas.DefaultQuota)
	require.Equal(t, 200, b.send("POST", functions, createBody("eA==")).Code)
	read := func() map[string]any {
		w := b.send("GET", functions+"/test/config", "")
		require.Equal(t, 200, w.Code)
		var got map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		return got
	}
	w := b.send("PUT", functions+"/test/config", sentByTerraform)
	require.Equal(t, 200, w.Code, "%s", w.Body)
	var sent map[string]any
	require.NoError(t, json.Unmarshal([]byte(sentByTerraform), &sent))
	got := read()
	for name, value := range sent {
		require.Equal(t, value, got[name], name)
	}
	before := read()
	require.Equal(t, 200, b.send("PUT", functions+"/test/config", sentByTerraform).Code)
	require.Equal(t, before, read(), "the same once more changes nothing")

	cleared := map[string]any{}
	for name, value := range sent {
		if _, text := value.(string); text && name != "runtime" && name != "handler" {
			cleared[name] = ""
		}
	}
	body, err := json.Marshal(cleared)
	require.NoError(t, err)
	w = b.send("PUT", functions+"/test/config", string(body))
	require.Equal(t, 200, w.Code, "%s", w.Body)
	got = read()
	for name, value := range sent {
		switch _, gone := cleared[name]; {
		case name == "enterprise_project_id":
			require.Equal(t, "0", got[name])
		case gone:
			require.Contains(t, []any{nil, ""}, got[name], name)
		default:
			require.Equal(t, value, got[name], "%s was not named", name)
		}
	}
}
