package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

const dependencyHelp = `Dependencies are packages that functions share. Their files are laid over those of a function, in the order in which the function
names them: packages of Python at the top of the zip, node_modules, jars at the top or in lib. Each version stays as it is; a function
names versions: by 'hanshu deploy --dependency NAME', by "dependencies" in hanshu.json, or by their ids in depend_version_list.`

func newDependencyCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "dependency", Short: "keep packages that functions share", Long: dependencyHelp}
	cmd.AddCommand(newDependencyAddCommand(c), newDependencyListCommand(c), newDependencyRemoveCommand(c), newDependencyPublicCommand(c))
	return cmd
}

func newDependencyAddCommand(c *cli) *cobra.Command {
	in := client.CreateDependencyRequest{Type: "zip"}
	cmd := &cobra.Command{
		Use:   "add NAME PATH",
		Short: "add a version of a dependency",
		Long: "Add sends a folder, zipped, or a zip as the next version of the dependency, which it makes where there is none of that name." +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  pip install --target libs requests && hanshu dependency add requests libs --runtime Python3.12`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("dependency add takes NAME PATH")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			return runDependencyAdd(cmd.Context(), c, args[1], in)
		},
	}
	cmd.Flags().StringVar(&in.Runtime, "runtime", "", "what it is made for, such as Python3.12")
	cmd.Flags().StringVar(&in.Description, "description", "", "what it is, for people")
	return cmd
}

func runDependencyAdd(ctx context.Context, c *cli, path string, in client.CreateDependencyRequest) error {
	if in.Runtime == "" {
		return usagef("say what it is made for: --runtime Python3.12 or the like")
	}
	info, err := os.Stat(path)
	if err != nil {
		return usagef("%v", err)
	}
	m := newMeter(c, "packing", -1)
	defer m.end()
	var packed *bundle
	if info.IsDir() {
		packed, err = packFolder(path, ignore{}, m.add)
	} else {
		packed, err = openZip(path)
	}
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	in.File = packed.zip
	d, err := server.CreateDependencyVersion(ctx, in)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(d)
		return nil
	}
	c.printf("added version %d of %s, %s\n  %-9s %s\n", d.Version, c.clean(d.Name), size(d.Size), "id", d.ID)
	return nil
}

func newDependencyListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "ls [NAME]",
		Short: "list the dependencies, or the versions of one",
		Long:  "Ls shows what the functions of the project may use: its own dependencies and public ones, or all versions of one." + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("dependency ls takes one NAME at most")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runDependencyList(cmd.Context(), c, args) },
	}
}

func runDependencyList(ctx context.Context, c *cli, args []string) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	list := []*client.Dependency{}
	found := server.ListDependencies(ctx)
	if len(args) == 1 {
		d, err := findDependency(ctx, server, args[0])
		if err != nil {
			return err
		}
		found = server.ListDependencyVersions(ctx, d.ID)
	}
	for d, err := range found {
		if err != nil {
			return err
		}
		list = append(list, d)
	}
	if c.json {
		c.printJSON(list)
		return nil
	}
	if len(list) == 0 {
		c.notef("No dependencies yet. Next: %s\n", c.self("dependency", "add", "--help"))
		return nil
	}
	rows := [][]string{{"NAME", "VERSION", "ID", "RUNTIME", "SIZE", "WHOSE"}}
	for _, d := range list {
		whose := "own"
		if d.Owner == "public" {
			whose = "public"
		}
		rows = append(rows, []string{c.clean(d.Name), fmt.Sprint(d.Version), d.ID, c.clean(d.Runtime), size(d.Size), whose})
	}
	c.table(rows)
	return nil
}

// findDependency finds one by its name or id.
func findDependency(ctx context.Context, server *client.Client, name string) (*client.Dependency, error) {
	for d, err := range server.ListDependencies(ctx) {
		if err != nil {
			return nil, err
		}
		if d.Name == name || d.ID == name {
			return d, nil
		}
	}
	return nil, usagef("no dependency is called %.60q; 'hanshu dependency ls' lists them", name)
}

// dependencyIDs finds the versions that names mean, NAME or NAME:VERSION; nil for nil.
func dependencyIDs(ctx context.Context, server *client.Client, names []string) ([]string, error) {
	if names == nil {
		return nil, nil
	}
	ids := []string{}
	for _, text := range names {
		name, number, err := versionName(text)
		if err != nil {
			return nil, err
		}
		d, err := findDependency(ctx, server, name)
		if err != nil {
			return nil, err
		}
		id := ""
		for v, err := range server.ListDependencyVersions(ctx, d.ID) {
			if err != nil {
				return nil, err
			}
			if number == 0 || v.Version == number {
				id = v.ID // for 0 the last is the newest
			}
		}
		if id == "" {
			return nil, usagef("dependency %.60q has no version %d; 'hanshu dependency ls %s' lists them", name, number, name)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// versionName reads NAME or NAME:VERSION; the version is 0 where there is none.
func versionName(text string) (name string, version int64, err error) {
	name, number, versioned := strings.Cut(text, ":")
	if versioned {
		version, err = strconv.ParseInt(number, 10, 64)
	}
	if err != nil || version < 0 || versioned && version == 0 {
		return "", 0, usagef("%.60q names no version: these are numbers from 1", text)
	}
	return name, version, nil
}

func newDependencyRemoveCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME[:VERSION]",
		Short: "remove a dependency, or a version of it",
		Long:  "Rm removes a dependency with all its versions, or one version. What a function uses is refused." + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Args:  oneArg("NAME[:VERSION]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, version, err := versionName(args[0])
			if err != nil {
				return err
			}
			server, err := c.client()
			if err != nil {
				return err
			}
			d, err := findDependency(cmd.Context(), server, name)
			if err != nil {
				return err
			}
			if err := server.DeleteDependency(cmd.Context(), d.ID, version); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"deleted": args[0]})
				return nil
			}
			c.printf("deleted %s\n", c.clean(args[0]))
			return nil
		},
	}
}

func newDependencyPublicCommand(c *cli) *cobra.Command {
	var private bool
	cmd := &cobra.Command{
		Use:   "public NAME",
		Short: "let all projects use a dependency",
		Long: "Public lets the functions of every project use a dependency of this one; with --private those of this one alone. Functions that use it already go on." +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Args: oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			d, err := findDependency(cmd.Context(), server, args[0])
			if err != nil {
				return err
			}
			if err := server.SetDependencyPublic(cmd.Context(), d.ID, !private); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]any{"name": d.Name, "public": !private})
				return nil
			}
			words := map[bool]string{true: "for its own project", false: "for all projects"}
			c.printf("%s is %s\n", c.clean(d.Name), words[private])
			return nil
		},
	}
	cmd.Flags().BoolVar(&private, "private", false, "for its own project again")
	return cmd
}
