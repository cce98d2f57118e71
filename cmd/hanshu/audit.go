package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newAuditCommand(c *cli) *cobra.Command {
	var o client.AuditOptions
	var follow bool
	cmd := &cobra.Command{
		Use: "audit", Short: "who did what", Args: noArgs,
		Long: `Audit shows who changed what, when and from where, and what was refused: the youngest entries, the oldest of them first. Calls of functions
are no part of it ('hanshu runs'). It is for administrators; those of one project see it with --project-only.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu audit\n  hanshu audit -f\n  hanshu audit --actor ada --refused --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runAudit(cmd.Context(), c, o, follow) },
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on showing what is added")
	cmd.Flags().StringVar(&o.Actor, "actor", "", "only of this user or agency")
	cmd.Flags().StringVar(&o.Operation, "operation", "", "only this operation, such as DeleteFunction")
	cmd.Flags().BoolVar(&o.Refused, "refused", false, "only what was refused or failed")
	cmd.Flags().BoolVar(&o.ProjectOnly, "project-only", false, "only what concerns the project of the login")
	cmd.Flags().IntVarP(&o.Limit, "limit", "n", 50, "at most so many, up to 500")
	return cmd
}

func runAudit(ctx context.Context, c *cli, o client.AuditOptions, follow bool) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	page, err := server.Audit(ctx, o)
	if err != nil {
		return err
	}
	slices.Reverse(page.Entries)
	if c.json && !follow {
		c.printJSON(append([]client.AuditEntry{}, page.Entries...))
		return nil
	}
	o.After, o.Wait = "0", pollTime // before every entry there is
	for {
		for _, e := range page.Entries {
			c.showAudit(e)
			o.After = e.ID
		}
		if !follow {
			return nil
		}
		if page, err = server.Audit(ctx, o); errors.Is(ctx.Err(), context.Canceled) {
			return nil // Ctrl-C is how following ends
		}
		if err != nil {
			return err
		}
	}
}

func (c *cli) showAudit(e client.AuditEntry) {
	if c.json {
		text, _ := json.Marshal(e) // plain values always encode
		c.printf("%s\n", text)
		return
	}
	outcome := fmt.Sprint(e.Status)
	if e.Status >= 400 {
		outcome = c.paint(red, fmt.Sprintf("%d %s", e.Status, e.Code))
	}
	who := cmp.Or(e.Actor, "-")
	if e.For != "" {
		who += " for " + e.For
	}
	c.printf("%s %s %s from %s %s: %s\n", e.At.UTC().Format(logTime), c.clean(who), c.clean(e.Operation), c.clean(e.Source), c.clean(e.Resource), outcome)
	if e.Skipped > 0 {
		c.printf("%s (%d more refusals of strangers before it)\n", e.At.UTC().Format(logTime), e.Skipped)
	}
}
