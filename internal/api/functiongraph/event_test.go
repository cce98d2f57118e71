package functiongraph

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestCheckEvent(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for event, fine := range map[string]bool{
		``: true, " \n": true, `{}`: true, `[1]`: true, `"x"`: true, `-0.5e+3`: true, `null`: true, ` {"a":"\ud800"} `: true,
		`{`: false, `{,}`: false, `[1,]`: false, `01`: false, `nul`: false, "\"\x01\"": false, "\xef\xbb\xbf{}": false, `{} {}`: false,
		"\"\xff\"":          false,
		deep(maxEventDepth): true, deep(maxEventDepth + 1): false,
		`"` + strings.Repeat("[", maxEventDepth+1) + `"`:     true, // in a string they nest nothing
		`"\"` + strings.Repeat("[", maxEventDepth+1) + `\\"`: true,
		`[` + strings.Repeat(`[],`, maxEventDepth) + `[]]`:   true, // many, and not deep
	} {
		got, err := checkEvent([]byte(event))
		if fine {
			require.NoError(t, err, "%.50q", event)
			require.True(t, json.Valid(got))
			continue
		}
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), "%.50q", event)
	}
}

// FuzzCheckEvent holds what is taken for JSON to what the standard library takes for it.
func FuzzCheckEvent(f *testing.F) {
	for _, s := range []string{`{"a":[1,-0.5e+3,true,null,"é\n"]}`, `"\ud800"`, "01", "1.", "[1,]", "\"\x7f\"", "[\v]", "\ufeff{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		event, err := checkEvent(body)
		if err == nil && !json.Valid(event) {
			t.Fatalf("%q is no JSON", body)
		}
		if err != nil && json.Valid(body) && utf8.Valid(body) && !depthOver(body, maxEventDepth) {
			t.Fatalf("%q: %v", body, err)
		}
	})
}
