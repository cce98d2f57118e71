package lang

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestCheckExecutable(t *testing.T) {
	for _, h := range []string{"main", "bootstrap", "my-func_1.bin", "bin/handler", "处理"} {
		require.NoError(t, CheckExecutable("handler", h), h)
	}
	require.NoError(t, CheckBootstrap("handler", "bootstrap"))
	for _, c := range [][2]string{
		{"handler", ""}, {"handler", "/main"}, {"handler", "../main"}, {"handler", "a/../b"}, {"handler", ".hidden"}, {"handler", "a/"}, {"handler", "a b"},
		{"handler", "a\n"}, {"handler", strings.Repeat("a", 129)}, {"initializer_handler", "main"},
	} {
		for _, check := range []func(field, handler string) error{CheckExecutable, CheckBootstrap} {
			err := check(c[0], c[1])
			require.Equal(t, faas.CodeInvalid, faas.CodeOf(err), "%q", c)
			var e *faas.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c[0], e.Field)
		}
	}
	require.ErrorContains(t, CheckBootstrap("handler", "index.handler"), "must be bootstrap")
}

// A program without its adaptors does not claim to serve their runtimes.
func TestFindBuiltin(t *testing.T) {
	require.Empty(t, FindBuiltin(nil)(t.Context(), nil))
	require.Len(t, FindBuiltin(fstest.MapFS{})(t.Context(), nil), 1)
	require.Equal(t, []string{"/dir/adaptor", "http", "8000"}, AdaptorCommand("http", "8000")(Install{}, "/dir"))
}

func TestCallHead(t *testing.T) {
	for _, extra := range []CallExtra{{}, {Alias: "prod", WorkflowID: "w"}} {
		at := time.UnixMilli(1_700_000_000_123)
		f, err := ReadFrame(strings.NewReader(string(AppendCall(nil, 7, at, "id-1", extra, []byte(`{}`)))), nil, 1000)
		require.NoError(t, err)
		deadline, id, got, err := f.CallHead()
		require.NoError(t, err)
		require.Equal(t, at, deadline)
		require.Equal(t, "id-1", id)
		require.Equal(t, extra, got)
	}
	for _, f := range []Frame{{Type: FrameCall, Meta: []byte("1234567")}, {Type: FrameLoad, Meta: make([]byte, 8)}, {Type: FrameCall, Meta: []byte("12345678id\x00{")}} {
		_, _, _, err := f.CallHead()
		require.ErrorIs(t, err, errFrame)
	}
}
