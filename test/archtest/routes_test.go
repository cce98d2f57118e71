package archtest

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/app"
	"github.com/hanshu-faas/hanshu/internal/config"
)

// openRoutes lists, as "face operation", every route that wants no credentials. A new line here is a decision.
var openRoutes = []string{
	"admin Health",
	"admin Metrics", // from this machine only
	"iam KeystoneCreateToken",
	"minapp Authorize",
	"minapp CreateAccessToken",
	"minapp LoginAnonymously", // refuses
	"minapp LoginByUsername",
	"minapp Preflight",  // tells browsers what any page may ask with a token of its own
	"minapp ShowJobLog", // by an address that is sealed and expires
	"uiot DownloadCode", // by an address that is signed and expires
	"uiot Login",
}

var pathPart = regexp.MustCompile(`\{[^}]+\}`)

// TestAuthOnEveryRoute asks each route of a whole server without credentials, and with false ones.
func TestAuthOnEveryRoute(t *testing.T) {
	cfg := config.Defaults()
	cfg.Listen, cfg.DataDir, cfg.Sandbox = "127.0.0.1:0", filepath.Join(t.TempDir(), "data"), config.SandboxNone
	s, err := app.New(t.Context(), cfg, "test", slog.New(slog.NewTextHandler(io.Discard, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })

	var open []string
	for _, r := range s.Routes() {
		require.NotEmpty(t, r.Operation, "%s %s", r.Method, r.Path)
		if r.Open {
			open = append(open, r.Face+" "+r.Operation)
			continue
		}
		for _, header := range []http.Header{
			{},
			{"X-Auth-Token": {"false"}},
			{"Authorization": {"SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=00"}, "X-Sdk-Date": {"20261121T000000Z"}},
			{"Authorization": {"Bearer x"}},
		} {
			req := httptest.NewRequest(r.Method, pathPart.ReplaceAllString(r.Path, "x"), nil)
			req.Header = header
			answer := httptest.NewRecorder()
			s.Handler().ServeHTTP(answer, req)
			require.Equal(t, http.StatusUnauthorized, answer.Code, "%s %s with %v: %s", r.Method, r.Path, header, answer.Body)
		}
	}
	slices.Sort(open)
	require.Equal(t, openRoutes, slices.Compact(open))
}
