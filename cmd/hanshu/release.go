package main

import (
	"cmp"
	"context"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

const releaseHelp = `A release is a version of hanshu-edge that the server keeps for its gateways. A gateway that shall use one fetches it, runs it on trial, and
goes back to the version before when it does not come up or does not reach the server; 'hanshu gateway show' tells.`

func newGatewayRelease(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "release", Short: "have gateways run another version of their agent", Long: releaseHelp, Args: noArgs}
	cmd.AddCommand(newReleaseAdd(c), newReleaseList(c), newReleaseUse(c), newReleaseRemove(c), newReleaseRetry(c))
	return cmd
}

func newReleaseAdd(c *cli) *cobra.Command {
	var version string
	files := map[string]*string{"amd64": new(string), "arm64": new(string)}
	cmd := &cobra.Command{
		Use: "add", Short: "give the server a release",
		Long:    "Add sends hanshu-edge for one processor or several. VERSION is what 'hanshu-edge version' prints: a gateway refuses a program that says another." + gatewayHelp(),
		Example: `  hanshu gateway release add --version v1.2.0 --amd64 bin/hanshu-edge-amd64 --arm64 bin/hanshu-edge-arm64`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runReleaseAdd(cmd.Context(), c, version, files)
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "what the program prints for 'hanshu-edge version'")
	for arch, file := range files {
		cmd.Flags().StringVar(file, arch, "", "the program for "+arch)
	}
	return cmd
}

func runReleaseAdd(ctx context.Context, c *cli, version string, files map[string]*string) error {
	if version == "" {
		return usagef("add needs --version")
	}
	programs := map[string][]byte{}
	for arch, file := range files {
		if *file == "" {
			continue
		}
		data, err := os.ReadFile(*file)
		if err != nil {
			return usagef("%v", err)
		}
		programs[arch] = data
	}
	if len(programs) == 0 {
		return usagef("add needs --amd64, --arm64 or both")
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	r, err := server.AddRelease(ctx, version, programs)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(r)
		return nil
	}
	c.notef("added release %s; next: %s\n", r.Version, c.self("gateway", "release", "use", r.Version))
	return nil
}

func newReleaseList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "list releases and who shall use them", Long: "Ls lists the releases of the project, the youngest first." + gatewayHelp(), Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			list, err := server.Releases(cmd.Context())
			if err != nil {
				return err
			}
			c.showReleases(list)
			return nil
		},
	}
}

func (c *cli) showReleases(list []client.Release) {
	if c.json {
		c.printJSON(list)
		return
	}
	if len(list) == 0 {
		c.notef("No releases yet. Next: %s\n", c.self("gateway", "release", "add", "--version", "V", "--amd64", "FILE"))
		return
	}
	rows := [][]string{{"VERSION", "PROCESSORS", "USED BY", "ADDED"}}
	for _, r := range list {
		var archs, users []string
		for _, p := range r.Programs {
			archs = append(archs, p.Arch)
		}
		for _, u := range r.UsedBy {
			users = append(users, c.clean(userOf(u)))
		}
		rows = append(rows, []string{c.clean(r.Version), strings.Join(archs, " "), cmp.Or(strings.Join(users, " "), "-"), ago(&r.CreatedAt)})
	}
	c.table(rows)
}

// userOf names who uses a release.
func userOf(u client.ReleaseUse) string {
	switch {
	case u.Gateway != "":
		return u.Product + "/" + u.Gateway
	case u.Product != "":
		return u.Product
	}
	return "all"
}

func newReleaseUse(c *cli) *cobra.Command {
	var product, gateway string
	cmd := &cobra.Command{
		Use: "use VERSION", Short: "have gateways run a release",
		Long: `Use has the gateways of the project run a release, or those of a product, or one gateway; the narrower goes first. VERSION 'none' takes back
what was said of the same gateways: they keep the agent that they run, unless a wider place names another.` + gatewayHelp(),
		Example: `  hanshu gateway release use v1.2.0 --gateway pump-17`,
		Args:    oneArg("VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if product != "" && gateway != "" {
				return usagef("use takes --product or --gateway, not both; a gateway can be named PRODUCT/SERIAL")
			}
			version := args[0]
			if version == "" {
				return usagef("use needs a VERSION, or 'none'")
			}
			if version == "none" {
				version = ""
			}
			server, err := c.client()
			if err != nil {
				return err
			}
			u, err := server.UseRelease(cmd.Context(), version, product, client.GatewayRef(gateway))
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(u)
				return nil
			}
			c.notef("%s: %s\n", c.clean(userOf(*u)), cmp.Or(c.clean(u.Version), "none"))
			return nil
		},
	}
	cmd.Flags().StringVar(&product, "product", "", "the gateways of this product")
	cmd.Flags().StringVar(&gateway, "gateway", "", "this gateway alone")
	return cmd
}

func newReleaseRemove(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "rm VERSION", Aliases: []string{"remove"}, Short: "remove a release", Args: oneArg("VERSION"),
		Long: "Rm removes a release that nobody shall run; take it back with 'use' first. Gateways that run it go on with it." + gatewayHelp(),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			if err := server.RemoveRelease(cmd.Context(), args[0]); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"version": args[0], "done": "removed"})
				return nil
			}
			c.notef("removed release %s\n", c.clean(args[0]))
			return nil
		},
	}
}

func newReleaseRetry(c *cli) *cobra.Command {
	return c.oneGateway("retry", "have a gateway try once more a release that it gave up",
		"Retry is for a release that was reverted or refused on a gateway for a reason that is gone; otherwise it is not tried again. The gateway must be online.",
		func(ctx context.Context, server *client.Client, g client.GatewayRef) error {
			if err := server.RetryRelease(ctx, g); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"gateway": string(g), "done": "retried"})
				return nil
			}
			c.notef("%s tries its release once more; next: %s\n", c.clean(string(g)), c.self("gateway", "show", string(g)))
			return nil
		})
}

// showWantedRelease tells the agent that a gateway shall run.
func (c *cli) showWantedRelease(r *client.GatewayRelease) {
	if r == nil {
		return
	}
	text := r.State
	if r.Message != "" {
		text += ": " + r.Message
	}
	c.printf("wanted agent %s, %s\n", c.clean(r.Version), c.clean(text))
}
