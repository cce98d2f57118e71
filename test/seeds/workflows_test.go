package seeds

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWorkflowPages replays the pages "Listing workflows" and "Deleting workflows": the answers have the fields and the URNs that are printed
// there, and the delete request is the printed one.
func TestWorkflowPages(t *testing.T) {
	c := newCaller(t)
	flows := "/v2/" + c.ProjectID + "/fgs/workflows"
	for _, name := range []string{"testflow1", "test-flow"} {
		body := `{"name":"` + name + `","description":"desc","start":"a","functions":[],"constants":{},"retries":[],"states":[{"id":"a","name":"a","type":"End","end":true,"transition":""}]}`
		r := c.do(t, http.MethodPost, flows, []byte(body))
		require.Equal(t, http.StatusCreated, r.status, "%s", r.body)
	}
	r := c.do(t, http.MethodGet, flows+"?workflow_name=test-flow&limit=500&offset=-1&mode=NORMAL", nil)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	got, example := object(t, r.body), object(t, replaced(t, "manual/list-workflows-answer.json"))
	same(t, example, got, "total", "size")
	row, printed := got["workflows"].([]any)[0].(map[string]any), example["workflows"].([]any)[0].(map[string]any)
	same(t, printed, row, "name", "description")
	for name, v := range printed {
		require.IsType(t, v, row[name], name)
	}
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, row["created_time"])
	require.Equal(t, "urn:fss:"+c.Region+":"+c.ProjectID+":workflow:default:test-flow:latest", row["workflow_urn"])

	request := replaced(t, "manual/delete-workflows-request.json", "{region}", c.Region, "73d69ae0cfcf460190522d060f05ad", c.ProjectID)
	r = c.do(t, http.MethodDelete, flows, request)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	var deleted struct {
		Success []string
		Fail    []struct {
			URN    string `json:"workflow_urn"`
			Detail string `json:"error_detail"`
		}
	}
	require.NoError(t, json.Unmarshal(r.body, &deleted))
	require.Len(t, deleted.Success, 1, "testflow1 was there")
	require.True(t, strings.HasSuffix(deleted.Success[0], ":testflow1:latest"))
	require.Len(t, deleted.Fail, 1, "testflow2 never was")
	require.LessOrEqual(t, len(deleted.Fail[0].Detail), 64)

	r = c.do(t, http.MethodGet, flows+"?limit=0", nil)
	require.Equal(t, http.StatusBadRequest, r.status)
	fault := object(t, r.body)
	require.Regexp(t, `^FGS\.\d{4}$`, fault["error_code"])
	require.NotEmpty(t, fault["error_msg"])
	require.NotEmpty(t, fault["request_id"])
}
