package huaweigo

import (
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

// TestReservedInstances reserves instances, finds them in both lists, is refused a schedule that is none, and lets them go.
func TestReservedInstances(t *testing.T) {
	u := newUser(t)
	urn := u.create(t, inline(t, "reserved", u.python, pythonEcho))
	set := func(body model.UpdateFunctionReservedInstancesCountRequestBody) (*model.UpdateFunctionReservedInstancesCountResponse, error) {
		return u.UpdateFunctionReservedInstancesCount(&model.UpdateFunctionReservedInstancesCountRequest{
			FunctionUrn: urn, ContentType: "application/json", Body: &body,
		})
	}
	configs := func() []model.ReservedInstanceConfigs {
		r, err := u.ListReservedInstanceConfigs(&model.ListReservedInstanceConfigsRequest{
			FunctionUrn: ptr(urn), Limit: ptr("100"), Marker: ptr("0"), ContentType: "application/json",
		})
		require.NoError(t, err)
		return *r.ReservedInstances
	}
	require.Empty(t, configs())
	r, err := set(model.UpdateFunctionReservedInstancesCountRequestBody{Count: 2, IdleMode: ptr(true)})
	require.NoError(t, err)
	require.EqualValues(t, 2, *r.Count)
	require.True(t, *r.IdleMode)
	found := configs()
	require.Len(t, found, 1)
	require.EqualValues(t, 2, *found[0].MinCount)
	require.Equal(t, "version", *found[0].QualifierType)
	require.Equal(t, "latest", *found[0].QualifierName)
	list, err := u.ListFunctionReservedInstances(&model.ListFunctionReservedInstancesRequest{ContentType: "application/json"})
	require.NoError(t, err)
	require.EqualValues(t, 1, *list.Count)
	require.EqualValues(t, 2, (*list.Reservedinstances)[0].Count)

	_, err = set(model.UpdateFunctionReservedInstancesCountRequestBody{Count: 1, TacticsConfig: &model.TacticsConfig{
		CronConfigs: &[]model.CronConfig{{Name: ptr("n"), Cron: ptr("0 61 * * * ?"), Count: ptr(int32(2))}},
	}})
	refused(t, err, 400, "FSS.0400")
	_, err = set(model.UpdateFunctionReservedInstancesCountRequestBody{Count: 1000})
	refused(t, err, 400, "FSS.1076")
	_, err = set(model.UpdateFunctionReservedInstancesCountRequestBody{})
	require.NoError(t, err)
	require.Empty(t, configs())
}
