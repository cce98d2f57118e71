package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The words of SDK-HMAC-SHA256 (FunctionGraph reference, section 7.2).
const (
	signScheme     = "SDK-HMAC-SHA256"
	signDateForm   = "20060102T150405Z"
	signWindow     = 15 * time.Minute
	headerDate     = "X-Sdk-Date"
	headerBodyHash = "X-Sdk-Content-Sha256"
	unsignedBody   = "UNSIGNED-PAYLOAD"
	maxSigned      = 100 // headers in one signature
)

var errSignature = errors.New("the signature is malformed")

// signature is an Authorization header taken apart.
type signature struct {
	access  string
	headers []string // lower case, as listed
	list    string   // the same, as sent
	mac     []byte
}

// parseSignature reads `SDK-HMAC-SHA256 Access=AK, SignedHeaders=a;b, Signature=hex`.
func parseSignature(header string) (signature, error) {
	rest, ok := strings.CutPrefix(header, signScheme+" ")
	if !ok {
		return signature{}, errSignature
	}
	var s signature
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Access":
			s.access = value
		case "SignedHeaders":
			s.list = value
		case "Signature":
			mac, err := hex.DecodeString(value)
			if err != nil {
				return signature{}, errSignature
			}
			s.mac = mac
		default:
			return signature{}, errSignature
		}
	}
	s.headers = strings.Split(s.list, ";")
	if s.access == "" || len(s.access) > 64 || len(s.mac) != sha256.Size || len(s.headers) > maxSigned ||
		s.list != strings.ToLower(s.list) || !slices.Contains(s.headers, strings.ToLower(headerDate)) {
		return signature{}, errSignature
	}
	return s, nil
}

// signedAt gives the time a request says it was signed at.
func signedAt(r *http.Request) (time.Time, error) {
	dates := r.Header[headerDate]
	if len(dates) != 1 {
		return time.Time{}, errSignature
	}
	return time.Parse(signDateForm, dates[0])
}

// matches tells whether a request was signed with a secret. body is the whole body.
func (s signature) matches(r *http.Request, body, secret []byte) bool {
	canonical, err := s.canonicalRequest(r, body)
	if err != nil {
		return false
	}
	sum := sha256.Sum256(canonical)
	text := make([]byte, 0, len(signScheme)+len(signDateForm)+2*sha256.Size+2)
	text = append(text, signScheme+"\n"...)
	text = append(text, r.Header.Get(headerDate)...)
	text = append(text, '\n')
	text = hex.AppendEncode(text, sum[:])
	mac := hmac.New(sha256.New, secret)
	mac.Write(text)
	return hmac.Equal(mac.Sum(nil), s.mac)
}

// canonicalRequest gives the six parts that are signed.
func (s signature) canonicalRequest(r *http.Request, body []byte) ([]byte, error) {
	out := make([]byte, 0, 512)
	out = append(out, r.Method...)
	out = append(out, '\n')
	out, err := appendPath(out, r.URL)
	if err != nil {
		return nil, err
	}
	out = append(out, '\n')
	if out, err = appendQuery(out, r.URL.RawQuery); err != nil {
		return nil, err
	}
	out = append(out, '\n')
	if out, err = s.appendHeaders(out, r); err != nil {
		return nil, err
	}
	out = append(out, '\n')
	out = append(out, s.list...)
	out = append(out, '\n')
	return appendBodyHash(out, r, body)
}

// appendPath escapes every decoded segment, so that "%3A" and ":" on the wire are the same, and ends with "/".
func appendPath(out []byte, u *url.URL) ([]byte, error) {
	for i, segment := range strings.Split(u.EscapedPath(), "/") {
		if i > 0 {
			out = append(out, '/')
		}
		if strings.Contains(segment, "%") {
			plain, err := url.PathUnescape(segment)
			if err != nil {
				return nil, errSignature
			}
			segment = plain
		}
		out = appendEscaped(out, segment)
	}
	if out[len(out)-1] != '/' {
		out = append(out, '/')
	}
	return out, nil
}

// appendQuery sorts by key, then by value.
func appendQuery(out []byte, raw string) ([]byte, error) {
	if raw == "" {
		return out, nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errSignature
	}
	start := len(out)
	for _, key := range slices.Sorted(maps.Keys(query)) {
		for _, value := range slices.Sorted(slices.Values(query[key])) {
			if len(out) > start {
				out = append(out, '&')
			}
			out = appendEscaped(out, key)
			out = append(out, '=')
			out = appendEscaped(out, value)
		}
	}
	return out, nil
}

// appendHeaders gives the listed headers in the order of the list. A listed header that did not come is a refusal: it was
// taken away on the road.
func (s signature) appendHeaders(out []byte, r *http.Request) ([]byte, error) {
	for _, name := range s.headers {
		values := r.Header[http.CanonicalHeaderKey(name)]
		if name == "host" {
			values = []string{r.Host}
		}
		if len(values) == 0 {
			return nil, errSignature
		}
		if len(values) > 1 {
			values = slices.Sorted(slices.Values(values))
		}
		for _, value := range values {
			out = append(out, name...)
			out = append(out, ':')
			out = append(out, strings.TrimSpace(value)...)
			out = append(out, '\n')
		}
	}
	return out, nil
}

// appendBodyHash gives the hash of the body that came, never the one a header claims. UNSIGNED-PAYLOAD is taken where the
// SDK uses it: with a Content-Type that is neither JSON nor BSON. So the body of every JSON request is proved.
func appendBodyHash(out []byte, r *http.Request, body []byte) ([]byte, error) {
	claim := r.Header.Get(headerBodyHash)
	if claim == unsignedBody {
		kind := strings.ToLower(r.Header.Get("Content-Type"))
		if kind == "" || strings.Contains(kind, "json") || strings.Contains(kind, "bson") {
			return nil, errSignature
		}
		return append(out, unsignedBody...), nil
	}
	sum := sha256.Sum256(body)
	start := len(out)
	out = hex.AppendEncode(out, sum[:])
	if claim != "" && subtle.ConstantTimeCompare(out[start:], []byte(claim)) != 1 {
		return nil, errSignature
	}
	return out, nil
}

const upperHex = "0123456789ABCDEF"

// appendEscaped leaves RFC 3986's unreserved characters and escapes all others.
func appendEscaped(out []byte, text string) []byte {
	for i := range len(text) {
		c := text[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~' {
			out = append(out, c)
			continue
		}
		out = append(out, '%', upperHex[c>>4], upperHex[c&15])
	}
	return out
}
