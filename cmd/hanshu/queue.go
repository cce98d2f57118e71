package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newQueueCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "queue", Short: "see, redrive and call off asynchronous calls",
		Long: `Queue shows the asynchronous calls of the project and the deliveries of their records. What failed for good is kept with its
event, as dead letters, and can be driven again.` + exitHelp(exitOK, exitUsage),
		Example: `  hanshu queue ls
  hanshu queue redrive --dead`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newQueueListCommand(c), newRedriveCommand(c, "queue"), newCancelCommand(c, "queue"), newWebhookCommand(c))
	return cmd
}

func newQueueListCommand(c *cli) *cobra.Command {
	var o client.JobsOptions
	cmd := &cobra.Command{
		Use: "ls [NAME]", Aliases: []string{"list"}, Short: "list asynchronous calls, the youngest first",
		Long: `List shows the youngest asynchronous calls of the project, or of one function. With --json it prints an array, with the events
that are still kept.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu queue ls
  hanshu queue ls hello --state dead,expired
  hanshu queue ls --id 019... --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("ls takes at most one NAME, and was given %d", len(args))
			}
			if len(args) == 1 {
				r, err := wholeRef(args[0])
				if err != nil {
					return err
				}
				o.Package, o.Function = r.Package, r.Name
			}
			return runQueueList(cmd.Context(), c, o)
		},
	}
	cmd.Flags().StringVar(&o.State, "state", "", "only these of waiting, running, done, dead, expired, cancelled")
	cmd.Flags().StringVar(&o.ID, "id", "", "only the call of this request id")
	cmd.Flags().IntVar(&o.Limit, "limit", 50, "at most so many, up to 500")
	return cmd
}

func runQueueList(ctx context.Context, c *cli, o client.JobsOptions) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	jobs, err := server.Jobs(ctx, o)
	if err != nil {
		return err
	}
	if c.json {
		if jobs == nil {
			jobs = []client.Job{}
		}
		c.printJSON(jobs)
		return nil
	}
	if len(jobs) == 0 {
		c.notef("No such calls. Next: %s\n", c.self("invoke", "--async", "NAME"))
		return nil
	}
	rows := [][]string{{"REQUEST", "FUNCTION", "STATE", "ATTEMPTS", "ACCEPTED", "WHY"}}
	for _, j := range jobs {
		name := j.Function
		if j.Delivery != "" {
			name += " -> " + j.Delivery
		}
		rows = append(rows, []string{
			c.clean(j.ID), c.clean(name), j.State, fmt.Sprint(j.Attempts), j.Accepted.Local().Format(time.DateTime), c.clean(oneLine(shorten(j.Message))),
		})
	}
	c.table(rows)
	return nil
}

// shorten cuts a message to what fits behind the other columns.
func shorten(message string) string {
	const most = 80
	if runes := []rune(message); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return message
}

func newRedriveCommand(c *cli, under string) *cobra.Command {
	var dead bool
	cmd := &cobra.Command{
		Use: "redrive [REQUEST...]", Short: "let calls that failed begin anew",
		Long: `Redrive lets calls that are dead, expired or cancelled begin anew, with the event they had, as young as if they had just been
accepted. --dead takes the youngest 500 of the project that are dead or expired.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu " + under + " redrive 019aa4d5-7c21-7b1e-8a53-5f3b3c3d2e10\n  hanshu " + under + " redrive --dead",
		RunE: func(cmd *cobra.Command, args []string) error {
			if dead == (len(args) > 0) {
				return usagef("redrive needs request ids, or --dead")
			}
			return runRedrive(cmd.Context(), c, args)
		},
	}
	cmd.Flags().BoolVar(&dead, "dead", false, "all that failed")
	return cmd
}

func runRedrive(ctx context.Context, c *cli, ids []string) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		jobs, err := server.Jobs(ctx, client.JobsOptions{State: "dead,expired", Limit: 500})
		if err != nil {
			return err
		}
		for _, j := range jobs {
			ids = append(ids, j.ID)
		}
	}
	done := []string{}
	for _, id := range ids {
		if err := server.RedriveJob(ctx, id); err != nil {
			return err
		}
		done = append(done, id)
	}
	if c.json {
		c.printJSON(map[string][]string{"redriven": done})
		return nil
	}
	c.printf("redriven: %d\n", len(done))
	return nil
}

func newCancelCommand(c *cli, under string) *cobra.Command {
	var o client.CancelOptions
	cmd := &cobra.Command{
		Use: "cancel REQUEST", Short: "call an asynchronous call off",
		Long: `Cancel calls an asynchronous call off. One that waits never runs. One under way goes to its end and is not tried again, or with
--force is ended with its instance.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu " + under + " cancel 019aa4d5-7c21-7b1e-8a53-5f3b3c3d2e10 --force",
		Args:    oneArg("REQUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			if err := server.CancelJob(cmd.Context(), args[0], o); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"cancelled": args[0]})
				return nil
			}
			c.printf("cancelled %s\n", c.clean(args[0]))
			return nil
		},
	}
	cmd.Flags().BoolVar(&o.Force, "force", false, "end a call under way, with its instance")
	cmd.Flags().BoolVar(&o.Children, "children", false, "also the calls that its results have caused")
	return cmd
}

func newWebhookCommand(c *cli) *cobra.Command {
	var secretFile string
	cmd := &cobra.Command{
		Use: "webhook KIND URL", Short: "say where records for a topic or stream are posted",
		Long: `Webhook sets the address that stands in for the project's topics (SMN) or streams (DIS): the records of asynchronous calls whose
destination is one are posted there. KIND is topic or stream; an empty URL takes the address away.` +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu queue webhook topic https://alerts.example.com/hanshu
  hanshu queue webhook stream https://events.example.com/in --secret-file secret`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("webhook needs KIND and URL, and was given %d", len(args))
			}
			secret, err := readSecret(c.in, secretFile)
			if err != nil {
				return err
			}
			server, err := c.client()
			if err != nil {
				return err
			}
			if err := server.SetWebhook(cmd.Context(), args[0], args[1], secret); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"kind": args[0], "url": args[1]})
				return nil
			}
			c.printf("%s: %s\n", c.clean(args[0]), c.clean(args[1]))
			return nil
		},
	}
	cmd.Flags().StringVar(&secretFile, "secret-file", "", "file with the secret that signs each post, - for standard input")
	return cmd
}

// readSecret reads the first line of a file: an argument could be seen by everybody on the machine.
func readSecret(in io.Reader, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", usagef("%v", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return "", usagef("read the secret: %v", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r"), nil
}
