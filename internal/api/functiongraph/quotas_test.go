package functiongraph_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// TestQuotasHold goes over each quota that ListQuotas shows, and is refused.
func TestQuotasHold(t *testing.T) {
	named := func(name, code string) string { return strings.Replace(createBody(code), `"test"`, `"`+name+`"`, 1) }
	over := map[string]func(b *bench, most int64){
		"fgs_func_num": func(b *bench, most int64) {
			for n := range most {
				require.Equal(t, 200, b.send("POST", functions, named(fmt.Sprint("f", n), "eA==")).Code)
			}
			wantCode(t, b.send("POST", functions, named("one", "eA==")), 403, "FSS.1041")
		},
		"fgs_func_code_size": func(b *bench, most int64) {
			require.Equal(t, 200, b.send("POST", functions, named("large", strings.Repeat("AAAA", int(most<<20)/3))).Code)
			wantCode(t, b.send("POST", functions, named("more", strings.Repeat("AAAA", 100))), 403, "FSS.1042")
		},
		"fgs_on_demand_instance_limit": func(b *bench, most int64) {
			require.Equal(t, 200, b.send("POST", functions, createBody("eA==")).Code)
			wantCode(t, b.send("PUT", functions+"/test/config-max-instance", fmt.Sprintf(`{"max_instance_num":%d}`, most+1)), 400, "FSS.1026")
			require.Equal(t, 200, b.send("PUT", functions+"/test/config-max-instance", fmt.Sprintf(`{"max_instance_num":%d}`, most)).Code)
		},
		"fgs_func_occurs": func(b *bench, most int64) {
			require.Equal(t, 200, b.send("POST", functions, named("a", "eA==")).Code)
			require.Equal(t, 200, b.send("POST", functions, named("b", "eA==")).Code)
			require.Equal(t, 200, b.send("PUT", functions+"/a/reservedinstances", fmt.Sprintf(`{"count":%d}`, most)).Code)
			wantCode(t, b.send("PUT", functions+"/b/reservedinstances", `{"count":1}`), 400, "FSS.1076")
			wantCode(t, b.send("POST", functions+"/b/snapshots/enable", ""), 400, "FSS.1076")
			require.Equal(t, 204, b.send("POST", functions+"/a/snapshots/enable", "").Code, "one of those that are reserved")
		},
		// The pool's own tests end instances that idle for so long (package pool, TestIdle).
		"fgs_func_scale_down_timeout": func(_ *bench, most int64) { require.EqualValues(t, 60, most) },
	}
	var listed struct {
		Quotas struct {
			Resources []struct {
				Type  string
				Quota int64
			}
		}
	}
	quota := faas.Quota{Functions: 3, CodeBytes: 1 << 20}
	require.NoError(t, json.Unmarshal(newDiskBench(t, quota).send("GET", "/v2/"+project+"/fgs/quotas", "").Body.Bytes(), &listed))
	for _, q := range listed.Quotas.Resources {
		require.Contains(t, over, q.Type, "nobody knows how to go over it")
		over[q.Type](newDiskBench(t, quota), q.Quota)
	}
	require.Len(t, listed.Quotas.Resources, len(over))
}
