package minapp

import (
	"bytes"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/httpkit"
)

// oauthRequest is the body of both steps.
type oauthRequest struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Code         string `json:"code"`
	GrantType    string `json:"grant_type"`
	RefreshToken string `json:"refresh_token"`
}

// readOAuth reads a body as JSON, multipart/form-data or x-www-form-urlencoded: clients send each of them, and JSON without
// saying so (minapp reference 0, finding 4). Error: CodeInvalid, field "body".
func readOAuth(r *http.Request) (b oauthRequest, err error) {
	body := httpkit.BodyOf(r.Context())
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var form url.Values
	switch kind {
	case "multipart/form-data":
		parsed, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(1 << 20)
		if err != nil {
			return b, faas.Errorf(faas.CodeInvalid, "body", "the request body is not multipart/form-data")
		}
		defer func() { _ = parsed.RemoveAll() }() // a body is too small for files
		form = parsed.Value
	case "application/x-www-form-urlencoded":
		if form, err = url.ParseQuery(string(body)); err != nil {
			return b, faas.Errorf(faas.CodeInvalid, "body", "the request body is not x-www-form-urlencoded")
		}
	default:
		return b, httpkit.DecodeJSON(body, &b)
	}
	return oauthRequest{form.Get("client_id"), form.Get("client_secret"), form.Get("code"), form.Get("grant_type"), form.Get("refresh_token")}, nil
}

// authorize hands out a code at once. The vendor's service does so behind two redirects, which every client follows.
func (a *API) authorize(w http.ResponseWriter, r *http.Request) error {
	b, err := readOAuth(r)
	if err != nil {
		return err
	}
	code, life, err := a.Logins.ClientCode(r.Context(), b.ClientID, b.ClientSecret)
	if err != nil {
		return err
	}
	return httpkit.WriteJSON(w, http.StatusOK, struct {
		Code      string `json:"code"`
		ExpiresIn int    `json:"expires_in"`
	}{code, int(life / time.Second)})
}

func (a *API) accessToken(w http.ResponseWriter, r *http.Request) error {
	b, err := readOAuth(r)
	if err != nil {
		return err
	}
	kind, text := faas.GrantCode, b.Code
	switch b.GrantType {
	case "authorization_code":
	case "refresh_token":
		kind, text = faas.GrantRefresh, b.RefreshToken
	default:
		return faas.Errorf(faas.CodeInvalid, "grant_type", "grant_type %.40q must be authorization_code or refresh_token", b.GrantType)
	}
	pair, err := a.Logins.Exchange(r.Context(), b.ClientID, b.ClientSecret, kind, text)
	if err != nil {
		return err
	}
	w.Header()["Cache-Control"] = []string{"no-store"}
	return httpkit.WriteJSON(w, http.StatusOK, struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int    `json:"expires_in"`
		RefreshToken string `json:"refresh_token"`
		Scope        string `json:"scope"`
	}{pair.Access, "Bearer", int(pair.ExpiresIn / time.Second), pair.Refresh, "cloud_function"})
}

// allowOrigin lets pages of any site read an answer to a client: the token that it takes is none that a browser adds by itself.
func allowOrigin(w http.ResponseWriter) {
	w.Header()["Access-Control-Allow-Origin"] = []string{"*"}
}

func preflight(w http.ResponseWriter, _ *http.Request) error {
	allowOrigin(w)
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, "+headerClient+", "+headerEnv+
		", X-Hydrogen-Client-Version, X-Hydrogen-Client-Platform, X-Hydrogen-Client-SDK-Type")
	w.Header().Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// userNumber is the id of a user as the dialect has it, a number: the first 48 bits of ours.
func userNumber(id string) int64 {
	n, _ := strconv.ParseInt(id[:min(len(id), 12)], 16, 64) // 0 for an id of another make
	return n
}

// userAnswer is a user of a client.
type userAnswer struct {
	ID       int64  `json:"id"`
	UserID   int64  `json:"user_id"`
	Username string `json:"_username"`
	Nickname string `json:"nickname"`
	Avatar   string `json:"avatar"`
}

// loginByName logs in a user of the project's domain. There is no registration: users are made by the administrator.
func (a *API) loginByName(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if err := httpkit.DecodeJSON(httpkit.BodyOf(r.Context()), &b); err != nil {
		return err
	}
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	t, err := a.Logins.LoginToClient(r.Context(), r.Header.Get(headerClient), b.Username, b.Password, source)
	if err != nil {
		return err
	}
	allowOrigin(w)
	w.Header()["Cache-Control"] = []string{"no-store"}
	return httpkit.WriteJSON(w, http.StatusOK, struct {
		Token     string     `json:"token"`
		UserID    int64      `json:"user_id"`
		ExpiresIn int        `json:"expires_in"`
		UserInfo  userAnswer `json:"user_info"`
	}{t.Text, userNumber(t.User.ID), int(t.ExpiresIn / time.Second), toUser(t.User.ID, t.User.Name)})
}

func toUser(id, name string) userAnswer {
	return userAnswer{ID: userNumber(id), UserID: userNumber(id), Username: name, Nickname: name}
}

// loginAnonymously refuses: whoever may invoke is known by name here.
func (a *API) loginAnonymously(http.ResponseWriter, *http.Request) error {
	return faas.Errorf(faas.CodeForbidden, "login", "nobody may log in anonymously here; log in by user name")
}

// userInfo shows the caller, and nobody else.
func (a *API) userInfo(w http.ResponseWriter, r *http.Request) error {
	s, err := a.enter(r, auth.ActionInvoke)
	if err != nil {
		return err
	}
	if r.PathValue("id") != strconv.FormatInt(userNumber(s.principal.UserID), 10) {
		return faas.NotFound("user", strings.ToValidUTF8(r.PathValue("id"), ""))
	}
	allowOrigin(w)
	return httpkit.WriteJSON(w, http.StatusOK, toUser(s.principal.UserID, s.principal.UserName))
}
