package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `hanshu runs cloud functions on your own machines.

Start a server with 'hanshu serve'. The other commands speak to a server and to no other address. Which one, and as whom,
is taken from the first of these that is there:

  1. the file named by --admin-file
  2. the file named by the variable HANSHU_ADMIN_FILE
  3. what 'hanshu login' saved: $XDG_CONFIG_HOME/hanshu/login.json
  4. data/admin.json in the current folder, where only its owner may read it ('make run' leaves it there)
  5. admin.json in the server's default data directory (HANSHU_DATA_DIR, /var/lib/hanshu for root, else
     $XDG_DATA_HOME/hanshu)

--endpoint speaks to another address with the same identity.`

// newRootCommand ties the commands together.
func newRootCommand(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use: "hanshu", Short: "run cloud functions on your own machines", Long: rootHelp, Version: version,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { c.started = true },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		_, below, _ := strings.Cut(cmd.CommandPath()+" ", " ")
		return usagef("%s; see '%s %s--help'", oneLine(err.Error()), c.name, below)
	})
	flags := root.PersistentFlags()
	flags.StringVar(&c.adminFile, "admin-file", "", "file with the server's address and an identity, such as DIR/admin.json")
	flags.StringVar(&c.endpoint, "endpoint", "", "address of the server, instead of the one in the file")
	flags.BoolVar(&c.json, "json", false, "print JSON on standard output, and nothing else")
	root.AddGroup(
		&cobra.Group{ID: "functions", Title: "Functions:"},
		&cobra.Group{ID: "server", Title: "Server:"},
		&cobra.Group{ID: "people", Title: "Who may do what:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			root.AddCommand(command)
		}
	}
	add("functions", newNewCommand(c), newDeployCommand(c), newInvokeCommand(c), newListCommand(c), newShowCommand(c),
		newLogsCommand(c), newRunsCommand(c), newQueueCommand(c), newDeleteCommand(c), newTriggerCommand(c), newAliasCommand(c),
		newDependencyCommand(c), newExportCommand(c), newImportCommand(c), newTerraformCommand(c), newWallsCommand(c), newGatewayCommand(c), newFlowCommand(c))
	add("server", newServeCommand(c), newLoginCommand(c), newLogoutCommand(c), newTokenCommand(c), newRuntimesCommand(c), newDoctorCommand(c))
	add("people", newProjectCommand(c), newUserCommand(c), newKeyCommand(c), newAgencyCommand(c), newAuditCommand(c))
	add("", newVersionCommand(c), newExitCodesTopic())
	refuseUnknownTopics(root)
	return root
}

// refuseUnknownTopics makes help on what does not exist a mistake, as every other one. Of itself cobra's help ends well.
func refuseUnknownTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	help.Args = func(_ *cobra.Command, args []string) error {
		_, _, err := root.Find(args)
		return err
	}
}

// noArgs wants none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, and was given %.60q", cmd.Name(), args[0])
	}
	return nil
}

// oneArg wants exactly one argument, and says which.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%s needs one %s, and was given %d", cmd.Name(), what, len(args))
		}
		return nil
	}
}

// newExitCodesTopic is the page `hanshu help exit-codes`.
func newExitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("Every command ends with one of these codes:\n\n")
	for _, e := range exits() {
		fmt.Fprintf(&b, "  %3d  %s\n", e.code, e.meaning)
	}
	b.WriteString("\nWith --json an error is printed on standard output as {\"error\":{\"code\",\"message\",\"status\",\"request_id\"}}.")
	return &cobra.Command{Use: "exit-codes", Short: "what the exit codes mean", Long: b.String()}
}
