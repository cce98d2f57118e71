package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newListCommand(c *cli) *cobra.Command {
	var o client.ListOptions
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "list the functions",
		Long:  "List shows the functions of the project. With --json it prints an array of all that the server says of each." + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu list
  hanshu list --name order --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runList(cmd.Context(), c, o) },
	}
	cmd.Flags().StringVar(&o.Package, "package", "", "functions of this package only")
	cmd.Flags().StringVar(&o.Name, "name", "", "functions with this in their name only")
	return cmd
}

func runList(ctx context.Context, c *cli, o client.ListOptions) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	list := []*client.Function{}
	for f, err := range server.ListFunctions(ctx, o) {
		if err != nil {
			return err
		}
		list = append(list, f)
	}
	if c.json {
		c.printJSON(list)
		return nil
	}
	if len(list) == 0 {
		c.notef("No functions yet. Next: %s\n", c.self("new", "hello"))
		return nil
	}
	rows := [][]string{{"NAME", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "CODE", "MODIFIED"}}
	for _, f := range list {
		rows = append(rows, []string{
			shortName(f), c.clean(f.Runtime), c.clean(f.Handler), fmt.Sprintf("%d MB", f.MemorySize), fmt.Sprintf("%d s", f.Timeout),
			size(f.CodeSize), c.clean(f.LastModified),
		})
	}
	c.table(rows)
	return nil
}
