package agent

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/lang"
)

// control answers the commands of this machine's administrator: one line of JSON each way over a Unix socket in the data
// directory, which only its owner can reach.
type control struct {
	a        *Agent
	listener net.Listener
	work     sync.WaitGroup
}

// Ask is what the command line asks of a running agent.
type Ask struct {
	Do     string `json:"do"`               // "status", "diagnose" or "apply"
	Bundle string `json:"bundle,omitempty"` // absolute path, of "apply"
}

// Answer is what it is told.
type Answer struct {
	Error  string  `json:"error,omitempty"`
	Status *Status `json:"status,omitempty"`
	Text   string  `json:"text,omitempty"`
}

// Status is how the gateway is.
type Status struct {
	Product string               `json:"product"`
	Gateway string               `json:"gateway"`
	Online  bool                 `json:"online"`
	Bus     string               `json:"bus,omitempty"`
	Report  wire.ReportedMessage `json:"report"`
	Lost    int64                `json:"log_lines_lost"`
}

const (
	socketName = "agent.sock"
	askTime    = 5 * time.Minute
)

func newControl(a *Agent) *control { return &control{a: a} }

// Start implements lifecycle.Service.
func (c *control) Start(ctx context.Context) error {
	path := filepath.Join(c.a.cfg.DataDir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		c.a.log.Error("`hanshu-edge status` and `apply` cannot reach this agent", "err", err)
		return nil // the gateway works without them
	}
	c.listener = listener
	c.work.Go(c.accept)
	return nil
}

// Stop implements lifecycle.Service.
func (c *control) Stop(context.Context) error {
	if c.listener == nil {
		return nil
	}
	err := c.listener.Close()
	c.work.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (c *control) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.serve(conn) // one at a time
	}
}

func (c *control) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(askTime))
	line, err := bufio.NewReader(io.LimitReader(conn, 64<<10)).ReadBytes('\n')
	var ask Ask
	if err == nil {
		err = json.Unmarshal(line, &ask)
	}
	answer := Answer{}
	switch {
	case err != nil:
		answer.Error = "the request cannot be read"
	case ask.Do == "status":
		status := c.a.Status()
		answer.Status = &status
	case ask.Do == "diagnose":
		var text strings.Builder
		c.a.diagnose(&text)
		answer.Text = text.String()
	case ask.Do == "apply":
		version, err := c.a.Apply(ask.Bundle)
		if err != nil {
			answer.Error = err.Error()
			break
		}
		answer.Text = fmt.Sprintf("version %d is accepted and is being applied", version)
	default:
		answer.Error = "the agent does not know " + ask.Do
	}
	_ = json.NewEncoder(conn).Encode(answer) // who asked has gone away
}

// Status tells how the gateway is.
func (a *Agent) Status() Status {
	s := Status{Product: a.id.Product, Gateway: a.id.Gateway, Online: a.link.Online(), Report: a.report(), Lost: a.cfg.Logs.Lost()}
	if a.bus != nil {
		s.Bus = a.bus.Address()
	}
	return s
}

// Send asks the agent that runs on a data directory.
func (ask Ask) Send(dataDir string) (Answer, error) {
	var answer Answer
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "unix", filepath.Join(dataDir, socketName))
	if err != nil {
		return answer, fmt.Errorf("no agent runs on %s: %w", dataDir, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(askTime))
	if err := json.NewEncoder(conn).Encode(ask); err != nil {
		return answer, err
	}
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		return answer, fmt.Errorf("the agent does not answer: %w", err)
	}
	if answer.Error != "" {
		return answer, errors.New(answer.Error)
	}
	return answer, nil
}

// Apply takes a document and its packages from a bundle, for a gateway without a network. The document is checked before anything
// of the bundle is kept, and accepted once all that it needs is on disk.
func (a *Agent) Apply(path string) (version uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := tar.NewReader(f)
	envelope, doc, err := a.bundleDocument(r)
	if err != nil {
		return 0, err
	}
	sizes := map[string]int64{}
	for _, fn := range doc.Functions {
		sizes[fn.Code.Digest] = fn.Code.Size
	}
	for {
		head, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("the bundle is damaged: %w", err)
		}
		digest, ok := strings.CutPrefix(head.Name, wire.BundleCode)
		size, wanted := sizes[digest]
		if !ok || !wanted || head.Typeflag != tar.TypeReg {
			continue
		}
		if err := a.content.Add(digest, size, r); err != nil {
			return 0, err
		}
	}
	for digest := range sizes {
		if !a.content.Has(digest) {
			return 0, fmt.Errorf("the bundle lacks the package %s", digest)
		}
	}
	return doc.Version, a.applier.offer(envelope)
}

// bundleDocument reads the first file of a bundle, and refuses one that would not be accepted.
func (a *Agent) bundleDocument(r *tar.Reader) (e wire.Envelope, doc wire.Document, err error) {
	head, err := r.Next()
	if err != nil || head.Name != wire.BundleDocument || head.Size > 2*wire.MaxMessage {
		return e, doc, errors.Join(fmt.Errorf("the file is no bundle: it does not begin with %s", wire.BundleDocument), err)
	}
	text, err := io.ReadAll(r)
	if err == nil {
		err = wire.Decode(text, &e)
	}
	if err != nil {
		return e, doc, fmt.Errorf("the bundle is damaged: %w", err)
	}
	a.applier.mu.Lock()
	accepted := a.applier.state.Accepted
	a.applier.mu.Unlock()
	doc, err = e.Open(a.cfg.Enrollment.Keys(), a.id, accepted)
	if errors.Is(err, wire.ErrSame) {
		err = nil
	}
	if err != nil {
		return e, doc, a.applier.offer(e) // which refuses it, and has that reported
	}
	return e, doc, nil
}

// diagnose writes for people how everything is.
func (a *Agent) diagnose(w io.Writer) {
	s := a.Status()
	caps := a.cfg.Driver.Capabilities()
	fmt.Fprintf(w, "gateway    %s of product %s\n", s.Gateway, s.Product)
	fmt.Fprintf(w, "agent      %s %s/%s, up %s\n", a.cfg.Version, goos, goarch, time.Since(a.started).Round(time.Second))
	fmt.Fprintf(w, "cloud      %s, %s\n", a.cfg.Enrollment.BrokerURL, map[bool]string{true: "online", false: "offline"}[s.Online])
	fmt.Fprintf(w, "local bus  %s\n", orNone(s.Bus))
	fmt.Fprintf(w, "isolation  %s\n", caps.Level)
	for _, lack := range caps.Lacks {
		fmt.Fprintf(w, "           missing: %s\n", lack)
	}
	fmt.Fprintf(w, "clock      %s\n", a.cfg.Clock().Format(time.RFC3339))
	fmt.Fprintf(w, "memory     agent %.1f MiB, host %.0f MiB left\n", float64(s.Report.Host.RSS)/(1<<20), float64(s.Report.Host.MemFree)/(1<<20))
	fmt.Fprintf(w, "disk       %.0f MiB left, log writes lost %d\n", float64(s.Report.Host.DiskFree)/(1<<20), s.Lost)
	fmt.Fprintf(w, "document   version %d, %s, all good at %d %s\n", s.Report.Version, s.Report.State, s.Report.Good, s.Report.Message)
	for _, r := range s.Report.Refused {
		fmt.Fprintf(w, "refused    version %d: %s\n", r.Version, r.Reason)
	}
	for _, f := range s.Report.Functions {
		fmt.Fprintf(w, "function   %-24s %-8s calls %d, errors %d, restarts %d %s\n", f.Name, f.State, f.Calls, f.Errors, f.Restarts, f.Message)
	}
	for _, r := range s.Report.Routes {
		fmt.Fprintf(w, "route      %-24d hits %d, dropped %d, queued %d\n", r.ID, r.Hits, r.Dropped, r.Queued)
	}
	for _, i := range a.catalogue.List() {
		if i.Path != "" && i.Status == lang.StatusExact {
			fmt.Fprintf(w, "runtime    %-24s %s %s\n", i.Name, i.Path, i.Version)
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
