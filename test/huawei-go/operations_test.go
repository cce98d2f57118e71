package huaweigo

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/httphandler"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	fgs "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2"
	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/test/huawei-go/server"
)

// chapters take things through their lives, one after the other on one server. A chapter that is added calls its operations by the
// SDK, checks what comes back, and tells of each with did.
var chapters = []struct {
	name string
	run  func(t *testing.T, l *ledger)
}{
	{"functions", functionChapter},
	{"versions and aliases", versionChapter},
	{"dependencies", dependencyChapter},
	{"export and import", transferChapter},
	{"asynchronous calls", asyncChapter},
	{"triggers", triggerChapter},
	{"instances", instanceChapter},
	{"tags", tagChapter},
	{"test events", eventChapter},
	{"statistics and logs", statisticsChapter},
	{"templates and applications", templateChapter},
	{"workflows", workflowChapter},
	{"refusals", refusalChapter},
}

// silent lists the operations whose success has no body (reference 1.1-1.15) although its status is 200.
var silent = []string{
	"UpdateFunctionCollectState", "CancelAsyncInvocation", "EnableLtsLogs", "EnableAsyncStatusLog", "DeleteFunctionApp", "StopWorkFlow", "RetryWorkFlow",
}

// ledger notes which operations were called, and what was seen.
type ledger struct {
	*user
	rows map[string]string

	mu    sync.Mutex
	heard []string // answers since the last row, as they are not to be
	asked string   // method and path of the request under way
	last  []byte   // body of the last answer of an operation for whose answer the SDK has no place
	empty bool     // one of them was a 200 without a body
}

// ask notes a request as it goes over the wire.
func (l *ledger) ask(r http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = r.Method + " " + r.URL.Path
}

// hear looks at an answer as it came over the wire.
func (l *ledger) hear(r http.Response) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := r.Header.Get("Content-Type")
	if kind != "" && !strings.HasPrefix(kind, "application/json") {
		l.heard = append(l.heard, l.asked+": "+kind)
	}
	if r.StatusCode >= 400 && kind == "" {
		l.heard = append(l.heard, fmt.Sprintf("%s: status %d without a body", l.asked, r.StatusCode))
	}
	if strings.HasSuffix(l.asked, "/export") && r.StatusCode == http.StatusOK {
		l.last, _ = io.ReadAll(r.Body) // the SDK drops it
	}
	l.empty = l.empty || r.StatusCode == http.StatusOK && r.ContentLength == 0
}

// did notes an operation whose answer has just been checked.
func (l *ledger) did(t *testing.T, operation, seen string, args ...any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Empty(t, l.heard, operation)
	require.True(t, !l.empty || slices.Contains(silent, operation), "%s: an empty 200", operation)
	require.NotContains(t, l.rows, operation, "told of twice")
	l.rows[operation], l.empty = fmt.Sprintf(seen, args...), false
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	s := server.Start(t)
	l := &ledger{rows: map[string]string{}}
	credentials, err := basic.NewCredentialsBuilder().WithAk(s.AccessKey).WithSk(s.SecretKey).WithProjectId(s.ProjectID).SafeBuild()
	require.NoError(t, err)
	client, err := fgs.FunctionGraphClientBuilder().WithEndpoints([]string{s.Endpoint}).WithCredential(credentials).
		WithHttpConfig(config.DefaultHttpConfig().WithHttpHandler(httphandler.NewHttpHandler().AddRequestHandler(l.ask).AddResponseHandler(l.hear))).SafeBuild()
	require.NoError(t, err)
	l.user = &user{
		FunctionGraphClient: fgs.NewFunctionGraphClient(client), server: s,
		python: server.Runtime(t, "Python3", "Python3.9"), node: server.Runtime(t, "Node.js", "Node.js20.15"),
	}
	return l
}

// documented reads the operations of the vendor's reference, in its order; "## " begins the name of a section.
func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../compat/testdata/operations.txt")
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "# ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// offered lists the operations that the SDK has.
func offered() []string {
	var names []string
	for m := range reflect.TypeFor[*fgs.FunctionGraphClient]().Methods() {
		if !strings.HasSuffix(m.Name, "Invoker") {
			names = append(names, m.Name)
		}
	}
	return names
}

// probe calls an operation that no chapter calls with next to nothing, and tells what comes back.
func (l *ledger) probe(t *testing.T, operation string) string {
	t.Helper()
	method := reflect.ValueOf(l.FunctionGraphClient).MethodByName(operation)
	request := reflect.New(method.Type().In(0).Elem())
	for i := range request.Elem().NumField() {
		if f := request.Elem().Field(i); f.Kind() == reflect.String {
			f.SetString("x")
		}
	}
	answers := method.Call([]reflect.Value{request})
	err, _ := answers[1].Interface().(error)
	if err == nil {
		return "without an error"
	}
	var e *sdkerr.ServiceResponseError
	require.True(t, errors.As(err, &e), "%s: %v", operation, err)
	require.NotEmpty(t, e.ErrorCode, operation)
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Empty(t, l.heard, operation)
	l.empty = false
	return fmt.Sprintf("%d %s", e.StatusCode, e.ErrorCode)
}

// TestEveryOperation calls the vendor's operations with its own SDK, each in the life of what it is about, and prints what was seen
// (go test -v -run TestEveryOperation).
func TestEveryOperation(t *testing.T) {
	l := newLedger(t)
	for _, c := range chapters {
		t.Run(c.name, func(t *testing.T) { c.run(t, l) })
	}
	var table strings.Builder
	var names, uncalled []string
	for _, line := range documented(t) {
		if strings.HasPrefix(line, "## ") {
			fmt.Fprintf(&table, "\n%s\n", strings.TrimPrefix(line, "## "))
			continue
		}
		names = append(names, line)
		seen, called := l.rows[line]
		if !called {
			uncalled = append(uncalled, line)
			seen = "NOT CALLED, a probe answers " + l.probe(t, line)
		}
		fmt.Fprintf(&table, "  %-36s %s\n", line, seen)
		delete(l.rows, line)
	}
	t.Logf("%s\n%d operations, %d called, %d not called: %s", table.String(), len(names), len(names)-len(uncalled), len(uncalled), strings.Join(uncalled, ", "))
	require.Empty(t, l.rows, "no such operations")
	require.Len(t, names, 92)
	require.ElementsMatch(t, offered(), names, "the SDK's operations and those of the reference")
	require.Empty(t, uncalled)
}
