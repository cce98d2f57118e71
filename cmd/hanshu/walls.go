package main

import (
	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newWallsCommand(c *cli) *cobra.Command {
	var set client.Walls
	var inherit bool
	cmd := &cobra.Command{
		Use:   "walls",
		Short: "see or set what the project's functions may reach, and how they are isolated",
		Long: `Walls shows how the functions of the project are kept apart, or sets it: for every function that has not chosen by itself
('hanshu deploy --egress', '--isolation'), and with --egress-fixed or --isolation-fixed for every function. A change holds from the next call on.

Egress is none, open (the public internet), or a list of host names and networks with ports. What is private, local to the server's host or
its cloud's metadata is reached only where the server was started with --egress-private.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu walls
  hanshu walls --egress open
  hanshu walls --egress api.example.com:443,*.internal.example.com --egress-fixed
  hanshu walls --isolation oci --isolation-fixed
  hanshu walls --inherit`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			was, err := server.ShowWalls(cmd.Context())
			if err != nil {
				return err
			}
			changed := cmd.Flags().Changed
			want := was.Set
			if inherit {
				want = client.Walls{}
			}
			if changed("egress") {
				want.Egress, want.EgressFixed = set.Egress, false
			}
			if changed("isolation") {
				want.Isolation, want.IsolationFixed = set.Isolation, false
			}
			if changed("egress-fixed") {
				want.EgressFixed = set.EgressFixed
			}
			if changed("isolation-fixed") {
				want.IsolationFixed = set.IsolationFixed
			}
			if want.EgressFixed && want.Egress == "" || want.IsolationFixed && want.Isolation == "" {
				return usagef("say what it is fixed to, with --egress or --isolation")
			}
			if want != was.Set {
				if was, err = server.SetWalls(cmd.Context(), want); err != nil {
					return err
				}
			}
			c.showWalls(was)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&set.Egress, "egress", "", "none, open, or a list such as api.example.com:443,10.1.0.0/16; \"\" for what the server has")
	f.BoolVar(&set.EgressFixed, "egress-fixed", false, "functions may not choose another")
	f.StringVar(&set.Isolation, "isolation", "", "native or oci; \"\" for what the server has")
	f.BoolVar(&set.IsolationFixed, "isolation-fixed", false, "functions may not choose another")
	f.BoolVar(&inherit, "inherit", false, "forget all that the project has set")
	return cmd
}

func (c *cli) showWalls(w *client.ProjectWalls) {
	if c.json {
		c.printJSON(w)
		return
	}
	line := func(name, set, holds string, fixed bool) {
		from, rule := "the project's", ""
		if set == "" {
			from = "the server's"
		}
		if fixed {
			rule = ", fixed"
		}
		if holds == "" {
			holds = "as the server was started"
		}
		c.printf("%-10s %s (%s%s)\n", name, c.clean(holds), from, rule)
	}
	line("egress", w.Set.Egress, w.Holds.Egress, w.Holds.EgressFixed)
	line("isolation", w.Set.Isolation, w.Holds.Isolation, w.Holds.IsolationFixed)
}
