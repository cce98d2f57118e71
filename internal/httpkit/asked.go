package httpkit

import "net/http"

// Asked is a request as those see it who must not know HTTP: a faas.Asked.
type Asked http.Request

// HeaderValue gives the first value of a header, in any letter case; "" for none.
func (a *Asked) HeaderValue(name string) string { return a.Header.Get(name) }

// CookieValue gives the first cookie of a name; "" for none.
func (a *Asked) CookieValue(name string) string {
	c, err := (*http.Request)(a).Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}
