package main

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newKeyCommand(c *cli) *cobra.Command {
	var user string
	cmd := noun("key", "list, make, rotate and delete access keys", `Key keeps the access keys that requests are signed with. A user has two at most: one to work with, and one to change to. Without --user
it is about the keys of this login.`,
		"  hanshu key ls\n  hanshu key create --user ci --out ci.json\n  hanshu key rotate 4EXAMPLEKEY --grace 1h --out ci.json")
	ls := list(c, "the keys of a user", []string{"KEY", "STATE", "CREATED", "EXPIRES", "DESCRIPTION"},
		func(ctx context.Context, server *client.Client) ([]client.AccessKey, error) {
			return server.AccessKeys(ctx, user)
		},
		func(k client.AccessKey) []string {
			state := "enabled"
			if k.Disabled {
				state = "disabled"
			}
			return []string{k.AccessKey, state, dateOf(k.CreatedAt), cmp.Or(dateOf(k.ExpiresAt), "never"), k.Description}
		})
	ls.Flags().StringVar(&user, "user", "", "name of another user")
	cmd.AddCommand(ls, newKeyCreateCommand(c), newKeyRotateCommand(c),
		c.verb("disable KEY", "switch a key off", "Disable switches a key off, from the next request on.", "hanshu key disable 4EXAMPLEKEY", 1,
			func(ctx context.Context, server *client.Client, args []string) (string, error) {
				return "disabled " + args[0], server.SetAccessKeyDisabled(ctx, args[0], true)
			}),
		c.verb("enable KEY", "switch a key on again", "Enable switches a key on again that was disabled.", "hanshu key enable 4EXAMPLEKEY", 1,
			func(ctx context.Context, server *client.Client, args []string) (string, error) {
				return "enabled " + args[0], server.SetAccessKeyDisabled(ctx, args[0], false)
			}),
		c.verb("delete KEY", "delete a key", "Delete removes a key, from the next request on.", "hanshu key delete 4EXAMPLEKEY", 1,
			func(ctx context.Context, server *client.Client, args []string) (string, error) {
				return "deleted key " + args[0], server.DeleteAccessKey(ctx, args[0])
			}))
	return cmd
}

func dateOf(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.Local().Format(time.DateTime)
}

func newKeyCreateCommand(c *cli) *cobra.Command {
	var user, description, out string
	cmd := &cobra.Command{
		Use: "create", Short: "make a key", Args: noArgs,
		Long: `Create makes an access key and shows its secret, once. With --out both are written, with the address of the server, to a file that
--admin-file and 'hanshu login' take, for its owner only.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu key create --user ci --out ci.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			k, err := server.CreateAccessKey(cmd.Context(), user, description)
			if err != nil {
				return err
			}
			return c.showKey(server, k, out)
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "name of another user")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.Flags().StringVar(&out, "out", "", "file to write the key to, instead of showing it")
	return cmd
}

func newKeyRotateCommand(c *cli) *cobra.Command {
	var out string
	var grace time.Duration
	cmd := &cobra.Command{
		Use: "rotate KEY", Short: "make a key in the place of another", Args: oneArg("KEY"),
		Long: `Rotate makes an access key for the user of another one, which goes on for a while, so that programs can be changed over without
being refused. The old one then ends by itself.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu key rotate 4EXAMPLEKEY --grace 1h --out ci.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			k, err := server.RotateAccessKey(cmd.Context(), args[0], grace)
			if err != nil {
				return err
			}
			if k.Replaces != nil {
				c.notef("%s ends %s\n", c.clean(k.Replaces.AccessKey), dateOf(k.Replaces.ExpiresAt))
			}
			return c.showKey(server, k, out)
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", 24*time.Hour, "how long the old key goes on")
	cmd.Flags().StringVar(&out, "out", "", "file to write the key to, instead of showing it")
	return cmd
}

// showKey prints a key with its secret, or writes both to a file.
func (c *cli) showKey(server *client.Client, k client.AccessKey, out string) error {
	if out != "" {
		cfg := server.Config()
		found := client.Credentials{Endpoint: cfg.Endpoint, Region: cfg.Region, ProjectID: cfg.ProjectID, AccessKey: k.AccessKey, SecretKey: k.SecretKey}
		if err := save(out, found); err != nil {
			return err
		}
		k.SecretKey = ""
	}
	switch {
	case c.json:
		c.printJSON(k)
	case out != "":
		c.printf("%s written to %s\n", c.clean(k.AccessKey), out)
	default:
		c.printf("access key  %s\nsecret key  %s\n", c.clean(k.AccessKey), c.clean(k.SecretKey))
		c.notef("The secret key is shown this once.\n")
	}
	return nil
}
