//go:build linux

package engine

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSecretsStayOffProcesses looks at what the kernel shows of every sandboxed process to whoever may look: its arguments and the environment that it was started with. A
// function's secrets come over the control socket alone.
func TestSecretsStayOffProcesses(t *testing.T) {
	t.Parallel()
	p := newPlace(t, 0)
	h := p.start(t)
	const secret = "wl4ND-only-over-the-socket"
	for name, source := range map[string]string{
		python: "import os\ndef handler(event, context):\n    return [context.getUserData('password'), os.environ['password']]\n",
		node:   "exports.handler = async (event, context) => [context.getUserData('password'), process.env.password];\n",
	} {
		request := h.request(function{name: "keeps-" + strings.ToLower(name[:4]), runtime: name, source: source})
		request["encrypted_user_data"] = fmt.Sprintf(`{"password":%q}`, secret)
		a, err := h.post(t.Context(), request)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		a, err = h.invoke(t.Context(), request["func_name"].(string), []byte(`{}`))
		require.NoError(t, err)
		require.JSONEq(t, fmt.Sprintf(`[%q,%q]`, secret, secret), string(a.body), "the function has it")
		log, err := base64.StdEncoding.DecodeString(a.header.Get("X-Cff-Function-Log"))
		require.NoError(t, err)
		require.NotContains(t, string(log), secret)
	}
	looked := 0
	for _, pid := range p.sandboxed(t) {
		for _, file := range []string{"environ", "cmdline"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil {
				continue // it has ended meanwhile
			}
			require.NotContains(t, string(text), secret, "%d's %s", pid, file)
			looked++
		}
	}
	require.Greater(t, looked, 3)
}
