package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

// verb makes a command below a noun that takes a fixed number of words, and answers in one line.
func (c *cli) verb(use, short, long, example string, words int, run func(ctx context.Context, server *client.Client, args []string) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long + exitHelp(exitOK, exitUsage, exitRefused, exitServer), Example: "  " + example,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != words {
				return usagef("%s needs %d words behind it, and was given %d: %s", cmd.Name(), words, len(args), use)
			}
			server, err := c.client()
			if err != nil {
				return err
			}
			done, err := run(cmd.Context(), server, args)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"done": done})
				return nil
			}
			c.printf("%s\n", c.clean(done))
			return nil
		},
	}
}

// noun makes a command that only has others below it.
func noun(use, short, long, example string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long + exitHelp(exitOK, exitUsage), Example: example, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// list makes a command that shows rows, or the values themselves as JSON.
func list[T any](c *cli, what string, heads []string, get func(ctx context.Context, server *client.Client) ([]T, error), row func(T) []string) *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "list " + what, Args: noArgs,
		Long: "List shows " + what + ". With --json it prints an array." + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			all, err := get(cmd.Context(), server)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(append([]T{}, all...))
				return nil
			}
			rows := [][]string{heads}
			for _, one := range all {
				cells := row(one)
				for i := range cells {
					cells[i] = c.clean(cells[i])
				}
				rows = append(rows, cells)
			}
			c.table(rows)
			return nil
		},
	}
}

func newProjectCommand(c *cli) *cobra.Command {
	cmd := noun("project", "list, make and delete projects", `Project keeps functions apart: each project has its own functions, and who may work in it is decided by roles ('hanshu user').`,
		"  hanshu project ls\n  hanshu project create staging\n  hanshu login --admin-file data/admin.json --project staging")
	ls := list(c, "the projects in which this identity has a role", []string{"NAME", "ID"},
		func(ctx context.Context, server *client.Client) ([]client.Project, error) {
			return server.Projects(ctx)
		},
		func(p client.Project) []string { return []string{p.Name, p.ID} })
	create := c.verb("create NAME", "make a project", "Create makes an empty project in which administrators may work at once.", "hanshu project create staging", 1,
		func(ctx context.Context, server *client.Client, args []string) (string, error) {
			p, err := server.CreateProject(ctx, args[0])
			return "project " + p.Name + ", id " + p.ID, err
		})
	remove := c.verb("delete NAME", "delete a project without functions", "Delete removes a project that has no functions, with the roles in it.", "hanshu project delete staging", 1,
		func(ctx context.Context, server *client.Client, args []string) (string, error) {
			id, err := projectID(ctx, server, args[0])
			if err == nil {
				err = server.DeleteProject(ctx, id)
			}
			return "deleted project " + args[0], err
		})
	cmd.AddCommand(ls, create, remove)
	return cmd
}

// projectID finds a project by name or id.
func projectID(ctx context.Context, server *client.Client, name string) (string, error) {
	all, err := server.Projects(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range all {
		if p.ID == name || p.Name == name {
			return p.ID, nil
		}
	}
	return "", usagef("there is no project %q here; see 'hanshu project ls'", name)
}

// rolesText writes roles in one cell: those everywhere first.
func rolesText(roles []client.RoleIn) string {
	var all []string
	for _, r := range roles {
		if r.ProjectID == "" {
			all = slices.Insert(all, 0, r.Role+" everywhere")
		} else {
			all = append(all, r.Role+" in "+r.ProjectID)
		}
	}
	return strings.Join(all, ", ")
}

// place is where a role holds: the flags of the commands that give roles.
type place struct {
	project    string
	everywhere bool
}

func (p *place) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.project, "project", "", "name or id of the project, instead of the one of the login")
	cmd.Flags().BoolVar(&p.everywhere, "everywhere", false, "in all projects, and for what is in none")
}

// id gives the project's id, "" for everywhere.
func (p *place) id(ctx context.Context, server *client.Client) (string, error) {
	switch {
	case p.everywhere && p.project != "":
		return "", usagef("--everywhere and --project exclude each other")
	case p.everywhere:
		return "", nil
	case p.project != "":
		return projectID(ctx, server, p.project)
	}
	return server.Config().ProjectID, nil
}

// newRoleCommand is `user role` and `agency role`.
func newRoleCommand(c *cli, under string) *cobra.Command {
	var at place
	cmd := c.verb("role NAME ROLE", "give a role, or take it away", `Role gives the role admin, developer, invoker or viewer in the project of the login, in another one (--project) or in all of
them (--everywhere), in place of the one there. The role none takes it away. It holds from the next request on.
  admin      everything, also who may do what, and the audit log
  developer  see, change and call functions
  invoker    call functions
  viewer     see functions, calls and logs`, "hanshu "+under+" role ada developer", 2,
		func(ctx context.Context, server *client.Client, args []string) (string, error) {
			project, err := at.id(ctx, server)
			if err != nil {
				return "", err
			}
			role := args[1]
			if role == "none" {
				role = ""
			}
			return args[0] + ": " + args[1], server.SetRole(ctx, args[0], project, role)
		})
	at.flags(cmd)
	return cmd
}

func newUserCommand(c *cli) *cobra.Command {
	cmd := noun("user", "list, make, change and delete users", `User keeps the people and programs that may use the server. What each may do is told by roles; a new user has none.`,
		"  hanshu user create ada --role developer --password-file password\n  hanshu user create ci --role invoker && hanshu key create --user ci --out ci.json\n  hanshu user disable ada")
	ls := list(c, "the users", []string{"NAME", "ID", "STATE", "ROLES"},
		func(ctx context.Context, server *client.Client) ([]client.User, error) { return server.Users(ctx) },
		func(u client.User) []string {
			state := "enabled"
			if u.Disabled {
				state = "disabled"
			}
			return []string{u.Name, u.ID, state, rolesText(u.Roles)}
		})
	cmd.AddCommand(ls, newUserCreateCommand(c), newPasswordCommand(c), newRoleCommand(c, "user"),
		c.verb("disable NAME", "shut a user out", "Disable shuts a user out: password, tokens and keys prove nothing from the next request on.", "hanshu user disable ada", 1,
			func(ctx context.Context, server *client.Client, args []string) (string, error) {
				return "disabled " + args[0], server.SetUserDisabled(ctx, args[0], true)
			}),
		c.verb("enable NAME", "let a user in again", "Enable lets a user in again who was disabled.", "hanshu user enable ada", 1,
			func(ctx context.Context, server *client.Client, args []string) (string, error) {
				return "enabled " + args[0], server.SetUserDisabled(ctx, args[0], false)
			}),
		c.verb("delete NAME", "delete a user", "Delete removes a user with keys and roles. Functions stay.", "hanshu user delete ada", 1,
			func(ctx context.Context, server *client.Client, args []string) (string, error) {
				return "deleted user " + args[0], server.DeleteUser(ctx, args[0])
			}))
	return cmd
}

func newUserCreateCommand(c *cli) *cobra.Command {
	var role, passwordFile string
	var at place
	cmd := c.verb("create NAME", "make a user", `Create makes a user. Without --password-file the user has no password and works with access keys ('hanshu key create').`,
		"hanshu user create ada --role developer --password-file -", 1,
		func(ctx context.Context, server *client.Client, args []string) (string, error) {
			if !slices.Contains([]string{"", "admin", "developer", "invoker", "viewer"}, role) { // before the user is there
				return "", usagef("%.40q is no role; take admin, developer, invoker or viewer", role)
			}
			project, err := at.id(ctx, server)
			if err != nil {
				return "", err
			}
			password, err := readSecret(c.in, passwordFile)
			if err != nil {
				return "", err
			}
			u, err := server.CreateUser(ctx, args[0], password)
			if err == nil && role != "" {
				err = server.SetRole(ctx, u.ID, project, role)
			}
			return "user " + u.Name + ", id " + u.ID, err
		})
	cmd.Flags().StringVar(&role, "role", "", "admin, developer, invoker or viewer; none where it is left out")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "file with the password in its first line, - for standard input")
	at.flags(cmd)
	return cmd
}

func newPasswordCommand(c *cli) *cobra.Command {
	var fresh, old string
	cmd := &cobra.Command{
		Use: "password [NAME]", Short: "change a password", Long: `Password replaces the password of a user, as an administrator; or without NAME one's own, for which the old one is needed.
Tokens that were got with the old one end; keys do not.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu user password ada --password-file new\n  hanshu user password --old-password-file old --password-file new",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || fresh == "" || (len(args) == 0) != (old != "") {
				return usagef("password needs --password-file, and either a NAME or --old-password-file")
			}
			password, err := readSecret(c.in, fresh)
			if err != nil {
				return err
			}
			before, err := readSecret(c.in, old)
			if err != nil {
				return err
			}
			server, err := c.client()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				err = server.SetPassword(cmd.Context(), args[0], password)
			} else {
				err = server.ChangePassword(cmd.Context(), before, password)
			}
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"done": "changed"})
				return nil
			}
			c.printf("changed\n")
			return nil
		},
	}
	cmd.Flags().StringVar(&fresh, "password-file", "", "file with the new password in its first line, - for standard input")
	cmd.Flags().StringVar(&old, "old-password-file", "", "file with the old one")
	return cmd
}

func newAgencyCommand(c *cli) *cobra.Command {
	var description string
	cmd := noun("agency", "list, make and delete what functions act as", `Agency keeps identities for functions. One that names an agency as its xrole (or app_xrole) finds temporary credentials for this server
in its context, with which it may do what the agency's roles allow: developer at most, and in its own project.`,
		"  hanshu agency create reader && hanshu agency role reader viewer")
	ls := list(c, "the agencies", []string{"NAME", "ID", "ROLES", "DESCRIPTION"},
		func(ctx context.Context, server *client.Client) ([]client.Agency, error) { return server.Agencies(ctx) },
		func(a client.Agency) []string { return []string{a.Name, a.ID, rolesText(a.Roles), a.Description} })
	create := c.verb("create NAME", "make an agency", "Create makes an agency without any role.", "hanshu agency create reader", 1,
		func(ctx context.Context, server *client.Client, args []string) (string, error) {
			a, err := server.CreateAgency(ctx, args[0], description)
			return "agency " + a.Name + ", id " + a.ID, err
		})
	create.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.AddCommand(ls, create, newRoleCommand(c, "agency"),
		c.verb("delete NAME", "delete an agency", "Delete removes an agency. The credentials of functions that act as it end at once.", "hanshu agency delete reader", 1,
			func(ctx context.Context, server *client.Client, args []string) (string, error) {
				return "deleted agency " + args[0], server.DeleteAgency(ctx, args[0])
			}))
	return cmd
}
