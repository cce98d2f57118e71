package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

// Runs asked for.
const (
	newestRuns = 20
	pageRuns   = 500     // the most that a server gives at a time
	mostRuns   = 100_000 // that are shown at all
)

// pollTime is how long a server may hold a request back until there is a run to tell of.
const pollTime = 30 * time.Second

type logsOptions struct {
	follow bool
	number int
}

func newLogsCommand(c *cli) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "show what a function wrote",
		Long: fmt.Sprintf(`Logs shows the newest %d calls of a function, or as many as -n says, oldest first: each line that it wrote with time, level and
request id, and a line on how the call ended. The server keeps them as its --record-age and --record-bytes say. NAME is a name,
package:name, or a URN.

With --json it prints an array of calls; with --follow as well, one call a line.`, newestRuns) +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu logs hello
  hanshu logs hello --follow
  hanshu logs hello -n 1000 --json`,
		Args:              oneArg("NAME"),
		ValidArgsFunction: c.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return runLogs(cmd.Context(), c, args[0], o) },
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "wait for further calls, until Ctrl-C")
	cmd.Flags().IntVarP(&o.number, "number", "n", newestRuns, "so many of the newest calls")
	return cmd
}

func runLogs(ctx context.Context, c *cli, name string, o logsOptions) error {
	if o.number < 0 || o.number > mostRuns {
		return usagef("-n must be 0 to %d", mostRuns)
	}
	r, err := wholeRef(name)
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	if _, err := server.ShowFunctionConfig(ctx, server.URN(r)); err != nil {
		return err // a function without calls is not one that does not exist
	}
	runs, last, err := newest(ctx, server, r, o.number)
	if err != nil {
		return err
	}
	if c.json && !o.follow {
		c.printJSON(runs)
		return nil
	}
	for _, run := range runs {
		c.showRun(run)
	}
	if !o.follow {
		return nil
	}
	return c.followRuns(ctx, server, r, last)
}

// newest gives the newest runs of a function, oldest first, and the Seq of the last one there is.
func newest(ctx context.Context, server *client.Client, r client.Ref, n int) (runs []client.Run, last int64, err error) {
	runs = []client.Run{}
	ask := client.LogsOptions{Limit: min(max(n, 1), pageRuns)}
	for {
		page, err := server.Logs(ctx, r, ask)
		if err != nil {
			return nil, 0, err
		}
		if k := len(page.Runs); last == 0 && k > 0 {
			last = page.Runs[k-1].Seq
		}
		runs = append(page.Runs, runs...)
		if page.Next == 0 || len(runs) >= n {
			return runs[max(0, len(runs)-n):], last, nil
		}
		ask.Before, ask.Limit = page.Next, min(n-len(runs), pageRuns)
	}
}

// followRuns shows what comes behind a run, until it is interrupted. A function without any run yet is followed from its first.
func (c *cli) followRuns(ctx context.Context, server *client.Client, r client.Ref, last int64) error {
	for {
		page, err := server.Logs(ctx, r, client.LogsOptions{After: max(last, 1), Limit: pageRuns, Wait: pollTime})
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil // Ctrl-C is how following ends
		}
		if err != nil {
			return err
		}
		for _, run := range page.Runs {
			c.showRun(run)
			last = run.Seq
		}
	}
}

const logTime = "2006-01-02T15:04:05.000Z"

func (c *cli) showRun(run client.Run) {
	if c.json {
		text, _ := json.Marshal(run) // plain values always encode
		c.printf("%s\n", text)
		return
	}
	for _, line := range run.Logs {
		c.logLine(line.Time, line.Level, run.ID, line.Text)
	}
	if run.Dropped > 0 {
		c.logLine(run.Begun, "END", run.ID, fmt.Sprintf("%s of log were over the limit of one call and are lost", size(run.Dropped)))
	}
	start := "warm"
	if run.Cold {
		start = fmt.Sprintf("cold start, %s init", milliseconds(run.InitMS))
	}
	text := fmt.Sprintf("%s, %s, %s, %s", run.Status, milliseconds(run.RunMS), start, memory(float64(run.MemoryPeak)/(1<<20), run.MemoryMB))
	if run.Message != "" {
		text += ": " + oneLine(run.Message)
	}
	level := "END"
	if run.Status != "ok" {
		level = "FAIL"
	}
	c.logLine(run.Begun.Add(time.Duration(run.TookMS*float64(time.Millisecond))), level, run.ID, text)
}

func (c *cli) logLine(at time.Time, level, id, text string) {
	word := fmt.Sprintf("%-5s", c.clean(level))
	switch level {
	case "ERROR", "FAIL":
		word = c.paint(red, word)
	case "WARN":
		word = c.paint(yellow, word)
	case "END":
		word = c.paint(green, word)
	}
	c.printf("%s %s %s %s\n", at.UTC().Format(logTime), word, c.clean(id), c.clean(text))
}
