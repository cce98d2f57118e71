package main

import (
	"bufio"
	"context"
	"strings"

	"github.com/spf13/cobra"
)

func newDeleteCommand(c *cli) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"},
		Short: "remove a function",
		Long: `Delete removes a function with all its versions, or the version that NAME names; NAME is a name, package:name, or a URN. It asks first, and where nobody can be
asked it wants --yes.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu delete hello
  hanshu delete hello --yes`,
		Args:              oneArg("NAME"),
		ValidArgsFunction: c.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return runDelete(cmd.Context(), c, args[0], yes) },
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func runDelete(ctx context.Context, c *cli, name string, yes bool) error {
	r, err := ref(name)
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	urn := server.URN(r)
	if !yes {
		if !c.asks || c.json {
			return usagef("delete wants --yes where nobody can be asked")
		}
		c.notef("Delete %s on %s? [y/N] ", urn, server.Config().Endpoint)
		answer, _ := bufio.NewReader(c.in).ReadString('\n') // no answer is a no
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
			c.notef("Nothing was deleted.\n")
			return nil
		}
	}
	if err := server.DeleteFunction(ctx, urn); err != nil {
		return err
	}
	if c.json {
		c.printJSON(map[string]string{"deleted": urn})
		return nil
	}
	c.printf("deleted %s\n", urn)
	return nil
}
