package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
	"github.com/hanshu-faas/hanshu/internal/app"
	"github.com/hanshu-faas/hanshu/internal/config"
)

func newRuntimesCommand(c *cli) *cobra.Command {
	var local bool
	cmd := &cobra.Command{
		Use:   "runtimes",
		Short: "list the runtimes and what serves them",
		Long: `Runtimes lists the runtime names that functions may be made for, and how the server serves each: exact (by the version named), served (by
the nearest version of the same major that is installed), or missing. With --local it looks at this machine and asks no server.` +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu runtimes
  hanshu runtimes --local --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRuntimes(cmd.Context(), c, local) },
	}
	cmd.Flags().BoolVar(&local, "local", false, "what this machine has, without a server")
	return cmd
}

func runRuntimes(ctx context.Context, c *cli, local bool) error {
	found, err := c.runtimes(ctx, local)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(found)
		return nil
	}
	rows := [][]string{{"RUNTIME", "STATUS", "VERSION", "NOTE"}}
	for _, r := range found {
		rows = append(rows, []string{r.Name, r.Status, r.Version, c.clean(r.Note)})
	}
	c.table(rows)
	return nil
}

// runtimes asks the server, or looks at this machine.
func (c *cli) runtimes(ctx context.Context, local bool) ([]client.Runtime, error) {
	if !local {
		server, err := c.client()
		if err != nil {
			return nil, err
		}
		return server.Runtimes(ctx)
	}
	cfg, err := config.FromEnv(c.lookup)
	if err != nil {
		return nil, usagef("%v", err)
	}
	list := []client.Runtime{}
	for _, r := range app.Runtimes(ctx, cfg) {
		list = append(list, client.Runtime{Name: r.Name, Title: r.Title, Status: string(r.Status), Version: r.Version, Path: r.Path, Note: r.Note})
	}
	return list, nil
}

// newestRuntime chooses among the runtimes with a prefix such as "Python": the newest that is served by the version it names,
// else the newest that is served at all. It gives "" when there is none.
func newestRuntime(list []client.Runtime, prefix string) string {
	best := func(status string) string {
		name, newest := "", []int(nil)
		for _, r := range list {
			v, ok := runtimeVersion(r.Name, prefix)
			if ok && r.Status == status && slices.Compare(v, newest) > 0 {
				name, newest = r.Name, v
			}
		}
		return name
	}
	if name := best(client.RuntimeExact); name != "" {
		return name
	}
	return best(client.RuntimeServed)
}

// runtimeVersion gives the numbers behind the prefix of a runtime name.
func runtimeVersion(name, prefix string) ([]int, bool) {
	text, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return nil, false
	}
	var numbers []int
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, false
		}
		numbers = append(numbers, n)
	}
	return numbers, true
}
