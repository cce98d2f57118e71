package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newShowCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "show a function's settings and code",
		Long: `Show prints the settings of a function and what its code is. NAME is a name, package:name, or a URN. With --json it prints all that the
server says.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu show hello
  hanshu show hello --json`,
		Args:              oneArg("NAME"),
		ValidArgsFunction: c.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return runShow(cmd.Context(), c, args[0]) },
	}
}

func runShow(ctx context.Context, c *cli, name string) error {
	r, err := ref(name)
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	f, err := server.ShowFunctionConfig(ctx, server.URN(r))
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(f)
		return nil
	}
	rows := [][]string{
		{"name", f.Name},
		{"package", f.Package},
		{"URN", strings.TrimSuffix(f.URN, ":latest")},
		{"description", c.clean(oneLine(f.Description))},
		{"runtime", f.Runtime},
		{"", f.RuntimeNotice},
		{"handler", f.Handler},
		{"initializer", initializer(f)},
		{"memory", fmt.Sprintf("%d MB", f.MemorySize)},
		{"processor", fmt.Sprintf("%d/1000 of a core", f.CPU)},
		{"timeout", fmt.Sprintf("%d s", f.Timeout)},
		{"user data", strings.Join(userDataNames(f.UserData), ", ")},
		{"egress", c.clean(f.Egress)},
		{"isolation", f.Isolation},
		{"code", f.CodeType + ", " + size(f.CodeSize)},
		{"digest", f.Digest},
		{"dependencies", strings.Join(f.Dependencies, ", ")},
		{"modified", f.LastModified},
	}
	c.table(slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" }))
	return nil
}

func initializer(f *client.Function) string {
	if f.InitializerHandler == "" {
		return ""
	}
	return fmt.Sprintf("%s, %d s", f.InitializerHandler, f.InitializerTimeout)
}

// userDataNames lists the names only: values are often secrets, and --json has them.
func userDataNames(text string) []string {
	var data map[string]string
	if json.Unmarshal([]byte(text), &data) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(data))
}
