package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/api/admin"
	"github.com/hanshu-faas/hanshu/internal/config"
	"github.com/hanshu-faas/hanshu/internal/control"
	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/invoke"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/pool"
	"github.com/hanshu-faas/hanshu/internal/trigger/obs"
	"github.com/hanshu-faas/hanshu/internal/workflow"
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

func (r runtimes) servesHTTP(runtime string) bool {
	found, err := r.catalogue.Resolve(runtime)
	return err == nil && found.Language.HTTP
}

func (r runtimes) SourceFile(runtime, handler string) (string, error) {
	found, err := r.catalogue.Resolve(runtime)
	if err != nil {
		return "", err
	}
	if found.Language.SourceFile == nil {
		return "", faas.Errorf(faas.CodeInvalid, "code_type", "%s runs classes that have been compiled; send a jar, or a zip of classes and jars", runtime)
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

// warmer has reserved instances of a change warm before anybody else hears of the change.
type warmer struct{ instances *pool.Pool }

func (w warmer) FunctionChanged(key faas.FunctionKey) { w.instances.WarmReserved(key) }

// reader reads what has changed for the first call of it, once all who keep something of it have heard. An alias is read by that call.
type reader struct{ invoker *invoke.Invoker }

// aheadLimit bounds what an acknowledgement of a change may wait for that.
const aheadLimit = 100 * time.Millisecond

func (r reader) FunctionChanged(key faas.FunctionKey) {
	if key.Version == "" || strings.HasPrefix(key.Version, "!") {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), aheadLimit)
	defer cancel()
	r.invoker.Ahead(ctx, key)
}

// noteIn keeps what instances do outside calls among the records of their functions.
func noteIn(records invoke.Records) func(*faas.Function, string, time.Time, *faas.Result) {
	return func(f *faas.Function, source string, begun time.Time, res *faas.Result) {
		records.Add(invoke.Record(f.Key(), &faas.Invocation{ID: uuid.NewString(), Source: source}, begun, time.Since(begun), res, nil))
	}
}

// preparer passes on to a part that is made later.
type preparer struct{ to control.Preparer }

func (p *preparer) Prepare(ctx context.Context, f *faas.Function) error { return p.to.Prepare(ctx, f) }

func (s *Server) adminConfig(p admin.Permissions, catalogue *lang.Catalogue, counters *metrics.Set, buckets *obs.Kind, walls admin.Walls) admin.Config {
	c, started := s.driver.Capabilities(), time.Now()
	return admin.Config{
		Permissions: p, Walls: walls, WriteMetrics: counters.Write, PostBucketEvents: buckets.Post, WorkflowSchema: workflow.Schema(),
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

// Facts are where everything is, and how functions are kept apart.
type Facts struct {
	Endpoint  string   `json:"endpoint"`
	Region    string   `json:"region"`
	Dev       bool     `json:"dev"` // no credentials are asked for
	AdminFile string   `json:"admin_file"`
	DataDir   string   `json:"data_dir"`
	Isolated  bool     `json:"isolated"`
	Isolation string   `json:"isolation"`
	Lacks     []string `json:"lacks"` // what would isolate better, and how to get it
}

// Facts gives what Banner says, for programs.
func (s *Server) Facts() Facts {
	c := s.driver.Capabilities()
	return Facts{
		Endpoint: s.admin.Endpoint, Region: s.cfg.Region, Dev: s.cfg.Dev, AdminFile: filepath.Join(s.cfg.DataDir, adminName),
		DataDir: s.cfg.DataDir, Isolated: c.Isolated, Isolation: c.Level, Lacks: append([]string{}, c.Lacks...),
	}
}

// Banner says in at most six lines where everything is. program is how its user calls this program, so that the last line can be pasted.
func (s *Server) Banner(w io.Writer, program string) {
	say := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-11s%s\n", name, fmt.Sprintf(format, args...))
	}
	f := s.Facts()
	say("API", "%s  (FunctionGraph v2, IAM v3; region %s)", f.Endpoint, f.Region)
	if f.Dev {
		say("DEV MODE", "whoever is on this machine is the administrator: no credentials are asked for")
	}
	say("Admin", "%s", f.AdminFile)
	say("Data", "%s", f.DataDir)
	switch {
	case !f.Isolated:
		say("NO SANDBOX", "functions run unprotected, as this user: never run foreign code here")
	case len(f.Lacks) > 0:
		say("Isolation", "%s; missing here: %d, see `%s doctor`", f.Isolation, len(f.Lacks), program)
	default:
		say("Isolation", "%s", f.Isolation)
	}
	say("Next", "%[2]s%[1]s new hello && %[1]s deploy hello && %[1]s invoke hello -d '{}'", program, s.pointer())
}

// pointer is what a shell must be told so that the command line finds this server; "" where it looks by itself.
func (s *Server) pointer() string {
	dir, err := filepath.Abs(s.cfg.DataDir)
	if here, herr := filepath.Abs("data"); err != nil || herr != nil || dir == here || dir == config.Defaults().DataDir {
		return ""
	}
	return "export HANSHU_ADMIN_FILE='" + filepath.Join(dir, adminName) + "' && "
}

// NewLog makes a server's log.
func NewLog(cfg config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Level()}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
