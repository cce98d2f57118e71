package httpkit

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

type picky struct{}

func (*picky) UnmarshalJSON([]byte) error {
	return faas.Errorf(faas.CodeInvalid, "colour", "no such colour")
}

type sample struct {
	Name   string `json:"name"`
	Inner  struct{ N []int }
	Colour *picky `json:"colour"`
}

func TestDecodeJSON(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"name":"a","more":{"x":[1]}}`, ""},
		{" \n{\"name\":\"a\"} \n", ""},
		{"{\"name\":\"\xff\"}", ""},
		{`{"name":"[[[\"{{\\\\"}`, ""},
		{nest(`{"x":`, "1", `}`, MaxDepth), ""},
		{"", "is empty"},
		{" \n", "is empty"},
		{`{"name":"a"`, "not JSON at byte 11: unexpected end"},
		{`{"name":"a"} {}`, "not JSON at byte 14"},
		{`{"name":"a"}x`, "not JSON at byte 13"},
		{`{'name'}`, "not JSON at byte 2"},
		{`{"name":1}`, `has the wrong type at "name" (byte 9): number`},
		{`{"Inner":{"N":[1,"x"]}}`, `has the wrong type at "Inner.N" (byte 20): string`},
		{`[]`, "has the wrong type at byte 1: array"},
		{`{"Inner":{"N":[1e99]}}`, `"Inner.N"`},
		{`{"Inner":{"N":[1` + strings.Repeat("0", 10_000) + `]}}`, `"Inner.N"`},
		{nest(`{"x":`, "1", `}`, MaxDepth+1), "nests deeper than 64"},
		{strings.Repeat("[", 1_000_000), "nests deeper than 64 at byte 64"},
		{`{"name":"a\\"` + strings.Repeat("[", 100), "nests deeper"},
		{`"` + strings.Repeat(`\"`, 1_000_000), "not JSON"},
	} {
		var v sample
		err := DecodeJSON([]byte(c.body), &v)
		if c.want == "" {
			require.NoError(t, err, "%.60s", c.body)
			continue
		}
		require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), "%.60s", c.body)
		require.ErrorContains(t, err, c.want, "%.60s", c.body)
		require.NotContains(t, err.Error(), "sample", "no names of ours")
		require.Less(t, len(err.Error()), 400)
	}
	var e *faas.Error
	require.ErrorAs(t, DecodeJSON([]byte(`{"colour":1}`), &sample{}), &e)
	require.Equal(t, "colour", e.Field)
	require.ErrorAs(t, DecodeJSON([]byte(`{`), &sample{}), &e)
	require.Equal(t, "body", e.Field)
}

func nest(open, middle, shut string, n int) string {
	return strings.Repeat(open, n) + middle + strings.Repeat(shut, n)
}

func TestWriteJSON(t *testing.T) {
	w := httptest.NewRecorder()
	require.NoError(t, WriteJSON(w, 201, map[string]string{"a": "<&>\u2028"}))
	require.Equal(t, 201, w.Code)
	require.Equal(t, `{"a":"<&>\u2028"}`, w.Body.String())
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	w = httptest.NewRecorder()
	require.Error(t, WriteJSON(w, 200, math.NaN()))
	require.Empty(t, w.Header(), "nothing is written")
	require.Zero(t, w.Body.Len())
}

// TestAnswersNameTheirLength holds that whether net/http or we write it makes no difference.
func TestAnswersNameTheirLength(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.URL.Query().Get("size"))
		WriteBytes(w, 200, "text/plain", make([]byte, size))
	}))
	defer server.Close()
	for _, size := range []int{0, 1, ownLength - 1, ownLength, 2047, 2048, 2049, 100_000} {
		res, err := server.Client().Get(server.URL + "/?size=" + strconv.Itoa(size))
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, errors.Join(err, res.Body.Close()))
		require.Len(t, body, size)
		require.Equal(t, strconv.Itoa(size), res.Header.Get("Content-Length"))
		require.Empty(t, res.TransferEncoding)
	}
}

func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"name":"a"}`, `[[["\\\"]"]]]`, `"`, `{"Inner":{"N":[1]}}`, strings.Repeat("[", 70), `{"a":"\u00`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v any
		err := DecodeJSON(body, &v)
		switch {
		case err != nil && faas.CodeOf(err) != faas.CodeInvalid:
			t.Fatalf("%v is not the caller's fault", err)
		case err == nil && !json.Valid(body):
			t.Fatal("what is not JSON was taken")
		case err != nil && json.Valid(body) && tooDeep(body) < 0 && !strings.Contains(err.Error(), "wrong type"):
			t.Fatalf("JSON was refused: %v", err)
		case err == nil && depth(v) > MaxDepth:
			t.Fatal("too deep")
		}
	})
}

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			deepest = max(deepest, depth(inner))
		}
	case []any:
		for _, inner := range v {
			deepest = max(deepest, depth(inner))
		}
	default:
		return 0
	}
	return deepest + 1
}
