package gateway

import (
	"context"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// smallBody is what a socket takes before its other end reads.
const smallBody = 32 << 10

// plain tells whether a request can be written as it is: nothing in it is about the connection, and nothing can be read in two ways. It
// gives what stands in the request line. The rest is for httputil.ReverseProxy, which knows it all, and costs as much again.
func plain(r *http.Request, prefix string, body int) (target string, ok bool) {
	if body > smallBody || !graphic(r.Method) || !graphic(r.Host) || strings.Contains(r.Host, "%") || r.URL.Opaque != "" {
		return "", false
	}
	for _, name := range [...]string{"Upgrade", "Te", "Trailer", "Transfer-Encoding", "Expect"} {
		if _, has := r.Header[name]; has {
			return "", false
		}
	}
	if !keeps(r.Header["Connection"]) {
		return "", false
	}
	query := r.URL.RawQuery
	if strings.ContainsAny(query, "%;") || strings.Count(query, "&") > 100 {
		if _, err := url.ParseQuery(query); err != nil {
			return "", false
		}
	}
	target = strings.TrimPrefix(r.URL.EscapedPath(), prefix)
	if target == "" {
		target = "/"
	}
	if query != "" || r.URL.ForceQuery {
		target += "?" + query
	}
	return target, target[0] == '/' && graphic(target)
}

// keeps tells whether a Connection header names nothing that goes with it.
func keeps(values []string) bool {
	return len(values) == 0 || len(values) == 1 && (strings.EqualFold(values[0], "keep-alive") || strings.EqualFold(values[0], "close"))
}

// graphic tells whether a text can stand in a line among others.
func graphic(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// forward passes a plain request on, and the answer back. Its error is that of the connection to the function, or of a client that has
// gone.
func (v *visit) forward(ctx context.Context, b faas.Backend, target string) error {
	buffer := v.g.buffers.Get()
	defer v.g.buffers.Put(buffer)
	answer, err := v.g.direct.ask(ctx, question{
		to: b, asked: v.r, text: v.appendRequest(buffer[:0], b, target), repeat: len(v.x.body) == 0 && safe(v.r.Method), early: v.early,
	})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := v.begin(answer); err != nil {
		return err
	}
	dropHops(answer.Header)
	h := v.w.Header()
	for name, values := range answer.Header {
		h[name] = append(h[name], values...)
	}
	for name := range answer.Trailer {
		h["Trailer"] = append(h["Trailer"], name)
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // or net/http guesses one
	}
	v.w.WriteHeader(answer.StatusCode)
	if waits(answer.Body) {
		_ = http.NewResponseController(v.w).Flush() // the header is not held back for a body that is not there yet
	}
	if err := v.copyBody(answer.Body, buffer); err != nil {
		return err
	}
	if len(answer.Trailer) > 0 {
		_ = http.NewResponseController(v.w).Flush() // an answer that has ended has no place for them
	}
	for name, values := range answer.Trailer {
		h[http.TrailerPrefix+name] = values
	}
	return nil
}

// safe tells whether a request without a body may be made again that may have been taken.
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// appendRequest writes a plain request as the function sees it: what the client sent, but for what is about the connection and what only
// the platform may say.
func (v *visit) appendRequest(dst []byte, b faas.Backend, target string) []byte {
	dst = append(append(append(append(dst, v.r.Method...), ' '), target...), " HTTP/1.1\r\n"...)
	dst = appendField(dst, "Host", v.r.Host)
	for name, values := range v.r.Header {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Content-Length", "Host",
			"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", headerRequestID:
			continue
		}
		if reserved(name) {
			continue
		}
		for _, value := range values {
			dst = appendField(dst, name, value)
		}
	}
	v.tell(b, func(name, value string) { dst = appendField(dst, name, value) })
	switch n := len(v.x.body); {
	case n > 0, v.r.Method == http.MethodPost, v.r.Method == http.MethodPut, v.r.Method == http.MethodPatch:
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), int64(n), 10), "\r\n"...)
	}
	return append(append(dst, "\r\n"...), v.x.body...)
}

// appendField writes a line of a header. No value makes two of it.
func appendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	from := len(dst)
	dst = append(dst, value...)
	for i, c := range dst[from:] {
		if c == '\r' || c == '\n' {
			dst[from+i] = ' '
		}
	}
	return append(dst, "\r\n"...)
}

// early passes an answer on that comes before the answer.
func (v *visit) early(answer *http.Response) {
	h := v.w.Header()
	for name, values := range answer.Header {
		h[name] = append(h[name], values...)
	}
	v.w.WriteHeader(answer.StatusCode)
	clear(h) // what was said is not said again
}

// dropHops takes out of an answer's header what is about the connection to the function.
func dropHops(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade"} {
		delete(h, name)
	}
}

// copyBody passes an answer's body on, each piece as it comes. A client that goes away ends the request.
func (v *visit) copyBody(from io.Reader, buffer []byte) error {
	flusher := http.NewResponseController(v.w)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, failed := v.w.Write(buffer[:n]); failed != nil {
				v.gone(failed)
				return errBroken
			}
			_ = flusher.Flush() // what goes wrong shows with the next piece, or by the end of the request
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return errBroken
		}
	}
}
