package app

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/api/admin"
	"github.com/hanshu-faas/hanshu/internal/config"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/metrics"
)

// runtimes shows control the catalogue.
type runtimes struct{ catalogue *lang.Catalogue }

func (r runtimes) CheckHandler(runtime, field, handler string) error {
	found, err := r.catalogue.Resolve(runtime)
	if err != nil {
		return err
	}
	return found.Language.CheckHandler(field, handler)
}

func (r runtimes) SourceFile(runtime, handler string) (string, error) {
	found, err := r.catalogue.Resolve(runtime)
	if err != nil {
		return "", err
	}
	return found.Language.SourceFile(handler), nil
}

// Notice tells of another version that serves a runtime; and, for a function made while its runtime was installed here,
// that it no longer is.
func (r runtimes) Notice(runtime string) string {
	found, err := r.catalogue.Resolve(runtime)
	if err != nil {
		return err.Error()
	}
	return found.Notice()
}

// changes passes a change on to everyone who keeps something of a function.
type changes []control.Changes

func (all *changes) FunctionChanged(key faas.FunctionKey) {
	for _, c := range *all {
		c.FunctionChanged(key)
	}
}

func (s *Server) adminConfig(p admin.Permissions, recent *invoke.Recent, catalogue *lang.Catalogue, counters *metrics.Set) admin.Config {
	c, started := s.driver.Capabilities(), time.Now()
	return admin.Config{
		Permissions: p, Runs: recent, WriteMetrics: counters.Write,
		Status: func() admin.Status {
			scheme, _, _ := strings.Cut(databaseURL(s.cfg), ":")
			return admin.Status{
				Version: s.version, StartedAt: started, Region: s.cfg.Region, Database: scheme, DataDir: s.cfg.DataDir,
				Sandbox: admin.Sandbox{Driver: c.Driver, Level: c.Level, Isolated: c.Isolated, Lacks: c.Lacks},
			}
		},
		Runtimes: func() []admin.Runtime {
			var list []admin.Runtime
			for _, i := range catalogue.List() {
				list = append(list, admin.Runtime{Name: i.Name, Title: i.Title, Status: string(i.Status), Version: i.Version, Path: i.Path, Note: i.Note})
			}
			return list
		},
	}
}

// Banner says in at most six lines where everything is.
func (s *Server) Banner(w io.Writer) {
	say := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-11s%s\n", name, fmt.Sprintf(format, args...))
	}
	c := s.driver.Capabilities()
	say("API", "%s  (FunctionGraph v2, IAM v3; region %s)", s.admin.Endpoint, s.cfg.Region)
	if s.cfg.Dev {
		say("DEV MODE", "whoever is on this machine is the administrator: no credentials are asked for")
	}
	say("Admin", "%s", filepath.Join(s.cfg.DataDir, adminName))
	say("Data", "%s", s.cfg.DataDir)
	switch {
	case !c.Isolated:
		say("NO SANDBOX", "functions run unprotected, as this user: never run foreign code here")
	case len(c.Lacks) > 0:
		say("Isolation", "%s; missing here: %d, see `hanshu doctor`", c.Level, len(c.Lacks))
	default:
		say("Isolation", "%s", c.Level)
	}
	say("Next", "hanshu new hello && hanshu deploy hello && hanshu invoke hello -d '{}'")
}

// NewLog makes a server's log.
func NewLog(cfg config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Level()}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
