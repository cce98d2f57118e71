package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/config"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/all"
	"github.com/hanshu-faas/hanshu/internal/sandbox"
	"github.com/hanshu-faas/hanshu/internal/store"
)

// How bad a finding is.
const (
	LevelOK   = "ok"
	LevelWarn = "warn" // it works, with less than it could
	LevelFail = "fail" // functions cannot run until it is mended
)

// Finding is one thing that Doctor looked at.
type Finding struct {
	Name   string // e.g. "sandbox"
	OK     bool
	Level  string
	Detail string
	Fix    string // what to do; "" when nothing is
}

func fine(name, detail string) Finding {
	return Finding{Name: name, OK: true, Level: LevelOK, Detail: detail}
}

func finding(level, name, detail, fix string) Finding {
	return Finding{Name: name, Level: level, Detail: detail, Fix: fix}
}

// Doctor looks at this host as a server with this configuration would, and changes nothing that stays.
func Doctor(ctx context.Context, cfg config.Config) []Finding {
	var all []Finding
	all = append(all, checkSandbox(ctx, cfg)...)
	all = append(all, checkRuntimes(ctx, cfg)...)
	return append(all, checkDataDir(cfg), checkSpace(cfg), checkListen(ctx, cfg), checkDatabase(ctx, cfg))
}

// checkSandbox starts a real sandbox, and tells what this host lacks.
func checkSandbox(ctx context.Context, cfg config.Config) []Finding {
	if cfg.Sandbox == config.SandboxNone {
		return []Finding{finding(LevelWarn, "sandbox", "switched off: functions run unprotected", "start without --sandbox=none")}
	}
	trial := cfg
	trial.DataDir = filepath.Join(os.TempDir(), fmt.Sprintf("hanshu-doctor-%d", os.Getpid())) // names groups only; nothing is made there
	d, err := newDriver(ctx, trial, "")
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n`hanshu doctor`")
		return []Finding{finding(LevelFail, "sandbox", first, userNamespaceFix())}
	}
	c := d.Capabilities()
	found := []Finding{fine("sandbox", c.Level), checkIdle(cfg, c)}
	if c.Network {
		found = append(found, fine("egress", "functions can be let out to the network (hanshu deploy --egress); without a word of theirs: "+cfg.Egress))
	}
	found = append(found, checkLevels(ctx, cfg, c)...)
	for _, lack := range c.Lacks {
		what, fix, _ := strings.Cut(lack, ": ")
		found = append(found, finding(LevelWarn, "sandbox lacks", what, fix))
	}
	if err := d.Close(); err != nil {
		found = append(found, finding(LevelWarn, "sandbox", "could not be taken down: "+err.Error(), ""))
	}
	return found
}

// checkIdle tells what becomes of instances without calls.
func checkIdle(cfg config.Config, c sandbox.Capabilities) Finding {
	frozen, out := "not frozen", ""
	if c.Freeze && cfg.FreezeAfter > 0 {
		frozen = fmt.Sprintf("frozen after %v (--freeze-after)", cfg.FreezeAfter)
		if c.Reclaim && cfg.ReclaimAfter > 0 {
			out = fmt.Sprintf("paged out after %v while the host has swap (--reclaim-after), ", cfg.ReclaimAfter)
		}
	}
	return fine("idle instances", fmt.Sprintf("%s, %sended after %v (--idle-timeout)", frozen, out, cfg.IdleTimeout))
}

// checkLevels tells which levels of isolation functions can choose.
func checkLevels(ctx context.Context, cfg config.Config, own sandbox.Capabilities) []Finding {
	if cfg.Sandbox == config.SandboxOCI {
		return []Finding{fine("isolation levels", own.Driver+"; native with --sandbox=auto")}
	}
	if cfg.OCIRuntime == "" {
		return []Finding{fine("isolation levels", own.Driver+", and WASM within it; oci with --oci-runtime=/path/of/runsc")}
	}
	cfg.Sandbox, cfg.DataDir = config.SandboxOCI, filepath.Join(os.TempDir(), fmt.Sprintf("hanshu-doctor-%d", os.Getpid()))
	d, err := newDriver(ctx, cfg, "")
	if err != nil {
		return []Finding{finding(LevelFail, "isolation levels", err.Error(), "give --oci-runtime a runtime that works here, or leave it out")}
	}
	level := d.Capabilities().Level
	if err := d.Close(); err != nil {
		return []Finding{finding(LevelWarn, "isolation levels", "could not be taken down: "+err.Error(), "")}
	}
	return []Finding{fine("isolation levels", own.Driver+", WASM within it, and oci: "+level)}
}

// userNamespaceFix names the switch of this host that keeps user namespaces from those who need them.
func userNamespaceFix() string {
	for _, s := range []struct{ path, refuses, fix string }{
		{"/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1, or run hanshu as root"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows userns for hanshu, or run hanshu as root"},
	} {
		if value, err := os.ReadFile(s.path); err == nil && strings.TrimSpace(string(value)) == s.refuses {
			return s.fix
		}
	}
	return "run hanshu as root, or outside a container that forbids namespaces; a kernel of 5.12 or newer is needed"
}

func checkRuntimes(ctx context.Context, cfg config.Config) []Finding {
	catalogue := lang.NewCatalogue(ctx, lang.SearchDirs(cfg.Path), all.All()...)
	installed := map[string]bool{}
	var names []string
	for _, i := range catalogue.List() {
		if key := i.Path + " " + i.Version; i.Path != "" && !installed[key] { // one Java may run several: itself and Jython
			installed[key] = true
			names = append(names, fmt.Sprintf("%s (%s)", i.Path, i.Version))
		}
	}
	if len(names) == 0 {
		return []Finding{finding(LevelFail, "runtimes", "no interpreter found", "apt-get install python3 nodejs php-cli")}
	}
	return []Finding{fine("runtimes", strings.Join(names, ", "))}
}

func checkDataDir(cfg config.Config) Finding {
	info, err := os.Stat(cfg.DataDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fine("data directory", cfg.DataDir+" will be made at the first start")
	case err != nil:
		return finding(LevelFail, "data directory", err.Error(), "make it accessible, or choose another with --data-dir")
	case !info.IsDir():
		return finding(LevelFail, "data directory", cfg.DataDir+" is not a directory", "choose another with --data-dir")
	case info.Mode().Perm()&0o077 != 0:
		return finding(LevelWarn, "data directory", cfg.DataDir+" is open to other users; the server closes it when it starts", "chmod 700 "+cfg.DataDir)
	}
	probe, err := os.CreateTemp(cfg.DataDir, ".doctor-*")
	if err != nil {
		return finding(LevelFail, "data directory", err.Error(), "make it writable for this user, or choose another with --data-dir")
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return finding(LevelWarn, "data directory", err.Error(), "")
	}
	return fine("data directory", cfg.DataDir)
}

func checkListen(ctx context.Context, cfg config.Config) Finding {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return finding(LevelWarn, "address", fmt.Sprintf("%s cannot be listened on (%v)", cfg.Listen, err), "fine when that is this server; else stop who has it, or choose another with --listen")
	}
	l.Close()
	return fine("address", cfg.Listen+" is free")
}

// checkDatabase connects to PostgreSQL. An SQLite file is part of the data directory.
func checkDatabase(ctx context.Context, cfg config.Config) Finding {
	if cfg.DB == "" {
		return fine("database", "SQLite in the data directory")
	}
	db, err := store.Open(ctx, store.Config{URL: cfg.DB})
	if err != nil {
		return finding(LevelFail, "database", err.Error(), "check --db and that PostgreSQL runs")
	}
	if err := db.Close(); err != nil {
		return finding(LevelWarn, "database", err.Error(), "")
	}
	return fine("database", "PostgreSQL answers")
}
