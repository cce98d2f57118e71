// Package fetch pulls code packages from URLs and S3-compatible buckets, for a user who may be an enemy: it refuses to
// reach into the server's own network, and bounds size and time.
//
// It must not know what a function is, nor what is inside a package.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

const (
	maxURLBytes  = 2048
	maxRedirects = 5

	firstBlock = 64 << 10 // bytes set aside for content of unknown size
	maxBlock   = 8 << 20
)

// Config of a Fetcher. The zero value reaches the public internet only.
type Config struct {
	// Allow lists networks ("10.1.0.0/16"), addresses and host names that may be reached though they are private.
	Allow []string
	// Endpoints are S3-compatible stores that are read with credentials.
	Endpoints []Endpoint
	// Timeout bounds one fetch; 0 means 5 minutes.
	Timeout time.Duration
	// Stall is the time in which the headers, and then each 64 KiB of the body, must come; 0 means 20 seconds.
	Stall time.Duration
	// Parallel bounds the fetches at a time, and with them the memory in use; others wait. 0 means 2.
	Parallel int
}

// Fetcher pulls packages. Make one with New; it may be used by many at a time.
type Fetcher struct {
	guard   *guard
	client  *http.Client
	stores  []*store
	timeout time.Duration
	stall   time.Duration
	slots   chan struct{}
}

// New makes a Fetcher. It fails when the configuration makes no sense.
func New(cfg Config) (*Fetcher, error) {
	g, err := newGuard(cfg.Allow)
	if err != nil {
		return nil, err
	}
	f := &Fetcher{guard: g, timeout: cfg.Timeout, stall: cfg.Stall}
	if f.timeout <= 0 {
		f.timeout = 5 * time.Minute
	}
	if f.stall <= 0 {
		f.stall = 20 * time.Second
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = 2
	}
	f.slots = make(chan struct{}, cfg.Parallel)
	for _, e := range cfg.Endpoints {
		s, err := newStore(e, f.stall)
		if err != nil {
			return nil, err
		}
		f.stores = append(f.stores, s)
	}
	f.client = &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would dial for us, past the guard
			DialContext:            g.dial,
			DisableCompression:     true, // the digest is of the bytes as they are stored
			DisableKeepAlives:      true,
			TLSHandshakeTimeout:    f.stall,
			ResponseHeaderTimeout:  f.stall,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
	return f, nil
}

// Fetch reads what an http or https URL holds, at most maxBytes. A URL on a configured endpoint is read with that
// endpoint's credentials, any other as the public would. Errors, all with field "code_url": CodeInvalid when the URL is
// wrong, refused or holds nothing; CodeTooLarge; CodeUnavailable when the other side failed or was too slow; CodeCancelled
// when ctx ended.
func (f *Fetcher) Fetch(ctx context.Context, rawURL string, maxBytes int64) ([]byte, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return nil, failure(ctx, ctx.Err())
	}
	bounded, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	bounded, stop := context.WithCancelCause(bounded)
	defer stop(nil)

	body, size, err := f.open(bounded, u)
	if err != nil {
		return nil, failure(ctx, err)
	}
	defer body.Close()
	data, err := f.read(body, size, maxBytes, stop)
	if err != nil {
		return nil, failure(ctx, err)
	}
	return data, nil
}

// open starts reading a URL; size is -1 when it is not told.
func (f *Fetcher) open(ctx context.Context, u *url.URL) (io.ReadCloser, int64, error) {
	for _, s := range f.stores {
		if bucket, key, ok := s.locate(u); ok {
			return s.open(ctx, bucket, key)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, faas.Errorf(faas.CodeInvalid, "code_url", "code_url cannot be requested")
	}
	response, err := f.client.Do(request)
	if err != nil {
		return nil, 0, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		code := faas.CodeInvalid
		if response.StatusCode >= 500 {
			code = faas.CodeUnavailable
		}
		return nil, 0, faas.Errorf(code, "code_url", "code_url answered with status %d", response.StatusCode)
	}
	return response.Body, response.ContentLength, nil
}

// leastPerStall is what must come in each term of Config.Stall, in bytes: a source that sends less could hold its place for
// the whole of Config.Timeout with a byte now and then.
const leastPerStall = 64 << 10

// read takes the whole of a body and gives up on one that is too long, stands still or crawls.
func (f *Fetcher) read(body io.Reader, size, maxBytes int64, stop context.CancelCauseFunc) ([]byte, error) {
	if size > maxBytes {
		return nil, tooLarge(maxBytes)
	}
	guard := time.AfterFunc(f.stall, func() { stop(errStalled) })
	defer guard.Stop()
	// Blocks, put together at the end: a slice that grows leaves several times its size behind, and there may be no end.
	block := make([]byte, 0, max(size+1, firstBlock))
	var full [][]byte
	var total int64
	since := 0 // bytes that came under the guard's present term
	for {
		if len(block) == cap(block) {
			full = append(full, block)
			block = make([]byte, 0, min(max(total, firstBlock), maxBlock))
		}
		n, err := body.Read(block[len(block):cap(block)])
		block = block[:len(block)+n]
		total += int64(n)
		if since += n; since >= leastPerStall {
			guard.Reset(f.stall)
			since = 0
		}
		switch {
		case total > maxBytes:
			return nil, tooLarge(maxBytes)
		case errors.Is(err, io.EOF) && full == nil:
			return block, nil
		case errors.Is(err, io.EOF):
			return slices.Concat(append(full, block)...), nil
		case err != nil:
			return nil, err
		}
	}
}

var errStalled = errors.New("too few bytes came for too long")

func parseURL(text string) (*url.URL, error) {
	bad := func(why string) (*url.URL, error) {
		return nil, faas.Errorf(faas.CodeInvalid, "code_url", "code_url %s", why)
	}
	if text == "" || len(text) > maxURLBytes {
		return bad(fmt.Sprintf("must have 1 to %d characters", maxURLBytes))
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return bad("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("must be an http or https URL")
	case u.User != nil:
		return bad("must not hold a user name or password")
	}
	return u, nil
}

func checkRedirect(next *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return faas.Errorf(faas.CodeInvalid, "code_url", "code_url redirects more than %d times", maxRedirects)
	case next.URL.Scheme != "https" && next.URL.Scheme != via[0].URL.Scheme:
		return faas.Errorf(faas.CodeInvalid, "code_url", "code_url redirects from %s to %.20s", via[0].URL.Scheme, next.URL.Scheme)
	}
	_, err := parseURL(next.URL.String())
	return err
}

func tooLarge(maxBytes int64) error {
	return faas.Errorf(faas.CodeTooLarge, "code_url", "the package at code_url is over %d bytes", maxBytes)
}

// failure turns what went wrong on the way into an expected failure. ctx is the caller's own.
func failure(ctx context.Context, err error) error {
	var known *faas.Error
	var dns *net.DNSError
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		return &faas.Error{Code: faas.CodeCancelled, Field: "code_url", Message: "the request ended while code_url was read", Err: err}
	case errors.Is(err, errGuarded):
		return &faas.Error{Code: faas.CodeInvalid, Field: "code_url", Message: "code_url cannot be used: " + errGuarded.Error(), Err: err}
	case errors.As(err, &dns) && dns.IsNotFound:
		return &faas.Error{Code: faas.CodeInvalid, Field: "code_url", Message: "the host of code_url does not exist", Err: err}
	case errors.Is(err, errStalled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || isTimeout(err):
		return &faas.Error{Code: faas.CodeUnavailable, Field: "code_url", Message: "code_url sent its content too slowly or never ended", Err: err}
	}
	return &faas.Error{Code: faas.CodeUnavailable, Field: "code_url", Message: "code_url could not be read", Err: err}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
