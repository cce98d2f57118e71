package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	startTime    = 60 * time.Second
	memorySize   = 1792 // MB; the size at which an instance has a whole processor
	functionTime = 30   // s
)

// admin is what is used of admin.json.
type admin struct {
	ProjectID string `json:"project_id"`
	Domain    string `json:"domain"`
	User      string `json:"user"`
	Password  string `json:"password"`
	Region    string `json:"region"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// server is a running `hanshu serve`.
type server struct {
	*process
	admin
	address string
	token   string
	dir     string        // holds its data directory, and what a part puts beside it
	begun   time.Duration // from the start of the process until it was ready
}

// ownServer starts a server for one part alone, in a folder of its own, and gives what ends it and takes that away.
func (b *bench) ownServer(ctx context.Context, more ...string) (*server, func(), error) {
	dir, err := os.MkdirTemp("", "hanshu-bench-")
	if err != nil {
		return nil, nil, err
	}
	s, err := startServer(ctx, os.Environ(), b.opts.binary, dir, more...)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, func() {
		s.stop()
		_ = os.RemoveAll(dir) // what a part has measured stands without it
	}, nil
}

// startServer starts the program in an environment, under a new data directory in dir, and waits until it is ready.
func startServer(ctx context.Context, env []string, binary, dir string, more ...string) (*server, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	began := time.Now()
	p, err := start(ctx, env, binary, append([]string{"serve", "--listen", address, "--data-dir", data}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("%w; `make build` makes it", err)
	}
	s := &server{process: p, address: address, dir: dir}
	if err := s.ready(ctx, drain(p)); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s is not ready: %w", binary, err)
	}
	s.begun = time.Since(began)
	text, err := os.ReadFile(filepath.Join(data, "admin.json"))
	if err == nil {
		err = json.Unmarshal(text, &s.admin)
	}
	if err == nil {
		err = s.login(ctx)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// drain reads what the process prints, until it ends. What went wrong stands on standard error, which is the bench's own.
func drain(p *process) (gone <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, p.lines) // the end is no error here
	}()
	return done
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// ready waits until /healthz answers 200. gone is closed when the process has ended.
func (s *server) ready(ctx context.Context, gone <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if err := s.api(ctx, http.MethodGet, "/healthz", nil, nil); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-gone:
			return errors.New("it has ended")
		case <-again.C:
		}
	}
}

// api calls an operation with the token, sends in and reads the answer into out; either may be nil.
func (s *server) api(ctx context.Context, method, path string, in, out any) error {
	_, err := s.do(ctx, method, path, in, out)
	return err
}

// do is api that gives the header of the answer too.
func (s *server) do(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.address+path, &body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		req.Header.Set("X-Auth-Token", s.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %.300s", method, path, res.Status, text)
	}
	if out == nil {
		return res.Header, nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return res.Header, nil
}

// login gets a token for the first project.
func (s *server) login(ctx context.Context) error {
	type object map[string]any
	header, err := s.do(ctx, http.MethodPost, "/v3/auth/tokens", object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": object{
			"name": s.User, "password": s.Password, "domain": object{"name": s.Domain}}}},
		"scope": object{"project": object{"id": s.ProjectID}},
	}}, nil)
	if err != nil {
		return err
	}
	if s.token = header.Get("X-Subject-Token"); s.token == "" {
		return errors.New("the answer to the login has no X-Subject-Token")
	}
	return nil
}

// served is how a language is served on this host.
type served struct {
	Name   string `json:"name"`   // e.g. "Python3.9"
	Status string `json:"status"` // exact, served (by another version) or missing
	Path   string `json:"path"`   // of the interpreter
}

// runtime gives a runtime of a language that this host serves. Of those that are served by the version they name it takes the
// system's own before any other, as one that somebody built here may lack the optimisations that take hours, and of several
// the newest. The server lists them in the order of their versions.
func (s *server) runtime(ctx context.Context, prefix string) (served, error) {
	var list struct {
		Runtimes []served `json:"runtimes"`
	}
	if err := s.api(ctx, http.MethodGet, "/admin/v1/runtimes", nil, &list); err != nil {
		return served{}, err
	}
	best, ok := newest(list.Runtimes, prefix)
	if !ok {
		return served{}, fmt.Errorf("no runtime %s* on this host", prefix)
	}
	return best, nil
}

func newest(list []served, prefix string) (served, bool) {
	for _, want := range []struct{ status, below string }{{"exact", "/usr/bin/"}, {"exact", ""}, {"served", ""}} {
		for _, r := range slices.Backward(list) {
			if strings.HasPrefix(r.Name, prefix) && r.Status == want.status && strings.HasPrefix(r.Path, want.below) {
				return r, true
			}
		}
	}
	return served{}, false
}

// create makes a function of a language and gives the place where it is called.
func (s *server) create(ctx context.Context, l language, runtime, name string) (target, error) {
	var made struct {
		URN string `json:"func_urn"`
	}
	kind, file := l.code()
	err := s.api(ctx, http.MethodPost, "/v2/"+s.ProjectID+"/fgs/functions", map[string]any{
		"func_name": name, "package": "default", "runtime": runtime, "handler": l.Handler, "timeout": functionTime,
		"memory_size": memorySize, "code_type": kind, "func_code": map[string]any{"file": file},
	}, &made)
	if err != nil {
		return target{}, err
	}
	return target{
		Address: s.address,
		Path:    "/v2/" + s.ProjectID + "/fgs/functions/" + made.URN + "/invocations",
		Header:  []string{"X-Auth-Token: " + s.token},
	}, nil
}
