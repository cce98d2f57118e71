package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

// maxEvent is the largest event that a server takes, in bytes.
const maxEvent = 6 << 20

type invokeOptions struct {
	data    string
	version string
	memory  int
	async   bool
	gateway string
}

func newInvokeCommand(c *cli) *cobra.Command {
	var o invokeOptions
	cmd := &cobra.Command{
		Use:   "invoke NAME",
		Short: "call a function and wait for its answer, or have it called later",
		Long: `Invoke calls a function with an event and prints what it returns on standard output. How the call went and what the function
wrote to its log stand on standard error. NAME is a name, package:name, or a URN, with an alias behind it as in hello:!prod. With --async it waits only until the server has
the call on its disk, and prints the request id.` +
			exitHelp(exitOK, exitFunction, exitUsage, exitRefused, exitServer),
		Example: `  hanshu invoke hello
  hanshu invoke hello -d '{"name":"world"}'
  hanshu invoke hello -d @event.json
  hanshu invoke hello --async
  jq .order event.json | hanshu invoke hello -d @- | jq .total`,
		Args:              oneArg("NAME"),
		ValidArgsFunction: c.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return runInvoke(cmd.Context(), c, args[0], o) },
	}
	cmd.Flags().StringVarP(&o.data, "data", "d", "{}", "event as JSON; @FILE takes it from a file, @- from standard input")
	cmd.Flags().StringVar(&o.version, "version", "", "version of the function, or an alias as !NAME")
	cmd.Flags().IntVar(&o.memory, "memory", 0, "instance size for this call in MB, where the function allows it")
	cmd.Flags().StringVar(&o.gateway, "gateway", "", "serial number of the gateway that shall run it, or PRODUCT/SERIAL")
	cmd.Flags().BoolVar(&o.async, "async", false, "do not wait for the call; events of at most 256 KB")
	return cmd
}

func runInvoke(ctx context.Context, c *cli, name string, o invokeOptions) error {
	r, err := ref(name)
	if err != nil {
		return err
	}
	if o.version != "" {
		if r.Qualifier != "" {
			return usagef("the URN names a version already; leave out --version")
		}
		r.Qualifier = o.version
	}
	event, err := readEvent(c.in, o.data)
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	if o.async && o.gateway != "" {
		return usagef("--gateway waits for the answer; leave out --async")
	}
	if o.async {
		return c.invokeAsync(ctx, server, server.URN(r), event, o)
	}
	result, err := server.Invoke(ctx, server.URN(r), event, client.InvokeOptions{MemoryMB: o.memory, Gateway: client.GatewayRef(o.gateway)})
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(newInvocation(result))
	} else {
		c.showResult(result)
	}
	if result.Failure != nil {
		return errFailed
	}
	return nil
}

func (c *cli) invokeAsync(ctx context.Context, server *client.Client, urn string, event []byte, o invokeOptions) error {
	id, err := server.InvokeAsync(ctx, urn, event, client.InvokeOptions{MemoryMB: o.memory})
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(map[string]string{"request_id": id})
		return nil
	}
	c.printf("%s\n", id)
	c.notef("accepted; next: %s\n", c.self("queue", "ls", "--id", id))
	return nil
}

// readEvent reads one byte more than an event may have at most, so that the server refuses what is too large.
func readEvent(in io.Reader, data string) ([]byte, error) {
	file, named := strings.CutPrefix(data, "@")
	if !named {
		return []byte(data), nil
	}
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, usagef("%v", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	event, err := io.ReadAll(io.LimitReader(in, maxEvent+1))
	if err != nil {
		return nil, usagef("read the event: %v", err)
	}
	return event, nil
}

func (c *cli) showResult(r *client.InvokeResult) {
	for _, line := range logLines(r.Log, r.RequestID) {
		c.notef("%s\n", c.clean(line))
	}
	state := "ok"
	if f := r.Failure; f != nil {
		state = "failed"
		c.notef("%s\n", c.clean(oneLine(f.Error())))
		for _, line := range f.Stack {
			c.notef("  %s\n", c.clean(strings.TrimRight(line, "\n")))
		}
	}
	s := r.Summary
	start := "warm"
	if s.ColdStart {
		start = fmt.Sprintf("cold start, %s init", milliseconds(s.InitDuration))
	}
	c.notef("%s, status %d, %s, %s, %s, request %s\n",
		state, r.Status, milliseconds(s.Duration), start, memory(s.MemoryUsedMB, s.MemorySizeMB), c.clean(r.RequestID))
	if r.Failure == nil {
		c.printf("%s", r.Output)
		if !strings.HasSuffix(string(r.Output), "\n") {
			c.printf("\n")
		}
	}
}

// memory is what a call used of what it may. An instance that was ended could not tell.
func memory(used float64, limit int) string {
	if used == 0 {
		return fmt.Sprintf("? of %d MB", limit)
	}
	return fmt.Sprintf("%.1f of %d MB", used, limit)
}

func milliseconds(ms float64) string { return fmt.Sprintf("%.1f ms", ms) }

var frameLine = regexp.MustCompile(`^(Start|Finish) invoke request '`)

// logLines are the lines that the function wrote: without the server's frame around them, and without the request id, which
// is the same in all.
func logLines(log, id string) []string {
	var lines []string
	for line := range strings.Lines(log) {
		line = strings.TrimRight(line, "\n")
		if line == "" || frameLine.MatchString(line) {
			continue
		}
		lines = append(lines, strings.Replace(line, " "+id+" ", " ", 1))
	}
	return lines
}

// invocation is a call as --json shows it. Times are in milliseconds.
type invocation struct {
	RequestID  string                `json:"request_id"`
	Status     string                `json:"status"` // "ok" or "failed"
	HTTPStatus int                   `json:"http_status"`
	Result     json.RawMessage       `json:"result"`
	Error      *client.FunctionError `json:"function_error"`
	DurationMS float64               `json:"duration_ms"`
	InitMS     float64               `json:"init_ms"`
	QueuedMS   float64               `json:"queued_ms"`
	Cold       bool                  `json:"cold"`
	MemoryUsed float64               `json:"memory_used_mb"`
	Memory     int                   `json:"memory_mb"`
	Logs       []string              `json:"logs"`
}

func newInvocation(r *client.InvokeResult) invocation {
	s := r.Summary
	i := invocation{
		RequestID: r.RequestID, Status: "ok", HTTPStatus: r.Status, Result: r.Output, Error: r.Failure, DurationMS: s.Duration, InitMS: s.InitDuration,
		QueuedMS: s.QueueDuration, Cold: s.ColdStart, MemoryUsed: s.MemoryUsedMB, Memory: s.MemorySizeMB, Logs: logLines(r.Log, r.RequestID),
	}
	if r.Failure != nil {
		i.Status = "failed"
	}
	if !json.Valid(i.Result) {
		i.Result, _ = json.Marshal(string(r.Output)) // text can always be encoded
	}
	if r.Failure != nil {
		i.Result = nil
	}
	if i.Logs == nil {
		i.Logs = []string{}
	}
	return i
}
