package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newFlowCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "flow", Short: "make, run and look into workflows",
		Long: `Flow works with workflows: state machines over functions. What their definitions hold stands in docs/WORKFLOWS.md.` + exitHelp(exitOK, exitUsage),
		Example: `  hanshu flow create order.json
  hanshu flow run order -d '{"id":7}'
  hanshu flow show order RUN`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFlowCreateCommand(c), newFlowRunCommand(c), newFlowListCommand(c), newFlowShowCommand(c), newFlowGraphCommand(c),
		newFlowActCommand(c, "stop", "call a run off", "stopped", (*client.Client).StopFlow,
			"Stop calls a run off: calls under way are ended with their instances, and runs that it waits for are called off too."),
		newFlowActCommand(c, "retry", "let a run that ended badly go on", "retried", (*client.Client).RetryFlow,
			"Retry lets a run that failed, took too long or was called off go on from the state in which it ended."),
		newFlowAnswerCommand(c), newFlowDeleteCommand(c))
	return cmd
}

func newFlowCreateCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "create FILE", Short: "make a workflow, or replace its definition",
		Long: `Create reads a definition from FILE, or from standard input where it is -, and makes the workflow that it names. Where there is one of
the name, its definition is replaced; runs under way keep to the one that they began with.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu flow create order.json",
		Args:    oneArg("FILE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return runFlowCreate(cmd.Context(), c, args[0]) },
	}
}

// maxDefinition is what the server takes, in bytes.
const maxDefinition = 1 << 20

func runFlowCreate(ctx context.Context, c *cli, name string) error {
	text, err := readDefinition(c.in, name)
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	var named struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(text, &named); err != nil {
		return usagef("%s is not JSON: %v", name, err)
	}
	did := "created"
	made, err := server.CreateWorkflow(ctx, text)
	var refused *client.APIError
	if errors.As(err, &refused) && refused.Code == "FGS.3003" {
		did = "updated"
		made, err = server.UpdateWorkflow(ctx, named.Name, text)
	}
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(made)
		return nil
	}
	c.printf("%s %s\n", did, c.clean(made.URN))
	c.notef("next: %s\n", c.self("flow", "run", made.Name, "-d", "{}"))
	return nil
}

func readDefinition(in io.Reader, name string) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usagef("%v", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxDefinition+1))
	if err != nil {
		return nil, usagef("read the definition: %v", err)
	}
	if len(text) > maxDefinition {
		return nil, usagef("the definition has more than %d bytes", maxDefinition)
	}
	return text, nil
}

func newFlowRunCommand(c *cli) *cobra.Command {
	var data, id string
	var wait bool
	cmd := &cobra.Command{
		Use: "run NAME", Short: "start a run of a workflow",
		Long: `Run starts a run and prints its id. With --wait it waits for the end, prints the output, and fails where the run does. A second start
with the same --id is the first one, accepted again.` + exitHelp(exitOK, exitUsage, exitFunction, exitRefused, exitServer),
		Example: `  hanshu flow run order -d '{"id":7}' --wait`,
		Args:    oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !json.Valid([]byte(data)) {
				return usagef("-d must be JSON")
			}
			return runFlowRun(cmd.Context(), c, args[0], id, data, wait)
		},
	}
	cmd.Flags().StringVarP(&data, "data", "d", "{}", "the input, JSON")
	cmd.Flags().StringVar(&id, "id", "", "of the run")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end")
	return cmd
}

const flowLook = 200 * time.Millisecond // between two looks at a run that is waited for

func runFlowRun(ctx context.Context, c *cli, name, id, data string, wait bool) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	id, err = server.StartFlow(ctx, name, id, []byte(data))
	if err != nil {
		return err
	}
	if !wait {
		if c.json {
			c.printJSON(map[string]string{"execution_id": id})
			return nil
		}
		c.printf("%s\n", c.clean(id))
		c.notef("started; next: %s\n", c.self("flow", "show", name, id))
		return nil
	}
	for {
		run, err := server.FlowRun(ctx, name, id, true)
		if err != nil {
			return err
		}
		if run.Status != "running" {
			return flowEnd(c, run)
		}
		if err := pauseFor(ctx, flowLook); err != nil {
			return err
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flowEnd prints how a run ended.
func flowEnd(c *cli, run *client.FlowRun) error {
	switch {
	case c.json:
		c.printJSON(run)
	case run.Status == "success":
		c.printf("%s\n", c.clean(string(run.Output)))
	}
	if run.Status != "success" {
		if !c.json {
			c.notef("hanshu: the run %s ended as %s: %s\n", c.clean(run.ID), run.Status, c.clean(oneLine(string(run.Fault))))
		}
		return errFailed
	}
	return nil
}

func newFlowListCommand(c *cli) *cobra.Command {
	var status string
	var limit int
	cmd := &cobra.Command{
		Use: "ls [NAME]", Aliases: []string{"list"}, Short: "list workflows, or the runs of one",
		Long:    `List shows the workflows of the project, or the runs of one in the last three days, the youngest first.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu flow ls\n  hanshu flow ls order --status running",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return runFlowList(cmd.Context(), c)
			case 1:
				return runFlowRuns(cmd.Context(), c, args[0], status, limit)
			}
			return usagef("ls takes at most one NAME, and was given %d", len(args))
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only runs that are running, success, fail, timeout or cancel")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many runs, up to 500")
	return cmd
}

func runFlowList(ctx context.Context, c *cli) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	flows, err := server.Workflows(ctx)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(append([]client.Workflow{}, flows...))
		return nil
	}
	if len(flows) == 0 {
		c.notef("No workflows. Next: %s\n", c.self("flow", "create", "FILE"))
		return nil
	}
	rows := [][]string{{"NAME", "MODE", "UPDATED", "DESCRIPTION"}}
	for _, f := range flows {
		rows = append(rows, []string{c.clean(f.Name), f.Mode, f.UpdatedTime, c.clean(oneLine(shorten(f.Description)))})
	}
	c.table(rows)
	return nil
}

func runFlowRuns(ctx context.Context, c *cli, name, status string, limit int) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	runs, err := server.FlowRuns(ctx, name, status, limit)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(append([]client.FlowRun{}, runs...))
		return nil
	}
	if len(runs) == 0 {
		c.notef("No such runs. Next: %s\n", c.self("flow", "run", name, "-d", "{}"))
		return nil
	}
	rows := [][]string{{"RUN", "STATUS", "BEGAN", "ENDED", "BY"}}
	for _, r := range runs {
		rows = append(rows, []string{c.clean(r.ID), r.Status, r.BeginTime, r.EndTime, c.clean(r.CreatedBy)})
	}
	c.table(rows)
	return nil
}

func newFlowActCommand(c *cli, name, short, did string, act func(*client.Client, context.Context, string, string) error, long string) *cobra.Command {
	return &cobra.Command{
		Use: name + " NAME RUN", Short: short, Long: long + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu flow " + name + " order 019aa4d5-7c21-7b1e-8a53-5f3b3c3d2e10",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s needs NAME and RUN, and was given %d", name, len(args))
			}
			server, err := c.client()
			if err != nil {
				return err
			}
			if err := act(server, cmd.Context(), args[0], args[1]); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{did: args[1]})
				return nil
			}
			c.printf("%s %s\n", did, c.clean(args[1]))
			return nil
		},
	}
}

func newFlowAnswerCommand(c *cli) *cobra.Command {
	var data, fault string
	cmd := &cobra.Command{
		Use: "answer NAME RUN STATE", Short: "end what a callback state waits for",
		Long: `Answer ends what a state of the type callback waits for, such as somebody's approval. STATE is what show calls it.` +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu flow answer order 019aa4d5-7c21-7b1e-8a53-5f3b3c3d2e10 approve -d '{\"by\":\"ada\"}'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 3 {
				return usagef("answer needs NAME, RUN and STATE, and was given %d", len(args))
			}
			if !json.Valid([]byte(data)) {
				return usagef("-d must be JSON")
			}
			server, err := c.client()
			if err != nil {
				return err
			}
			if err := server.AnswerFlow(cmd.Context(), args[0], args[1], args[2], []byte(data), fault); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"answered": args[1]})
				return nil
			}
			c.printf("answered %s\n", c.clean(args[1]))
			return nil
		},
	}
	cmd.Flags().StringVarP(&data, "data", "d", "{}", "the output of the state, JSON")
	cmd.Flags().StringVar(&fault, "fail", "", "let the state fail, with this as the error")
	return cmd
}

func newFlowDeleteCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Aliases: []string{"delete"}, Short: "delete a workflow with its runs",
		Long:    "Rm deletes a workflow and all that is known of its runs. Runs under way are called off." + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu flow rm order",
		Args:    oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			f, err := server.Workflow(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := server.DeleteWorkflow(cmd.Context(), f.URN); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"deleted": f.URN})
				return nil
			}
			c.printf("deleted %s\n", c.clean(f.URN))
			return nil
		},
	}
}
