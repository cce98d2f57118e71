package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

// addVersionCommands adds what there is to do with versions of functions to the command that prints the program's own.
func addVersionCommands(c *cli, version *cobra.Command) {
	version.AddCommand(newPublishCommand(c), newVersionListCommand(c), newVersionRemoveCommand(c))
}

func newPublishCommand(c *cli) *cobra.Command {
	var in client.PublishVersionRequest
	cmd := &cobra.Command{
		Use:   "publish NAME [VERSION]",
		Short: "keep a function as it is now under the name of a version",
		Long: `Publish makes a version of a function's code and settings, which does not change any more. Without VERSION its name is made of the time.
It is called with --version; an alias leads to one.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu version publish hello v1
  hanshu invoke hello --version v1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usagef("version publish takes NAME and perhaps VERSION")
			}
			return nil
		},
		ValidArgsFunction: c.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				in.Version = args[1]
			}
			return runPublish(cmd.Context(), c, args[0], in)
		},
	}
	cmd.Flags().StringVar(&in.Description, "description", "", "what is special about the version")
	cmd.Flags().StringVar(&in.Digest, "digest", "", "publish only while the function has the code with this SHA-512 or MD5")
	return cmd
}

func runPublish(ctx context.Context, c *cli, name string, in client.PublishVersionRequest) error {
	server, urn, err := c.function(name)
	if err != nil {
		return err
	}
	f, err := server.PublishVersion(ctx, urn, in)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(f)
		return nil
	}
	c.printf("published %s\n", c.clean(f.URN))
	c.notef("Next: %s\n", c.self("alias", "set", shortName(f), "prod", f.Version))
	return nil
}

// function reads the name of a function, and where its server is.
func (c *cli) function(name string) (*client.Client, string, error) {
	r, err := ref(name)
	if err != nil {
		return nil, "", err
	}
	server, err := c.client()
	if err != nil {
		return nil, "", err
	}
	return server, server.URN(r), nil
}

func newVersionListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "ls NAME",
		Aliases:           []string{"list"},
		Short:             "list the versions of a function",
		Long:              "Ls shows latest, and the published versions in the order of their making." + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example:           "  hanshu version ls hello",
		Args:              oneArg("NAME"),
		ValidArgsFunction: c.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			server, urn, err := c.function(args[0])
			if err != nil {
				return err
			}
			list, err := server.ListVersions(cmd.Context(), urn)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(list)
				return nil
			}
			rows := [][]string{{"VERSION", "MODIFIED", "CODE", "DIGEST", "DESCRIPTION"}}
			for _, f := range list {
				rows = append(rows, []string{c.clean(f.Version), c.clean(f.LastModified), size(f.CodeSize), c.clean(f.Digest[:min(12, len(f.Digest))]), c.clean(oneLine(f.VersionDescription))})
			}
			c.table(rows)
			return nil
		},
	}
}

func newVersionRemoveCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME VERSION",
		Short: "remove a published version",
		Long: `Rm removes a version with the alias that leads to it, the triggers of both, and the asynchronous calls that wait for them. A version that is
the second one of an alias stays until that is led elsewhere.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example:           "  hanshu version rm hello v1",
		Args:              twoArgs("NAME", "VERSION"),
		ValidArgsFunction: c.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := ref(args[0])
			if err != nil {
				return err
			}
			server, err := c.client()
			if err != nil {
				return err
			}
			aliases, err := server.ListAliases(cmd.Context(), server.URN(r))
			if err != nil {
				return err
			}
			aliases = slices.DeleteFunc(aliases, func(a client.Alias) bool { return a.Version != args[1] })
			r.Qualifier = args[1]
			urn := server.URN(r)
			if err := server.DeleteFunction(cmd.Context(), urn); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"deleted": urn})
				return nil
			}
			c.printf("deleted %s\n", urn)
			for _, a := range aliases {
				c.printf("deleted its alias %s\n", a.Name)
			}
			return nil
		},
	}
}

// twoArgs wants exactly two arguments, and says which.
func twoArgs(first, second string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 || args[0] == "" || args[1] == "" {
			return usagef("%s takes %s and %s", cmd.Name(), first, second)
		}
		return nil
	}
}
