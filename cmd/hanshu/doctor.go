package main

import (
	"cmp"
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/internal/app"
	"github.com/hanshu-faas/hanshu/internal/config"
)

func newDoctorCommand(c *cli) *cobra.Command {
	var o config.Config
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "check whether functions can run on this machine",
		Long: `Doctor looks at this machine as a server would find it: what the sandbox can isolate and what is missing for more, the
runtimes, the data directory, the database, the port, the disk. It changes nothing and needs no server. Settings come from the
same HANSHU_* variables and flags as those of serve.` + exitHelp(exitOK, exitFunction, exitUsage),
		Example: `  hanshu doctor
  hanshu doctor --data-dir /srv/hanshu --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.FromEnv(c.lookup)
			if err != nil {
				return usagef("%v", err)
			}
			cfg.Listen, cfg.DataDir = cmp.Or(o.Listen, cfg.Listen), cmp.Or(o.DataDir, cfg.DataDir)
			cfg.DB, cfg.Sandbox = cmp.Or(o.DB, cfg.DB), cmp.Or(o.Sandbox, cfg.Sandbox)
			cfg.OCIRuntime = cmp.Or(o.OCIRuntime, cfg.OCIRuntime)
			return runDoctor(cmd.Context(), c, cfg)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Listen, "listen", "", "address that the server will listen on")
	flags.StringVar(&o.DataDir, "data-dir", "", "its data directory")
	flags.StringVar(&o.DB, "db", "", "its database, as postgres://...; SQLite by default")
	flags.StringVar(&o.Sandbox, "sandbox", "", "kind of sandbox: auto, native, oci or none")
	flags.StringVar(&o.OCIRuntime, "oci-runtime", "", "with --sandbox=oci: path of the OCI runtime")
	return cmd
}

// finding is what doctor found, as --json shows it.
type finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Level  string `json:"level"` // "ok", "warn" or "fail"
	Detail string `json:"detail"`
	Fix    string `json:"fix"`
}

func runDoctor(ctx context.Context, c *cli, cfg config.Config) error {
	if err := cfg.Validate(); err != nil {
		return usagef("%v", err)
	}
	list := []finding{}
	for _, f := range app.Doctor(ctx, cfg) {
		list = append(list, finding{Name: f.Name, OK: f.OK, Level: f.Level, Detail: f.Detail, Fix: f.Fix})
	}
	if c.json {
		c.printJSON(list)
	} else {
		for _, f := range list {
			c.printf("%s  %s: %s\n", c.paint(levelColour(f.Level), padded(f.Level)), f.Name, oneLine(f.Detail))
			if f.Fix != "" && f.Level != "ok" {
				c.printf("      to mend it: %s\n", oneLine(f.Fix))
			}
		}
	}
	if slices.ContainsFunc(list, func(f finding) bool { return f.Level == "fail" }) {
		return errFailed
	}
	return nil
}

func padded(level string) string { return (level + "    ")[:4] }

func levelColour(level string) string {
	switch level {
	case "ok":
		return green
	case "warn":
		return yellow
	}
	return red
}
