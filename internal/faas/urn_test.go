package faas_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestParseURN(t *testing.T) {
	const long = "urn:fss:cn-north-1:7aad:function:default:test"
	cases := map[string]faas.URN{
		"test":                 {Package: "default", Name: "test"},
		"team:test":            {Package: "team", Name: "test"},
		"7aad:team:test":       {Project: "7aad", Package: "team", Name: "test"},
		"7aad:team:test:v1":    {Project: "7aad", Package: "team", Name: "test", Version: "v1"},
		"7aad:team:test:!prod": {Project: "7aad", Package: "team", Name: "test", Alias: "prod"},
		long:                   {Region: "cn-north-1", Project: "7aad", Package: "default", Name: "test"},
		long + ":latest":       {Region: "cn-north-1", Project: "7aad", Package: "default", Name: "test", Version: "latest"},
		long + ":v20200603-1":  {Region: "cn-north-1", Project: "7aad", Package: "default", Name: "test", Version: "v20200603-1"},
		long + ":!prod":        {Region: "cn-north-1", Project: "7aad", Package: "default", Name: "test", Alias: "prod"},
	}
	for text, want := range cases {
		got, err := faas.ParseURN(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		require.Equal(t, want.Version != "" || want.Alias != "", got.Qualified())
		if strings.HasPrefix(text, "urn:") {
			require.Equal(t, text, got.String())
		}
	}
}

func TestParseURNRefuses(t *testing.T) {
	const long = "urn:fss:cn-north-1:7aad:function:default:test"
	bad := []string{
		"", ":", "a:", ":a", "urn", "urn:fss", "urn:fss:r:p:function:default", "urn:obs:r:p:function:default:test",
		"urn:fss:r:p:workflow:default:test", long + ":", long + ":!", long + ":!!a", long + ":v1:v2", "a:b:c:", "a:b:c:d:e",
		"a b", "a/b", "../a", "a\x00", "函数", long + ":v 1", "a:" + strings.Repeat("x", 65), strings.Repeat("x", 2000),
	}
	for _, text := range bad {
		_, err := faas.ParseURN(text)
		var e *faas.Error
		require.ErrorAs(t, err, &e, "%q", text)
		require.Equal(t, faas.CodeInvalid, e.Code)
		require.Equal(t, "function_urn", e.Field)
		require.Less(t, len(e.Message), 1000, "the message stays short")
	}
}

// FuzzURN holds what is parsed to: names that are safe, and a text that reads back as the same.
func FuzzURN(f *testing.F) {
	for _, s := range []string{"test", "a:b", "p:a:b:!x", "urn:fss:r:p:function:default:test:latest", "urn:fss::::a:b:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := faas.ParseURN(text)
		if err != nil {
			require.Equal(t, faas.CodeInvalid, faas.CodeOf(err))
			return
		}
		require.NotEmpty(t, u.Name)
		require.NotEmpty(t, u.Package)
		require.False(t, u.Version != "" && u.Alias != "")
		for _, part := range []string{u.Package, u.Name, u.Version, u.Alias} {
			require.False(t, strings.ContainsAny(part, ":/\\\x00 !"), "%q", part)
		}
		again, err := faas.ParseURN(u.String())
		require.NoError(t, err, "%q", u.String())
		require.Equal(t, u, again)
	})
}
