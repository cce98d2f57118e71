package store

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

var update = flag.Bool("update", false, "write the golden document anew; do so only when a field was added")

// The document on disk is a format: this file was written by an earlier build, and must be read for ever.
func TestDocumentGolden(t *testing.T) {
	f := &faas.Function{
		Spec: faas.Spec{
			Description: "says <hello> & 你好", Runtime: "Python3.9", Handler: "index.handler", Contract: faas.ContractCallback, Config: `{"c":1}`, Timeout: 30e9, MemoryMB: 256, TmpMB: 512,
			InitHandler: "index.init", InitTimeout: 5e9, StopHandler: "index.stop", StopTimeout: 7e9,
			BeatHandler: "index.beat", Reserved: 2, ReservedIdle: true, Snapshot: true,
			Tactics: &faas.Tactics{
				Schedules: []faas.ReservedSchedule{{Name: "night", Cron: "0 0 22 * * *", Count: 1, From: time.Unix(1708482642, 0).UTC(), Until: time.Unix(1709001042, 0).UTC()}},
				Metrics:   []faas.ReservedMetric{{Name: "load", Threshold: 60, Min: 2}},
			},
			AliasReserve: &faas.AliasReserve{Alias: "live", Count: 3, Idle: true, Tactics: &faas.Tactics{Metrics: []faas.ReservedMetric{{Name: "m", Threshold: 50, Min: 1}}}}, UserData: `{"k":"v"}`, SealedData: []byte{1, 2, 255},
			SealedKeys: []string{"password"}, MaxInstances: faas.Unlimited, RequestsPer: 10, DynamicMemory: true,
			Generation: "v2", Role: "agency", AppRole: "app", AuthInHeader: true, EnterpriseID: "0", Egress: "open", Isolation: "oci", NoPublicNetwork: true, Dependencies: []string{"dep-1", "dep-2"},
			Carried: map[string]string{"domain_names": `"[]"`, "log_config": `{"group_id":"g"}`},
			Image:   &faas.Image{Ref: "registry.example/app:v1", Command: []string{"/app"}, Args: []string{"-v"}, WorkingDir: "/srv", UID: 1, GID: 2},
		},
		Code:       faas.Package{Kind: faas.KindOBS, Filename: "index.zip", URL: "https://bucket.example.com/index.zip", Digest: "d", Size: 9, Source: true, Layers: []string{"d1", "d2"}},
		ImageLabel: "latest-200603162219@zr2ym", VersionDescription: "first", Pinned: true,
		Title: "你好", CreatedBy: "ada", ModifiedBy: "eve",
	}
	text, err := encode(f)
	require.NoError(t, err)
	const golden = "testdata/document.json"
	if *update {
		require.NoError(t, os.WriteFile(golden, append([]byte(text), '\n'), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), text+"\n")

	got := &faas.Function{Code: faas.Package{Digest: "d", Size: 9}} // these two have columns
	require.NoError(t, decode(string(want), got))
	require.Equal(t, f, got)
}

// Every field of the document is in the golden file, so that none can change unseen.
func TestDocumentGoldenIsWhole(t *testing.T) {
	text, err := os.ReadFile("testdata/document.json")
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(text, &fields))
	require.Len(t, fields, reflect.TypeFor[document]().NumField())
}

// What an older release left out has its zero value, and what a newer one added does no harm.
func TestDocumentTolerance(t *testing.T) {
	var f faas.Function
	require.NoError(t, decode(`{"max_instances":3,"from_the_future":{"a":1}}`, &f))
	require.Equal(t, faas.Function{Spec: faas.Spec{MaxInstances: 3}}, f)
	require.Error(t, decode(`{"max_instances":"three"}`, &f))
}
