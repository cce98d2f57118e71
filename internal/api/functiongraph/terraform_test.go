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

// wholeOfTerraform is what the provider never leaves out of a change of a configuration.
const wholeOfTerraform = `"runtime":"Python3.9","handler":"index.handler","memory_size":128,"timeout":3,"description":"","heartbeat_handler":"","peering_cidr":"",
	"restore_hook_handler":"","restore_hook_timeout":0`

// TestTerraformTakesAway: what a whole configuration leaves out is gone, and what any other change leaves out stays.
func TestTerraformTakesAway(t *testing.T) {
	const named = `"user_data":"{\"a\":\"b\"}","encrypted_user_data":"{\"s\":\"t\"}","xrole":"x","pre_stop_handler":"index.stop","pre_stop_timeout":5,
		"func_vpc":{"vpc_id":"v","subnet_id":"s"},"network_controller":{"disable_public_network":true},"gpu_memory":1024,"gpu_type":"t4"`
	b := newDiskBench(t, faas.DefaultQuota)
	require.Equal(t, 200, b.send("POST", functions, createBody("eA==")).Code)
	put := func(body string) map[string]any {
		t.Helper()
		w := b.send("PUT", functions+"/test/config", body)
		require.Equal(t, 200, w.Code, "%s", w.Body)
		var got map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		return got
	}
	all := []string{"user_data", "encrypted_user_data", "xrole", "pre_stop_handler", "pre_stop_timeout", "func_vpc", "network_controller", "gpu_memory", "gpu_type"}
	for name, body := range map[string]string{
		"both":    "{" + wholeOfTerraform + "," + named + "}",
		"partial": `{"runtime":"Python3.9","handler":"index.handler","memory_size":128,"timeout":3,"description":"","heartbeat_handler":"","peering_cidr":""}`,
	} {
		put("{" + named + "}")
		got := put(body)
		for _, field := range all {
			require.NotContains(t, []any{nil, "", 0.0}, got[field], "%s: %s", name, field)
		}
	}
	got := put("{" + wholeOfTerraform + "}")
	for _, field := range all {
		require.Contains(t, []any{nil, "", 0.0}, got[field], field)
	}

	got = put("{" + wholeOfTerraform + `,"package":"worker"}`)
	require.Equal(t, "worker", got["xrole"], "the provider sends xrole, the older word for agency, as the package")
	require.Equal(t, "default", got["package"])
	require.Equal(t, 400, b.send("PUT", functions+"/test/config", `{"package":"other"}`).Code)
}

// TestTerraformMountUser: the provider sends the user by names that it does not read.
func TestTerraformMountUser(t *testing.T) {
	b := newDiskBench(t, faas.DefaultQuota)
	require.Equal(t, 200, b.send("POST", functions, createBody("eA==")).Code)
	for sent, read := range map[string]string{
		`{"mount_user_id":1001,"mount_user_group_id":-1}`:               `{"user_id":1001,"user_group_id":-1}`,
		`{"user_id":7,"mount_user_id":1001,"mount_user_group_id":1003}`: `{"user_id":7,"user_group_id":1003}`,
		`{"user_id":7}`: `{"user_id":7}`,
	} {
		w := b.send("PUT", functions+"/test/config", `{"mount_config":{"mount_user":`+sent+`,"func_mounts":[]}}`)
		require.Equal(t, 200, w.Code, "%s", w.Body)
		var got struct {
			Mount struct {
				User json.RawMessage `json:"mount_user"`
			} `json:"mount_config"`
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		require.JSONEq(t, read, string(got.Mount.User))
	}
	require.Equal(t, 400, b.send("PUT", functions+"/test/config", `{"mount_config":{"mount_user":{"mount_user_id":1000}}}`).Code)
}

// TestTerraformReadsTriggersAsSent: the provider compares event data word for word.
func TestTerraformReadsTriggersAsSent(t *testing.T) {
	b := newDiskBench(t, faas.DefaultQuota)
	require.Equal(t, 200, b.send("POST", functions, createBody("eA==")).Code)
	for kind, sent := range map[string]string{
		"TIMER": `{"name":"n","schedule":"3m","schedule_type":"Rate","sync_execution":false,"user_event":"é<&>"}`,
		"SMN":   `{"topic_urn":"urn:smn:x:y:t"}`,
		"OBS":   `{"bucket":"b","events":["ObjectCreated"],"name":"n","prefix":"p/","suffix":".jpg"}`,
		"KAFKA": `{"batch_size":10,"instance_id":"i","kafka_connect_address":"127.0.0.1:1","kafka_ssl_enable":false,"topic_ids":["t"]}`,
	} {
		const triggers = "/v2/" + project + "/fgs/triggers/test"
		w := b.send("POST", triggers, `{"trigger_type_code":"`+kind+`","trigger_status":"DISABLED","event_data":`+sent+`}`)
		require.Equal(t, 201, w.Code, "%s", w.Body)
		var made struct {
			ID   string          `json:"trigger_id"`
			URL  string          `json:"invoke_url"`
			Data json.RawMessage `json:"event_data"`
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &made))
		w = b.send("GET", triggers+"/"+kind+"/"+made.ID, "")
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &made))
		require.JSONEq(t, sent, string(made.Data), kind)
		require.Equal(t, kind == "SMN" || kind == "OBS", made.URL != "", "%s: its address stands beside the event data", kind)
	}
}
