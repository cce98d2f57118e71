// Package client speaks to a hanshu server. It is what the command line uses, and the one package of the project that
// other programs may import.
//
// It must not know anything of the server's inside.
package client

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const signScheme = "SDK-HMAC-SHA256"

// Sign signs a request with an access key (FunctionGraph reference, section 7.2): it sets X-Sdk-Date and Authorization.
// The signature covers method, path, query, body, host, Content-Type and every X- header that is there already, so it
// comes last. body is what will be sent, nil for none.
func Sign(req *http.Request, body []byte, ak, sk string, now time.Time) {
	date := now.UTC().Format("20060102T150405Z")
	req.Header.Set("X-Sdk-Date", date)
	req.Header.Del("Authorization")
	headers, names := signedHeaders(req)
	bodySum := sha256.Sum256(body)
	canonical := strings.Join([]string{
		req.Method, canonicalPath(req.URL), canonicalQuery(req.URL), headers, names, hex.EncodeToString(bodySum[:]),
	}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(sk))
	mac.Write([]byte(signScheme + "\n" + date + "\n" + hex.EncodeToString(sum[:])))
	req.Header.Set("Authorization", signScheme+" Access="+ak+", SignedHeaders="+names+", Signature="+hex.EncodeToString(mac.Sum(nil)))
}

// signedHeaders gives the header lines to sign, each with its line end, and their names joined by ";".
func signedHeaders(req *http.Request) (lines, names string) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	values := map[string][]string{"host": {host}}
	for name, v := range req.Header {
		lower := strings.ToLower(name)
		if lower == "content-type" || strings.HasPrefix(lower, "x-") && lower != "x-sdk-content-sha256" {
			values[lower] = v
		}
	}
	sorted := slices.Sorted(maps.Keys(values))
	var b strings.Builder
	for _, name := range sorted {
		for _, v := range slices.Sorted(slices.Values(values[name])) {
			b.WriteString(name + ":" + strings.TrimSpace(v) + "\n")
		}
	}
	return b.String(), strings.Join(sorted, ";")
}

// canonicalPath escapes every segment of the decoded path and ends with "/".
func canonicalPath(u *url.URL) string {
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		if plain, err := url.PathUnescape(s); err == nil {
			s = plain
		}
		segments[i] = escape(s)
	}
	return strings.TrimSuffix(strings.Join(segments, "/"), "/") + "/"
}

// canonicalQuery sorts by key, then by value.
func canonicalQuery(u *url.URL) string {
	query := u.Query()
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(query)) {
		for _, value := range slices.Sorted(slices.Values(query[key])) {
			pairs = append(pairs, escape(key)+"="+escape(value))
		}
	}
	return strings.Join(pairs, "&")
}

// escape leaves RFC 3986's unreserved characters. QueryEscape differs from it in the space only.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
