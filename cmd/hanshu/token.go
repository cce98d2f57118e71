package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newTokenCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "token",
		Short: "print a token for curl",
		Long: `Token asks the server for a token of the user in admin.json or in the login, and prints it. It is good for 24 hours, as the
value of the header X-Auth-Token.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  curl -H "X-Auth-Token: $(hanshu token)" http://127.0.0.1:8080/admin/v1/status`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runToken(cmd.Context(), c) },
	}
}

func runToken(ctx context.Context, c *cli) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	if cfg := server.Config(); cfg.User == "" || cfg.Password == "" {
		return usagef("a token is given for a user and a password, and this login has an access key only; use 'hanshu login --user'")
	}
	token, err := server.Token(ctx)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(token)
		return nil
	}
	c.printf("%s\n", token.Token)
	return nil
}
