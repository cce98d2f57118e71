package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

func newVersionCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "print the version of this program, or publish versions of functions",
		Long: `Version prints the version of this program; that of the server stands in its /admin/v1/status. Its subcommands are about versions of
functions.` + exitHelp(exitOK),
		Example: "  hanshu version --json\n  hanshu version publish hello v1",
		Args:    noArgs,
		Run: func(*cobra.Command, []string) {
			if c.json {
				c.printJSON(map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
				return
			}
			c.printf("hanshu %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
	addVersionCommands(c, cmd)
	return cmd
}
