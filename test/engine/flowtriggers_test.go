//go:build linux

package engine

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFlowTriggers starts runs by a timer, by HTTP with and without waiting, by a bucket's notification and by a topic's.
func TestFlowTriggers(t *testing.T) {
	t.Parallel()
	h := start(t, "--sandbox", "none")
	triggers := `[{"trigger_name":"tick","trigger_type":"FLOWTIMER","trigger_config":{"schedule_type":"Cron","schedule":"* * * * * *","user_event":"{\"input\":{\"from\":\"timer\"}}"}},
		{"trigger_name":"web","trigger_type":"APIG","trigger_config":{"path":"/order","auth":"NONE"}},
		{"trigger_name":"bucket","trigger_type":"OBS","trigger_config":{"bucket":"b","events":["ObjectCreated"],"prefix":"in/","suffix":""}},
		{"trigger_name":"topic","trigger_type":"SMN","trigger_config":{"topic_urn":"urn:smn:t"}}]`
	end := `{"id":"a","name":"a","type":"End"}`
	h.createFlow(t, "order", end, `"triggers":`+triggers)
	h.createFlow(t, "now", end, `"mode":"EXPRESS","triggers":[{"trigger_name":"web","trigger_type":"APIG_DE","trigger_config":{"path":"/now","auth":"NONE"}}]`)
	a, err := h.do(t.Context(), http.MethodPost, h.flows(), []byte(`{"name":"taken","start":"a","triggers":[{"trigger_name":"w","trigger_type":"APIG","trigger_config":{"path":"/order","auth":"NONE"}}],"states":[`+end+`]}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, a.status, "the path is taken: %s", a.body)
	a, err = h.do(t.Context(), http.MethodPost, h.flows(), []byte(`{"name":"bare","start":"a","triggers":[{"trigger_name":"w","trigger_type":"FLOWTIMER"}],"states":[`+end+`]}`))
	require.NoError(t, err)
	require.Contains(t, string(a.body), "triggers[0].trigger_config: ")

	urls := h.triggerURLs(t, "order")
	post := func(url, body string) (int, string) {
		resp, err := http.Post(url, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(text)
	}
	status, text := post(urls["web"], `{"from":"web"}`)
	require.Equal(t, http.StatusAccepted, status, text)
	var begun struct {
		ID string `json:"execution_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &begun))
	require.NotEmpty(t, begun.ID)
	status, text = post(h.triggerURLs(t, "now")["web"], `{"from":"now"}`)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"from":"now"}`, text)
	notification := `{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"in/x","sequencer":"1"}}}]}`
	for range 2 {
		status, text = post(urls["bucket"], notification)
		require.Equal(t, http.StatusOK, status, text)
	}
	status, text = post(urls["topic"], `{"type":"Notification","topic_urn":"urn:smn:t","message_id":"m1","message":"hello"}`)
	require.Equal(t, http.StatusOK, status, text)

	var inputs []string
	require.Eventually(t, func() bool {
		inputs = h.flowInputs(t, "order")
		all := strings.Join(inputs, "\n")
		return strings.Contains(all, `{"from":"timer"}`) && strings.Contains(all, `{"from":"web"}`) && strings.Contains(all, `"key":"in/x"`) && strings.Contains(all, `"message":"hello"`)
	}, 20*time.Second, 50*time.Millisecond)
	require.Equal(t, 1, strings.Count(strings.Join(inputs, "\n"), `"key":"in/x"`), "a notification that comes twice starts one run")

	a, err = h.do(t.Context(), http.MethodDelete, h.flows(), fmt.Appendf(nil, `{"workflow_urns":["urn:fss:%s:%s:workflow:default:order:latest"]}`, h.Region, h.ProjectID))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	status, _ = post(urls["web"], `{}`)
	require.Equal(t, http.StatusNotFound, status, "triggers go with their workflow, at once")
}

func (h *host) createFlow(t *testing.T, name, states, more string) {
	t.Helper()
	a, err := h.do(t.Context(), http.MethodPost, h.flows(), []byte(`{"name":"`+name+`","start":"a",`+more+`,"states":[`+states+`]}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
}

// triggerURLs gives the addresses that a definition shows, by the names of its triggers.
func (h *host) triggerURLs(t *testing.T, flow string) map[string]string {
	t.Helper()
	a, err := h.do(t.Context(), http.MethodGet, h.flows()+"/"+flow, nil)
	require.NoError(t, err)
	var shown struct {
		Definition struct {
			Triggers []struct {
				Name   string `json:"trigger_name"`
				Config struct {
					URL string `json:"invoke_url"`
				} `json:"trigger_config"`
			}
		}
	}
	require.NoError(t, json.Unmarshal(a.body, &shown), "%s", a.body)
	urls := map[string]string{}
	for _, one := range shown.Definition.Triggers {
		urls[one.Name] = one.Config.URL
	}
	return urls
}

func (h *host) flowInputs(t *testing.T, flow string) (inputs []string) {
	t.Helper()
	a, err := h.do(t.Context(), http.MethodGet, h.flows()+"/"+flow+"/executions", nil)
	require.NoError(t, err)
	var list struct {
		Executions []struct {
			ID string `json:"execution_id"`
		}
	}
	require.NoError(t, json.Unmarshal(a.body, &list), "%s", a.body)
	for _, e := range list.Executions {
		a, err := h.do(t.Context(), http.MethodGet, h.flows()+"/"+flow+"/executions/"+e.ID, nil)
		require.NoError(t, err)
		var run struct{ Input json.RawMessage }
		require.NoError(t, json.Unmarshal(a.body, &run))
		inputs = append(inputs, string(run.Input))
	}
	return inputs
}
