package huaweigo

import (
	"strconv"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	"github.com/stretchr/testify/require"
)

// total adds the values of a series up, gaps apart.
func total(series *[]model.SlaReportsValue) (sum float64) {
	for _, v := range *series {
		if *v.Value >= 0 {
			sum += *v.Value
		}
	}
	return sum
}

// TestStatistics asks what calls did that were just made.
func TestStatistics(t *testing.T) {
	u := newUser(t)
	source := "def handler(event, context):\n    return 1 / event['by']\n"
	urn := u.create(t, inline(t, "divide", u.python, source))
	other := u.create(t, inline(t, "other", u.python, source))
	for _, by := range []int{1, 2, 0} {
		_, _ = u.invoke(urn, map[string]any{"by": by}) // the last one fails
	}
	for range 2 {
		_, _ = u.invoke(other, map[string]any{"by": 0})
	}

	byMinute, err := u.ListFunctionStatistics(&model.ListFunctionStatisticsRequest{FuncUrn: urn, Period: "5", ContentType: jsonType})
	require.NoError(t, err)
	require.Len(t, *byMinute.Count, 5)
	require.InDelta(t, 3, total(byMinute.Count), 0)
	require.InDelta(t, 1, total(byMinute.FailCount), 0)
	require.InDelta(t, 1, total(byMinute.FunctionErrorCount), 0)
	require.Greater(t, total(byMinute.MaxDuration), 0.0)

	live, err := u.ShowFunctionMetrics(&model.ShowFunctionMetricsRequest{FuncUrn: urn, Period: "1500", ContentType: jsonType})
	require.NoError(t, err)
	require.Len(t, *live.Count, 25, "by hour")
	require.InDelta(t, 3, total(live.Count), 0)
	require.InDelta(t, 1, total(live.InstanceNum), 0)

	project, err := u.ListStatistics(&model.ListStatisticsRequest{
		Filter: model.GetListStatisticsRequestFilterEnum().MONITOR_DATA, Period: ptr("5"), ContentType: jsonType,
	})
	require.NoError(t, err)
	require.InDelta(t, 5, total(project.Statistics.Count), 0)
	month, err := u.ListStatistics(&model.ListStatisticsRequest{
		Filter: model.GetListStatisticsRequestFilterEnum().MONTHLY_REPORT, Option: ptr("2"), ContentType: jsonType,
	})
	require.NoError(t, err)
	days := *month.Count
	require.InDelta(t, 5, days[len(days)-1].Value, 0)

	now := time.Now().Unix()
	top, err := u.ListFunctionAsMetric(&model.ListFunctionAsMetricRequest{
		StartTime: ptr(strconv.FormatInt(now-3600, 10)), EndTime: ptr(strconv.FormatInt(now+60, 10)), ContentType: jsonType,
	})
	require.NoError(t, err)
	require.Len(t, *top.Values, 2)
	require.Equal(t, other+":latest", *(*top.Values)[0].Key)
	require.EqualValues(t, 2, *(*top.Values)[0].Value)

	log, err := u.ShowLtsLogDetails(&model.ShowLtsLogDetailsRequest{FunctionUrn: urn, ContentType: jsonType})
	require.NoError(t, err)
	require.Equal(t, "default_divide", *log.StreamName)
	_, err = u.EnableLtsLogs(&model.EnableLtsLogsRequest{ContentType: jsonType})
	require.NoError(t, err)

	_, err = u.ListFunctionStatistics(&model.ListFunctionStatisticsRequest{FuncUrn: urn, Period: "0", ContentType: jsonType})
	refused(t, err, 400, "FSS.0400")
}
