package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newTerraformCommand(c *cli) *cobra.Command {
	var out string
	var adopt bool
	cmd := &cobra.Command{
		Use:   "tf",
		Short: "print Terraform for the project",
		Long: `Tf prints the functions of the project as resources of Huawei Cloud's provider, with their versions, aliases, reserved instances, tags,
triggers, test events, settings of asynchronous calls, and dependencies. With --out it writes main.tf into a folder, and the packages beside
it, in code/. Secrets become variables. With --adopt there are blocks that bring what exists on this server under Terraform instead of
making it anew: the first plan then changes nothing. Published versions stand there by name: made anew they have the code of latest. What
the provider cannot express is named in comments.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu tf
  hanshu tf --out infrastructure --adopt`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTerraform(cmd.Context(), c, out, adopt) },
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "folder to write to, in place of standard output")
	cmd.Flags().BoolVar(&adopt, "adopt", false, "add import blocks")
	return cmd
}

func runTerraform(ctx context.Context, c *cli, out string, adopt bool) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	file := hclwrite.NewEmptyFile()
	t := &terraform{body: file.Body(), names: map[string]bool{}, versions: map[string]string{}, functions: map[string]string{}, adopt: adopt}
	if err := writeProject(ctx, server, t); err != nil {
		return err
	}
	text := hclwrite.Format(file.Bytes())
	if out == "" {
		if c.json {
			c.printJSON(map[string]string{"main.tf": string(text)})
			return nil
		}
		c.printf("%s", text)
		return nil
	}
	if err := writeTerraform(ctx, server, t, out, text); err != nil {
		return err
	}
	if c.json {
		c.printJSON(map[string]any{"folder": out, "resources": len(t.names)})
		return nil
	}
	c.printf("wrote %s with %d resources\n", c.clean(filepath.Join(out, "main.tf")), len(t.names))
	return nil
}

// writeProject lays down dependencies, then functions, each with its triggers.
func writeProject(ctx context.Context, server *client.Client, t *terraform) error {
	for d, err := range server.ListDependencies(ctx) {
		if err != nil {
			return err
		}
		if d.Owner == "public" {
			continue // functions name it by its id
		}
		for v, err := range server.ListDependencyVersions(ctx, d.ID) {
			if err != nil {
				return err
			}
			t.dependency(v)
		}
	}
	found, err := server.ListAllTriggers(ctx)
	if err != nil {
		return err
	}
	triggers := map[string][]client.Trigger{} // by the URN of the function, without a version
	for _, one := range found {
		urn, _ := cutQualifier(one.URN)
		triggers[urn] = append(triggers[urn], one)
	}
	for listed, err := range server.ListFunctions(ctx, client.ListOptions{}) {
		if err != nil {
			return err
		}
		urn, _ := cutQualifier(listed.URN)
		if err := writeFunction(ctx, server, t, urn, triggers); err != nil {
			return err
		}
	}
	if err := writeAsync(ctx, server, t); err != nil {
		return err
	}
	flows, err := server.Workflows(ctx)
	if absent(err) {
		return nil
	}
	t.flows(flows)
	return err
}

// absent tells of an operation that an older server does not have, or of nothing there.
func absent(err error) bool {
	var refused *client.APIError
	return errors.As(err, &refused) && refused.Status == 404
}

// writeFunction lays down a function with what belongs to it.
func writeFunction(ctx context.Context, server *client.Client, t *terraform, urn string, triggers map[string][]client.Trigger) error {
	f := described{urn: urn}
	var err error
	if f.Function, err = server.ShowFunctionConfig(ctx, urn); err != nil {
		return err
	}
	if f.versions, err = server.ListVersions(ctx, urn); err != nil && !absent(err) {
		return err
	}
	if f.aliases, err = server.ListAliases(ctx, urn); err != nil && !absent(err) {
		return err
	}
	if f.reserved, err = server.ListReserved(ctx, urn); err != nil && !absent(err) {
		return err
	}
	if f.tags, err = server.Tags(ctx, urn); err != nil && !absent(err) {
		return err
	}
	label, err := t.function(&f)
	if err != nil {
		return err
	}
	for i := range triggers[urn] {
		if err := t.trigger(label, &triggers[urn][i]); err != nil {
			return err
		}
	}
	events, err := server.TestEvents(ctx, f.urn)
	if err != nil && !absent(err) {
		return err
	}
	for _, e := range events {
		t.event(label, f.latest(), e)
	}
	return nil
}

// writeAsync lays down what is set for the asynchronous calls of the functions, by URN.
func writeAsync(ctx context.Context, server *client.Client, t *terraform) error {
	for _, urn := range slices.Sorted(maps.Keys(t.functions)) {
		configs, err := server.AsyncConfigs(ctx, urn)
		if err != nil && !absent(err) {
			return err
		}
		for _, c := range configs {
			if err := t.async(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeTerraform writes main.tf and the packages that it names.
func writeTerraform(ctx context.Context, server *client.Client, t *terraform, out string, text []byte) error {
	if err := os.MkdirAll(filepath.Join(out, "code"), 0o755); err != nil {
		return usagef("%v", err)
	}
	for _, p := range t.packages {
		code, err := server.FunctionCode(ctx, p.urn)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, filepath.FromSlash(p.file)), code, 0o600); err != nil {
			return usagef("%v", err)
		}
	}
	if err := os.WriteFile(filepath.Join(out, "main.tf"), text, 0o644); err != nil {
		return usagef("%v", err)
	}
	return nil
}
