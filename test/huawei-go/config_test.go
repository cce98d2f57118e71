package huaweigo

import (
	"encoding/json"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

// TestCreateKeepsEveryField sets everything that CreateFunction can carry for such a function and reads it back, fields
// without effect on this platform included.
func TestCreateKeepsEveryField(t *testing.T) {
	u := newUser(t)
	body := inline(t, "every_field", u.python, pythonEcho)
	body.Description = ptr("all of it, 函数")
	body.MemorySize, body.Timeout = 256, 30
	body.UserData = ptr(`{"mode":"test","host":"10.0.0.1"}`)
	body.EncryptedUserData = ptr(`{"password":"hush"}`)
	body.Xrole, body.AppXrole = ptr("agency"), ptr("app-agency")
	body.InitializerHandler, body.InitializerTimeout = ptr("index.initializer"), ptr(int32(20))
	body.PreStopHandler, body.PreStopTimeout = ptr("index.initializer"), ptr(int32(15))
	body.EnterpriseProjectId = ptr("4ad9a1a6-6a4e-4a5e-8a21-9d2a9f2e7c11")
	body.Type = ptr(model.GetCreateFunctionRequestBodyTypeEnum().V2)
	body.EnableDynamicMemory, body.EnableLtsLog, body.IsStatefulFunction = ptr(true), ptr(true), ptr(true)
	body.LtsCustomTag = map[string]string{"team": "edge"}
	body.FuncVpc = vpc()
	body.MountConfig = mounts()
	body.NetworkController = network()
	urn := u.create(t, body)

	got := fields(t, u.show(t, urn))
	sent := fields(t, body)
	for _, name := range []string{
		"func_name", "package", "runtime", "handler", "description", "memory_size", "timeout", "user_data", "xrole", "app_xrole",
		"initializer_handler", "initializer_timeout", "pre_stop_handler", "pre_stop_timeout", "enterprise_project_id", "type", "code_type",
		"enable_dynamic_memory", "enable_lts_log", "is_stateful_function", "lts_custom_tag", "func_vpc", "mount_config", "network_controller",
	} {
		require.Contains(t, sent, name)
		require.Equal(t, sent[name], got[name], name)
	}
	// The names of encrypted user data may be shown, its values may not.
	require.JSONEq(t, `{"password":""}`, got["encrypted_user_data"].(string))
	require.EqualValues(t, 400, got["cpu"])
	require.Equal(t, "latest", got["version"])
	require.Equal(t, urn+":latest", got["func_urn"])
	require.Equal(t, u.server.ProjectID, got["namespace"])
	require.Equal(t, u.server.Region, got["project_name"])
	for _, name := range []string{"func_id", "domain_id", "image_name", "last_modified", "digest"} {
		require.NotEmpty(t, got[name], name)
	}
}

// TestUpdateConfig changes everything that UpdateFunctionConfig can carry, reads it back, and clears what can be cleared.
func TestUpdateConfig(t *testing.T) {
	u := newUser(t)
	urn := u.create(t, inline(t, "changing", u.python, pythonEcho))
	body := u.configBody(t, "changing")
	body.Description = ptr("changed")
	body.UserData = ptr(`{"mode":"changed"}`)
	body.EncryptedUserData = ptr(`{"password":"hush"}`)
	body.Xrole, body.AppXrole = ptr("agency"), ptr("app-agency")
	body.InitializerHandler, body.InitializerTimeout = ptr("index.initializer"), ptr(int32(20))
	body.PreStopHandler, body.PreStopTimeout = ptr("index.initializer"), ptr(int32(15))
	body.HeartbeatHandler = ptr("index.handler")
	body.EphemeralStorage = ptr(int32(10240))
	body.EnterpriseProjectId = ptr("4ad9a1a6-6a4e-4a5e-8a21-9d2a9f2e7c11")
	body.StrategyConfig = &model.StrategyConfig{Concurrency: 20, ConcurrentNum: 3}
	body.PeeringCidr = ptr("192.168.0.0/16")
	body.EnableDynamicMemory, body.EnableLtsLog, body.IsStatefulFunction = ptr(true), ptr(true), ptr(true)
	body.EnableAuthInHeader, body.EnableClassIsolation = ptr(true), ptr(true)
	body.LtsCustomTag = map[string]string{"team": "edge"}
	body.FuncVpc = vpc()
	body.MountConfig = mounts()
	body.NetworkController = network()
	answer := fields(t, u.update(t, urn, body))

	got, sent := fields(t, u.show(t, urn)), fields(t, body)
	for _, name := range []string{
		"func_name", "runtime", "handler", "description", "memory_size", "timeout", "user_data", "xrole", "app_xrole", "initializer_handler",
		"initializer_timeout", "pre_stop_handler", "pre_stop_timeout", "heartbeat_handler", "ephemeral_storage", "enterprise_project_id",
		"strategy_config", "peering_cidr", "enable_dynamic_memory", "enable_lts_log", "is_stateful_function", "enable_auth_in_header",
		"enable_class_isolation", "lts_custom_tag", "func_vpc", "mount_config", "network_controller",
	} {
		require.Contains(t, sent, name)
		require.Equal(t, sent[name], got[name], name)
	}
	require.JSONEq(t, `{"password":""}`, got["encrypted_user_data"].(string))
	require.EqualValues(t, 600, got["cpu"])
	for _, name := range []string{"func_urn", "memory_size", "timeout", "user_data", "description", "strategy_config"} {
		require.Equal(t, got[name], answer[name], "the answer of the change says what a later reading says: %s", name)
	}

	var result struct {
		Memory int
		Mode   string
	}
	require.NoError(t, json.Unmarshal([]byte(u.answer(t, urn, map[string]any{})), &result))
	require.Equal(t, "changed", result.Mode, "a warm instance does not outlive a change")
	require.Equal(t, 512, result.Memory)

	cleared := u.configBody(t, "changing")
	cleared.Description, cleared.UserData, cleared.EncryptedUserData = ptr(""), ptr(""), ptr("")
	cleared.Xrole, cleared.AppXrole, cleared.InitializerHandler, cleared.PreStopHandler = ptr(""), ptr(""), ptr(""), ptr("")
	u.update(t, urn, cleared)
	got = fields(t, u.show(t, urn))
	for _, name := range []string{"description", "user_data", "encrypted_user_data", "xrole", "app_xrole", "initializer_handler", "pre_stop_handler"} {
		require.Empty(t, got[name], name)
	}
	require.Equal(t, sent["func_vpc"], got["func_vpc"], "what a change does not name stays")
	require.Equal(t, sent["strategy_config"], got["strategy_config"])
}

// TestUpdateConfigRefusals shows that a change is whole or not at all.
func TestUpdateConfigRefusals(t *testing.T) {
	u := newUser(t)
	urn := u.create(t, inline(t, "steady", u.python, pythonEcho))
	before := fields(t, u.show(t, urn))
	tests := []struct {
		name, code string
		change     func(*model.UpdateFunctionConfigRequestBody)
	}{
		{"memory", "FSS.1007", func(b *model.UpdateFunctionConfigRequestBody) { b.MemorySize = 129 }},
		{"timeout", "FSS.1008", func(b *model.UpdateFunctionConfigRequestBody) { b.Timeout = 1 }},
		{"handler", "FSS.1003", func(b *model.UpdateFunctionConfigRequestBody) { b.Handler = "nodot" }},
		{"user data", "FSS.1009", func(b *model.UpdateFunctionConfigRequestBody) { b.UserData = ptr("no object") }},
		{"runtime", "FSS.1005", func(b *model.UpdateFunctionConfigRequestBody) {
			b.Runtime = enum[model.UpdateFunctionConfigRequestBodyRuntime](t, "Fortran77")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := u.configBody(t, "steady")
			body.Description = ptr("must not be kept")
			tt.change(body)
			_, err := u.UpdateFunctionConfig(&model.UpdateFunctionConfigRequest{FunctionUrn: urn, ContentType: "application/json", Body: body})
			refused(t, err, 400, tt.code)
			require.Equal(t, before, fields(t, u.show(t, urn)))
		})
	}
}

// TestMaxInstances sets the limit by its own operation; 0 switches the function off.
func TestMaxInstances(t *testing.T) {
	u := newUser(t)
	urn := u.create(t, inline(t, "limited", u.python, pythonEcho))
	set := func(n int32) (*model.UpdateFunctionMaxInstanceConfigResponse, error) {
		return u.UpdateFunctionMaxInstanceConfig(&model.UpdateFunctionMaxInstanceConfigRequest{
			FunctionUrn: urn, ContentType: "application/json", Body: &model.UpdateFunctionMaxInstanceConfigRequestBody{MaxInstanceNum: ptr(n)},
		})
	}
	require.EqualValues(t, -1, u.show(t, urn).StrategyConfig.Concurrency)

	r, err := set(7)
	require.NoError(t, err)
	require.EqualValues(t, 7, r.StrategyConfig.Concurrency)
	require.EqualValues(t, 7, u.show(t, urn).StrategyConfig.Concurrency)
	u.answer(t, urn, map[string]any{})

	_, err = set(0)
	require.NoError(t, err)
	require.EqualValues(t, 0, u.show(t, urn).StrategyConfig.Concurrency)
	_, err = u.invoke(urn, map[string]any{})
	refused(t, err, 403, "FSS.0403")

	_, err = set(-1)
	require.NoError(t, err)
	u.answer(t, urn, map[string]any{})

	_, err = set(1001)
	refused(t, err, 400, "FSS.1026")
	require.EqualValues(t, -1, u.show(t, urn).StrategyConfig.Concurrency)
}

// update sends a configuration.
func (u *user) update(t *testing.T, urn string, body *model.UpdateFunctionConfigRequestBody) *model.UpdateFunctionConfigResponse {
	t.Helper()
	r, err := u.UpdateFunctionConfig(&model.UpdateFunctionConfigRequest{FunctionUrn: urn, ContentType: "application/json", Body: body})
	require.NoError(t, err)
	return r
}

// configBody holds what the SDK's type makes every change carry.
func (u *user) configBody(t *testing.T, name string) *model.UpdateFunctionConfigRequestBody {
	t.Helper()
	return &model.UpdateFunctionConfigRequestBody{
		FuncName: name, Runtime: enum[model.UpdateFunctionConfigRequestBodyRuntime](t, u.python),
		Handler: "index.handler", MemorySize: 512, Timeout: 20,
	}
}

func vpc() *model.FuncVpc {
	return &model.FuncVpc{
		VpcId: "9d2a9f2e-0001", VpcName: ptr("vpc"), SubnetId: "9d2a9f2e-0002", SubnetName: ptr("subnet"), Cidr: ptr("10.1.0.0/16"),
		Gateway: ptr("10.1.0.1"), SecurityGroups: ptr([]string{"9d2a9f2e-0003"}),
	}
}

func mounts() *model.MountConfig {
	return &model.MountConfig{
		MountUser: &model.MountUser{UserId: 1001, UserGroupId: 1001},
		FuncMounts: []model.FuncMount{{
			MountType: "sfs", MountResource: "9d2a9f2e-0004", MountSharePath: ptr("sfs.example:/share"), LocalMountPath: "/mnt/share",
		}},
	}
}

func network() *model.NetworkControlConfig {
	return &model.NetworkControlConfig{
		DisablePublicNetwork: ptr(true), TriggerAccessVpcs: ptr([]model.VpcConfig{{VpcId: ptr("9d2a9f2e-0001"), VpcName: ptr("vpc")}}),
	}
}

// fields gives a model as the JSON object it is on the wire.
func fields(t *testing.T, v any) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	var o map[string]any
	require.NoError(t, json.Unmarshal(text, &o))
	return o
}
