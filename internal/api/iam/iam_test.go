package iam

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/auth/authtest"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

var update = flag.Bool("update", false, "write the answers of the golden pairs anew")

// server is the face over real auth, with a clock that stands still.
type server struct {
	http.Handler
	owner *auth.Credentials
	token string
}

func newServer(t *testing.T) *server {
	t.Helper()
	store := &authtest.Store{}
	sealer, err := auth.NewSealer(filepath.Join(t.TempDir(), "key"), true)
	require.NoError(t, err)
	owner, err := auth.EnsureOwner(t.Context(), store, sealer, "local-1")
	require.NoError(t, err)
	require.NoError(t, store.CreateProject(t.Context(), faas.Project{ID: strings.Repeat("b", 32), DomainID: owner.DomainID, Name: "second"}))
	require.NoError(t, store.CreateProject(t.Context(), faas.Project{ID: strings.Repeat("c", 32), DomainID: strings.Repeat("d", 32), Name: "alien"}))
	now := func() time.Time { return time.Date(2026, 1, 4, 9, 5, 22, 701_000_000, time.UTC) }
	a, err := auth.New(auth.Config{Store: store, Sealer: sealer, Now: now})
	require.NoError(t, err)
	mux, err := httpkit.NewMux(httpkit.MuxConfig{Authenticator: a, Log: slog.New(slog.DiscardHandler)}, New(Config{Identities: a, People: a, Keys: a, Agencies: a, Sessions: a, Region: "local-1"}))
	require.NoError(t, err)
	token, err := a.Login(t.Context(), auth.Proof{UserID: owner.UserID, Password: owner.Password}, auth.Scope{ProjectID: owner.ProjectID}, "")
	require.NoError(t, err)
	return &server{mux, owner, token.Text}
}

// names are the random parts of a server, and what stands for them in the golden pairs.
func (s *server) names() []string {
	return []string{s.token, "$TOKEN", s.owner.Password, "$PASSWORD", s.owner.UserID, "$USER_ID", s.owner.DomainID, "$DOMAIN_ID", s.owner.ProjectID, "$PROJECT_ID"}
}

func (s *server) fill(text string) string {
	names := s.names()
	for i := 0; i < len(names); i += 2 {
		names[i], names[i+1] = names[i+1], names[i]
	}
	return strings.NewReplacer(names...).Replace(text)
}

// TestGolden replays testdata/*.http: a request, a line "===", the answer. Run with -update to write the answers anew.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	s := newServer(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			request, want, _ := strings.Cut(string(text), "\n===\n")
			got := s.replay(t, request)
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(request+"\n===\n"+got), 0o644))
				return
			}
			require.Equal(t, want, got)
		})
	}
}

// replay sends a request and gives the answer as the golden pairs hold it.
func (s *server) replay(t *testing.T, request string) string {
	head, body, _ := strings.Cut(s.fill(request), "\n\n")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n")))
	require.NoError(t, err)
	r.Body, r.ContentLength, r.RemoteAddr = io.NopCloser(strings.NewReader(body)), int64(len(body)), t.Name()+":1"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	answer := fmt.Sprintf("%d %s\n", w.Code, w.Header().Get("Content-Type"))
	if subject := w.Header().Get("X-Subject-Token"); subject != "" {
		probe := httptest.NewRequest("GET", "/v3/auth/domains", nil)
		probe.Header.Set("X-Auth-Token", subject)
		again := httptest.NewRecorder()
		s.ServeHTTP(again, probe)
		require.Equal(t, 200, again.Code, "the token is good")
		answer += "X-Subject-Token: set\n"
	}
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, w.Body.Bytes(), "", "  "))
	return strings.NewReplacer(s.names()...).Replace(answer + "\n" + pretty.String() + "\n")
}

func TestEveryCodeHasAnAnswer(t *testing.T) {
	for _, code := range append(faas.Codes, "other") {
		w := httptest.NewRecorder()
		writeError(w, nil, faas.Errorf(code, "", "the text"))
		var got errorAnswer
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got), code)
		require.Equal(t, w.Code, got.Error.Code, code)
		require.Equal(t, http.StatusText(w.Code), got.Error.Title, code)
		require.Equal(t, w.Code != 500, strings.Contains(got.Error.Message, "the text"), code)
	}
	w := httptest.NewRecorder()
	writeError(w, nil, errors.New("hidden"))
	require.Equal(t, 500, w.Code)
	require.NotContains(t, w.Body.String(), "hidden")
}

func TestLoginLockAnswers429(t *testing.T) {
	s := newServer(t)
	login := func() *httptest.ResponseRecorder {
		body := s.fill(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"$USER_ID","password":"wrong"}}}}}`)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("POST", "/v3/auth/tokens", strings.NewReader(body)))
		return w
	}
	for range 5 {
		require.Equal(t, 401, login().Code)
	}
	w := login()
	require.Equal(t, 429, w.Code)
	require.Equal(t, "300", w.Header().Get("Retry-After"))
}

func TestOnlyLoginIsOpen(t *testing.T) {
	for _, route := range New(Config{}).Routes {
		require.Equal(t, route.Method+route.Path == "POST/v3/auth/tokens", route.Open, route.Path)
	}
}
