package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

func newVersionCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version of this program",
		Long:    "Version prints the version of this program; that of the server stands in its /admin/v1/status." + exitHelp(exitOK),
		Example: "  hanshu version --json",
		Args:    noArgs,
		Run: func(*cobra.Command, []string) {
			if c.json {
				c.printJSON(map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
				return
			}
			c.printf("hanshu %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
