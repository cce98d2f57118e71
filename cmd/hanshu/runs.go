package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newRunsCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "runs", Short: "see calls of functions, and run them again",
		Long: `Runs shows the calls of the project, whatever made them: those that wait or run asynchronously, and the records of those that have
ended, which the server keeps as its --record-age and --record-bytes say.` + exitHelp(exitOK, exitUsage),
		Example: `  hanshu runs ls
  hanshu runs ls hello --status failed --since 1h
  hanshu runs replay 019aa4d5-7c21-7b1e-8a53-5f3b3c3d2e10`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRunsListCommand(c), newRunsShowCommand(c), newCancelCommand(c, "runs"), newRedriveCommand(c, "runs"), newReplayCommand(c))
	return cmd
}

type runsOptions struct {
	client.RunsOptions
	since  time.Duration
	number int
}

func newRunsListCommand(c *cli) *cobra.Command {
	var o runsOptions
	cmd := &cobra.Command{
		Use: "ls [NAME]", Aliases: []string{"list"}, Short: "list calls, the newest first",
		Long: `List shows the newest calls of the project, or of one function. Asynchronous calls that wait or run stand above those that have
ended, unless a filter is set. With --json it prints an array.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu runs ls
  hanshu runs ls hello --status failed -n 100
  hanshu runs ls --source timer --since 24h --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("ls takes at most one NAME, and was given %d", len(args))
			}
			if len(args) == 1 {
				r, err := ref(args[0])
				if err != nil {
					return err
				}
				if o.Package, o.Function = r.Package, r.Name; r.Qualifier != "" {
					o.Version = r.Qualifier
				}
			}
			if o.number < 1 || o.number > mostRuns {
				return usagef("-n must be 1 to %d", mostRuns)
			}
			return runRunsList(cmd.Context(), c, o)
		},
	}
	flags := cmd.Flags()
	flags.IntVarP(&o.number, "number", "n", 50, "so many of the newest calls")
	flags.StringVar(&o.Status, "status", "", "only those that went well (ok), that failed (failed), or that failed with this code, such as timeout")
	flags.StringVar(&o.Source, "source", "", "only those from there: api, timer, replay, ...")
	flags.StringVar(&o.Version, "version", "", "only those of this version, or through the alias !NAME")
	flags.DurationVar(&o.since, "since", 0, "only those that ended within this time")
	return cmd
}

func runRunsList(ctx context.Context, c *cli, o runsOptions) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	runs := []client.Run{}
	if o.Status == "" && o.Source == "" && o.Version == "" && o.since == 0 {
		jobs, err := server.Jobs(ctx, client.JobsOptions{Package: o.Package, Function: o.Function, State: "waiting,running", Limit: min(o.number, pageRuns)})
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if j.Delivery == "" {
				runs = append(runs, activeRun(j))
			}
		}
	}
	if o.since > 0 {
		o.From = time.Now().Add(-o.since)
	}
	for len(runs) < o.number {
		o.Limit = min(o.number-len(runs), pageRuns)
		page, err := server.Runs(ctx, o.RunsOptions)
		if err != nil {
			return err
		}
		runs = append(runs, page.Runs...)
		if o.Before = page.Next; page.Next == 0 {
			break
		}
	}
	if c.json {
		c.printJSON(runs)
		return nil
	}
	if len(runs) == 0 {
		c.notef("No such calls. Next: %s\n", c.self("invoke", "NAME"))
		return nil
	}
	rows := [][]string{{"REQUEST", "FUNCTION", "VERSION", "SOURCE", "STATUS", "BEGUN", "RUN", "WHY"}}
	for _, r := range runs {
		rows = append(rows, []string{
			c.clean(r.ID), c.clean(r.Function), c.clean(r.Version), c.clean(r.Source), r.Status, r.Begun.Local().Format(time.DateTime),
			milliseconds(r.RunMS), c.clean(oneLine(shorten(r.Message))),
		})
	}
	c.table(rows)
	return nil
}

// activeRun shows a call that has not ended as a run whose status is waiting or running.
func activeRun(j client.Job) client.Run {
	r := client.Run{
		Seq: j.Seq, ID: j.ID, Package: j.Package, Function: j.Function, Version: j.Version, Alias: j.Alias, Source: j.Source, Parent: j.Parent,
		Attempt: j.Attempts, Accepted: j.Accepted, Begun: j.Accepted, Status: j.State, Message: j.Message, Stack: []string{}, Logs: []client.LogLine{},
		Event: j.Event,
	}
	if j.Began != nil {
		r.Begun = *j.Began
	}
	return r
}

func newRunsShowCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "show REQUEST", Short: "show all of one call",
		Long: `Show prints what is known of one call, each attempt at it, with its event and its log.` +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu runs show 019aa4d5-7c21-7b1e-8a53-5f3b3c3d2e10`,
		Args:    oneArg("REQUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			runs, err := showRuns(cmd.Context(), server, args[0])
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(runs)
				return nil
			}
			for _, run := range runs {
				c.describeRun(run)
			}
			return nil
		},
	}
}

// showRuns gives the attempts at a call, and where it stands while it has not ended.
func showRuns(ctx context.Context, server *client.Client, id string) ([]client.Run, error) {
	runs, err := server.Run(ctx, id)
	var refused *client.APIError
	if err != nil && (!errors.As(err, &refused) || refused.Status != 404) {
		return nil, err
	}
	jobs, jerr := server.Jobs(ctx, client.JobsOptions{ID: id})
	if jerr != nil {
		return nil, jerr
	}
	for _, j := range jobs {
		if j.State == "waiting" || j.State == "running" || len(runs) == 0 {
			runs = append(runs, activeRun(j))
		}
	}
	if len(runs) == 0 {
		return nil, err
	}
	return runs, nil
}

func (c *cli) describeRun(r client.Run) {
	say := func(name, format string, args ...any) {
		c.printf("%-11s%s\n", name, c.clean(fmt.Sprintf(format, args...)))
	}
	say("request", "%s", r.ID)
	say("function", "%s:%s, version %s", r.Package, r.Function, r.Version)
	source := r.Source
	if r.Parent != "" {
		source += ", of " + r.Parent
	}
	say("source", "%s", source)
	say("status", "%s", r.Status)
	if r.Message != "" {
		say("", "%s", oneLine(r.Message))
	}
	say("attempt", "%d", r.Attempt)
	say("begun", "%s", r.Begun.UTC().Format(logTime))
	say("times", "%s in all: %s waiting, %s init, %s run", milliseconds(r.TookMS), milliseconds(r.QueuedMS), milliseconds(r.InitMS), milliseconds(r.RunMS))
	say("memory", "%s", memory(float64(r.MemoryPeak)/(1<<20), r.MemoryMB))
	say("result", "%s", size(r.ResultSize))
	if r.Event != nil {
		say("event", "%s", *r.Event)
	} else {
		say("event", "%s, not kept", size(r.EventSize))
	}
	for _, line := range r.Stack {
		say("", "%s", line)
	}
	for _, line := range r.Logs {
		c.logLine(line.Time, line.Level, r.ID, line.Text)
	}
	c.printf("\n")
}

func newReplayCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "replay REQUEST", Short: "run a call again, with the version and the event that it had",
		Long: `Replay runs a recorded call again under a new request id, waits for it and prints what it returns. It needs the event, which the
server keeps up to its --record-events. Code that was changed in the meantime runs as it is now, and that is said.` +
			exitHelp(exitOK, exitFunction, exitUsage, exitRefused, exitServer),
		Example: `  hanshu runs replay 019aa4d5-7c21-7b1e-8a53-5f3b3c3d2e10`,
		Args:    oneArg("REQUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			again, err := server.Replay(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c.showReplayed(again)
			if again.Status != "ok" {
				return errFailed
			}
			return nil
		},
	}
}

func (c *cli) showReplayed(r client.Replayed) {
	if c.json {
		c.printJSON(r)
		return
	}
	if r.Status == "ok" {
		c.printf("%s\n", c.clean(r.Output))
	}
	if r.CodeChanged {
		c.notef("the code has changed since that call\n")
	}
	c.notef("%s, request %s", r.Status, c.clean(r.ID))
	if r.Status != "ok" {
		c.notef(": %s", c.clean(oneLine(r.Output)))
	}
	c.notef("\n")
}
