package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/edge/agent/bus"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/link"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/logs"
	"github.com/hanshu-faas/hanshu/internal/edge/agent/update"
	"github.com/hanshu-faas/hanshu/internal/edge/wire"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/java"
	"github.com/hanshu-faas/hanshu/internal/lang/node"
	"github.com/hanshu-faas/hanshu/internal/lang/php"
	"github.com/hanshu-faas/hanshu/internal/lang/python"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/sandbox/none"
)

// DefaultBus is where drivers look for the local bus.
const DefaultBus = bus.DefaultAddress

// enrollmentName is the file in the data directory that `enroll` writes.
const enrollmentName = "enrollment.json"

// Setup is who this gateway is, and where it keeps its data.
type Setup struct {
	Enrollment wire.Enrollment
	DataDir    string
}

// Find reads the enrollment: from a file, or from a data directory, or from the usual place. A data directory that is named has
// precedence over the enrollment's own.
func Find(file, dataDir, usual string) (Setup, error) {
	switch {
	case file != "":
	case dataDir != "":
		file = filepath.Join(dataDir, enrollmentName)
	default:
		file = usual
	}
	e, err := readEnrollment(file)
	if err == nil {
		err = e.Check()
	}
	if err != nil {
		return Setup{}, fmt.Errorf("enrollment %s: %w; `hanshu gateway enroll` makes one", file, err)
	}
	if dataDir == "" {
		dataDir = e.DataDir
	}
	if dataDir == "" {
		dataDir = filepath.Dir(usual)
	}
	dataDir, err = filepath.Abs(dataDir)
	return Setup{e, dataDir}, err
}

func readEnrollment(file string) (e wire.Enrollment, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(text, &e)
}

// Enroll keeps an enrollment in a data directory. With the secret of the product it asks the cloud for that of the gateway first.
func Enroll(ctx context.Context, file, dataDir, usual, productSecret string) (Setup, error) {
	e, err := readEnrollment(file)
	if err != nil {
		return Setup{}, fmt.Errorf("enrollment %s: %w", file, err)
	}
	if productSecret != "" {
		if e.DeviceSecret, err = link.Register(ctx, e, productSecret); err != nil {
			return Setup{}, err
		}
	}
	if err := e.Check(); err != nil {
		return Setup{}, fmt.Errorf("enrollment %s: %w", file, err)
	}
	for _, dir := range []string{dataDir, e.DataDir, usual} {
		if dir != "" {
			dataDir = dir
			break
		}
	}
	if dataDir, err = filepath.Abs(dataDir); err != nil {
		return Setup{}, err
	}
	if err := MakeDir(dataDir); err != nil {
		return Setup{}, err
	}
	e.DataDir = dataDir
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return Setup{}, err
	}
	return Setup{e, dataDir}, replaceFile(filepath.Join(dataDir, enrollmentName), append(text, '\n'))
}

// replaceFile writes a file of mode 0600 whole, so that a reader never sees half of it.
func replaceFile(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// Languages are those of a gateway: what needs no more than an interpreter on the host. The adaptors for executables and WASM
// would double the size of the program.
func Languages() []*lang.Language {
	return []*lang.Language{python.Language(), node.Language(), php.Language(), java.Language()}
}

// Options are what a command line says.
type Options struct {
	Setup
	Version string
	Bus     string
	Sandbox string // "native" or "none"
	Level   string
	Path    string
	Token   string
	Stderr  io.Writer
	Self    string            // the program that was installed by hand; "" where it must not be replaced
	Quiet   bool              // nothing runs: only files are looked at
	Step    func(name string) // see Config.Step
	Clock   func() time.Time  // see Config.Clock
	Trial   time.Duration     // see Config.Trial
}

// Open makes an Agent as a command line says.
func Open(ctx context.Context, o Options) (*Agent, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.Level)); err != nil {
		return nil, fmt.Errorf("log level %q must be debug, info, warn or error", o.Level)
	}
	kept, err := logs.Open(filepath.Join(o.DataDir, "logs"))
	if err != nil {
		return nil, err
	}
	driver, err := newDriver(ctx, o)
	if err != nil {
		return nil, err
	}
	cfg := Config{
		Enrollment: o.Enrollment, DataDir: o.DataDir, Version: o.Version, Driver: driver, Languages: Languages(), Path: o.Path, Bus: o.Bus,
		Log: slog.New(slog.NewTextHandler(io.MultiWriter(o.Stderr, kept.Writer()), &slog.HandlerOptions{Level: level})), Logs: kept, Step: o.Step, Clock: o.Clock, Trial: o.Trial,
	}
	if o.Quiet {
		cfg.Languages = nil
	}
	if o.Self != "" {
		if cfg.Releases, err = Releases(o.DataDir, o.Self); err != nil {
			return nil, errors.Join(err, driver.Close())
		}
	}
	a, err := New(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, driver.Close(), kept.Close())
	}
	a.closers = append([]func() error{kept.Close, driver.Close}, a.closers...)
	return a, nil
}

func newDriver(ctx context.Context, o Options) (sandbox.Driver, error) {
	switch o.Sandbox {
	case "none":
		return none.New(), nil
	case "native":
		d, err := nativeDriver(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("%w\n--sandbox=none runs functions without any protection", err)
		}
		return d, nil
	}
	return nil, fmt.Errorf("sandbox %q must be native or none", o.Sandbox)
}

// Releases opens the versions of the agent that a data directory has.
func Releases(dataDir, self string) (*update.Releases, error) {
	return update.Open(filepath.Join(dataDir, "agent"), self)
}

// Diagnose says for people how everything is.
func (a *Agent) Diagnose() string {
	var text strings.Builder
	a.diagnose(&text)
	return text.String()
}
