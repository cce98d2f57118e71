package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

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
		Long: `Tf prints the functions of the project with their aliases, triggers and dependencies as resources of Huawei Cloud's provider
(huaweicloud_fgs_function, huaweicloud_fgs_function_trigger, huaweicloud_fgs_dependency_version). With --out it writes main.tf into a
folder, and the packages beside it, in code/. Secrets become variables. With --adopt there are blocks that bring what exists on this
server under Terraform instead of making it anew.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
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
	t := &terraform{body: file.Body(), names: map[string]bool{}, versions: map[string]string{}, adopt: adopt}
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
	for listed, err := range server.ListFunctions(ctx, client.ListOptions{}) {
		if err != nil {
			return err
		}
		urn := server.URN(client.Ref{Package: listed.Package, Name: listed.Name})
		f, err := server.ShowFunctionConfig(ctx, urn)
		if err != nil {
			return err
		}
		aliases, err := server.ListAliases(ctx, urn)
		var refused *client.APIError
		if errors.As(err, &refused) && refused.Status == 404 {
			err = nil // a server without aliases
		}
		if err != nil {
			return err
		}
		label, err := t.function(urn, f, aliases)
		if err != nil {
			return err
		}
		triggers, err := server.ListTriggers(ctx, urn)
		if err != nil {
			return err
		}
		for i := range triggers {
			if err := t.trigger(urn, label, &triggers[i]); err != nil {
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
