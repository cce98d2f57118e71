package functiongraph

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestEveryCodeHasAReply(t *testing.T) {
	table := newErrorTable()
	for _, code := range faas.Codes {
		reply, ok := table[errorKey{code, ""}]
		require.True(t, ok, code)
		require.GreaterOrEqual(t, reply.status, 400, code)
		require.Less(t, reply.status, 600, code)
		require.NotEmpty(t, reply.code, code)
		require.NotEmpty(t, reply.inner, code)
		caller := code.Fault() == faas.FaultCaller
		require.Equal(t, caller, reply.status < 500 && reply.status != 429, code) // an overload is nobody's fault at the caller's end
		require.Equal(t, reply.code, table.of(faas.Errorf(code, "no such field", "x")).code, "a field without a row: %s", code)
	}
	for key := range table {
		require.Contains(t, faas.Codes, key.Code)
	}
}

// Every carried field of a request has a row in the table and the other way round, so none is taken in and dropped.
func TestCarriedTableIsWhole(t *testing.T) {
	var wire, table []string
	for i := range reflect.TypeFor[carriedJSON]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[carriedJSON]().Field(i).Tag.Get("json"), ",")
		wire = append(wire, name)
	}
	for _, f := range carriedFields() {
		table = append(table, f.Name)
		require.Equal(t, f.Name == "custom_image" || f.Name == "enable_auth_in_header", f.Reason == "", "%s: these alone have an effect", f.Name)
	}
	require.ElementsMatch(t, wire, table)
	require.Len(t, CarriedFields(), len(table)-2+2)
}

func TestPackageFile(t *testing.T) {
	for text, want := range map[string]string{
		`"QUJD"`: "ABC", `"QUI="`: "AB", `"QUI"`: "AB", `"QU\nJD"`: "ABC", `" QU JD "`: "ABC", `"+/8="`: "\xfb\xff", `"-_8"`: "\xfb\xff",
		`"+\/8="`: "\xfb\xff", `"\u0051UJD"`: "ABC", `""`: "", `null`: "",
	} {
		var f packageFile
		require.NoError(t, f.UnmarshalJSON([]byte(text)), text)
		require.Equal(t, want, string(f), text)
	}
	for _, text := range []string{`"Q"`, `"QUJD!"`, `"QU=JD"`, `"ä"`, `5`, `{}`, `true`} {
		var f packageFile
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(f.UnmarshalJSON([]byte(text))), text)
	}
	var f packageFile
	err := f.UnmarshalJSON([]byte(`"` + strings.Repeat("AAAA", faas.MaxPackageBytes/3+1) + `"`))
	require.Equal(t, faas.CodeTooLarge, faas.CodeOf(err))
	require.Equal(t, "FSS.1071", newErrorTable().of(err).code)
}

func TestLogTail(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	r := &faas.Result{Version: "v1", Run: 65828 * time.Microsecond, MemoryPeak: 22516064, MemoryMB: 128, Dropped: 7}
	r.Logs = []faas.LogLine{{Time: at, Level: "INFO", Text: "one"}, {Time: at, Level: "ERROR", Text: "two\nlines"}}
	require.Equal(t, "Start invoke request 'id', version: v1\n"+
		"2026-01-02T03:04:05.006Z id INFO one\n2026-01-02T03:04:05.006Z id ERROR two\nlines\n"+
		"7 bytes of log were over the limit of one call and are lost\n"+
		"Finish invoke request 'id', duration: 65.828ms, billing duration: 66ms, memory used: 21.473MB, billing memory: 128MB\n",
		string(logTail("id", r)))

	for range 10_000 {
		r.Logs = append(r.Logs, faas.LogLine{Time: at, Level: "INFO", Text: strings.Repeat("ü", 100)})
	}
	tail := string(logTail("id", r))
	require.InDelta(t, maxTail, len(tail), 1)
	require.LessOrEqual(t, len(tail), maxTail)
	require.True(t, strings.ToValidUTF8(tail, "?") == tail, "no character is cut through")
	require.True(t, strings.HasSuffix(tail, "billing memory: 128MB\n"))

	r.Logs = []faas.LogLine{{Time: at, Level: "INFO", Text: strings.Repeat("x", 1<<20)}}
	require.Len(t, logTail("id", r), maxTail)
}

func TestBilled(t *testing.T) {
	for d, want := range map[time.Duration]int64{0: 1, time.Nanosecond: 1, time.Millisecond: 1, time.Millisecond + 1: 2, 65828 * time.Microsecond: 66} {
		require.Equal(t, want, billed(&faas.Result{Run: d}), d)
	}
}
