package client

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSign(t *testing.T) {
	req, err := http.NewRequest("POST", "http://h:1/v2/p/urn%3Afss:a/%E5%90%8D?b=2&a=x+y&b=1", nil)
	require.NoError(t, err)
	req.Header.Set("X-Project-Id", "p")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "*/*")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	Sign(req, []byte("{}"), "AK", "SK", now)
	require.Equal(t, "20260102T020405Z", req.Header.Get("X-Sdk-Date"))
	first := req.Header.Get("Authorization")
	require.Regexp(t, `^SDK-HMAC-SHA256 Access=AK, SignedHeaders=content-type;host;x-project-id;x-sdk-date, Signature=[0-9a-f]{64}$`, first)
	Sign(req, []byte("{}"), "AK", "SK", now)
	require.Equal(t, first, req.Header.Get("Authorization"), "signing twice gives the same")
	Sign(req, []byte("{ }"), "AK", "SK", now)
	require.NotEqual(t, first, req.Header.Get("Authorization"))
}

func TestCanonicalForms(t *testing.T) {
	for target, want := range map[string][2]string{
		"http://h":                         {"/", ""},
		"http://h/":                        {"/", ""},
		"http://h/a":                       {"/a/", ""},
		"http://h/a/":                      {"/a/", ""},
		"http://h/urn:x%3Ay/~._-":          {"/urn%3Ax%3Ay/~._-/", ""},
		"http://h/a%2Fb/%20!":              {"/a%2Fb/%20%21/", ""},
		"http://h/?b&a=%20&a=+1&c=%2B*":    {"/", "a=%20&a=%201&b=&c=%2B%2A"},
		"http://h/名?q=%E5%90%8D&q=a%26b=c": {"/%E5%90%8D/", "q=a%26b%3Dc&q=%E5%90%8D"},
	} {
		u, err := url.Parse(target)
		require.NoError(t, err)
		require.Equal(t, want, [2]string{canonicalPath(u), canonicalQuery(u)}, target)
	}
}
