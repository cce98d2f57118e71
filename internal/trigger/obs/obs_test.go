package obs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger/obs"
	"github.com/hanshu-faas/hanshu/internal/trigger/triggertest"
)

// One notification reaches every trigger of its project that asks for it, and none of another project.
func TestPost(t *testing.T) {
	sink := triggertest.NewSink()
	k := obs.New(obs.Config{Sink: sink, Region: "local-1", URL: "http://h"})
	put := func(project, data string) {
		one, secrets := triggertest.New(t, k, obs.Code, triggertest.Decode(t, data))
		one.Key.Project = project
		require.NoError(t, k.Put(one, secrets))
	}
	put("p", `{"bucket":"b","events":["ObjectCreated"]}`)
	put("p", `{"bucket":"b","events":["s3:ObjectCreated:Put"],"suffix":".jpg"}`)
	put("p", `{"bucket":"b","events":["ObjectRemoved"]}`)
	put("q", `{"bucket":"b","events":["ObjectCreated"]}`)
	body := []byte(`{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"a.jpg","sequencer":"1"}}}]}`)
	n, err := k.Post(t.Context(), "p", body)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Len(t, sink.Jobs(), 2)

	sink.Refuse(faas.Errorf(faas.CodeUnavailable, "database", "away"))
	_, err = k.Post(t.Context(), "p", body)
	require.Equal(t, faas.CodeUnavailable, faas.CodeOf(err))
	sink.Refuse(nil)
	_, err = k.Post(t.Context(), "p", body)
	require.NoError(t, err)
	require.Len(t, sink.Jobs(), 2, "what is sent again is taken once")
	_, err = k.Post(t.Context(), "p", []byte(`{}`))
	require.Equal(t, faas.CodeInvalid, faas.CodeOf(err))
}
