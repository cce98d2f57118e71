package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newFlowShowCommand(c *cli) *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use: "show NAME [RUN]", Short: "show a definition, or what happened in a run",
		Long: `Show prints the definition of a workflow, or of one run what each attempt at each state returned, and which state waits for what since
when. Long values are cut short unless --full.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu flow show order\n  hanshu flow show order 019aa4d5-7c21-7b1e-8a53-5f3b3c3d2e10",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 1:
				return runFlowDefinition(cmd.Context(), c, args[0])
			case 2:
				return runFlowShow(cmd.Context(), c, args[0], args[1], full)
			}
			return usagef("show needs NAME, and RUN for a run, and was given %d", len(args))
		},
	}
	cmd.Flags().BoolVar(&full, "full", false, "print values whole")
	return cmd
}

func runFlowDefinition(ctx context.Context, c *cli, name string) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	f, err := server.Workflow(ctx, name)
	if err != nil {
		return err
	}
	c.printJSON(f.Definition)
	return nil
}

func runFlowShow(ctx context.Context, c *cli, name, id string, full bool) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	run, err := server.FlowRun(ctx, name, id, full)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(run)
		return nil
	}
	cut := func(text json.RawMessage) string {
		if full {
			return c.clean(oneLine(string(text)))
		}
		return c.clean(oneLine(shorten(string(text))))
	}
	c.printf("run     %s\nstatus  %s\nbegan   %s\n", c.clean(run.ID), c.flowStatus(run.Status), run.BeginTime)
	if run.EndTime != "" {
		c.printf("ended   %s\n", run.EndTime)
	}
	c.printf("input   %s\n", cut(run.Input))
	if run.Output != nil {
		c.printf("output  %s\n", cut(run.Output))
	}
	if run.Fault != nil {
		c.printf("fault   %s\n", cut(run.Fault))
	}
	if len(run.Nodes) > 0 {
		c.printf("\n")
		c.flowAttempts(run, cut)
	}
	c.flowWaits(run)
	return nil
}

func (c *cli) flowStatus(status string) string {
	switch status {
	case "success":
		return c.paint(green, status)
	case "running":
		return c.paint(yellow, status)
	}
	return c.paint(red, status)
}

// flowAttempts lists what each attempt returned.
func (c *cli) flowAttempts(run *client.FlowRun, cut func(json.RawMessage) string) {
	rows := [][]string{{"STATE", "TYPE", "ATTEMPT", "STATUS", "TOOK", "RETURNED"}}
	for _, n := range run.Nodes {
		for i, a := range n.Attempts {
			took, returned := "", cut(a.Output)
			if a.EndTime > 0 {
				took = fmt.Sprintf("%d ms", a.EndTime-a.BeginTime)
			}
			if a.Fault != nil {
				returned = cut(a.Fault)
			}
			rows = append(rows, []string{c.clean(n.ID), n.Type, fmt.Sprint(i + 1), a.Status, took, returned})
		}
	}
	c.table(rows)
}

// flowWaits lists what a run waits for, and since when.
func (c *cli) flowWaits(run *client.FlowRun) {
	if len(run.Waits) == 0 {
		return
	}
	c.printf("\n")
	rows := [][]string{{"WAITS", "FOR", "SINCE", "UNTIL"}}
	for _, w := range run.Waits {
		until := ""
		if w.Until > 0 {
			until = time.UnixMilli(w.Until).Local().Format(time.DateTime)
		}
		who := c.clean(w.Node)
		if who == "" {
			who = "(the run)"
		}
		what := w.What
		if w.Detail != "" {
			what += " " + c.clean(w.Detail)
		}
		since := time.UnixMilli(w.Since)
		rows = append(rows, []string{who, what, fmt.Sprintf("%s (%s)", since.Local().Format(time.DateTime), time.Since(since).Round(time.Second)), until})
	}
	c.table(rows)
}

func newFlowGraphCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "graph NAME [RUN]", Short: "draw a workflow, or a run of it",
		Long: `Graph draws the states of a workflow and where each leads. With RUN each state shows how it stands: + done, * under way, ! failed,
and how often it was tried.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: "  hanshu flow graph order",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usagef("graph needs NAME, and RUN for a run, and was given %d", len(args))
			}
			return runFlowGraph(cmd.Context(), c, args)
		},
	}
}

// flowStates is what of a definition is drawn.
type flowStates struct {
	Start  string      `json:"start"`
	Name   string      `json:"name"`
	States []flowState `json:"states"`
}

type flowState struct {
	ID         string                        `json:"id"`
	Type       string                        `json:"type"`
	Transition string                        `json:"transition"`
	OnErrors   []struct{ Transition string } `json:"on_errors"`
	Conditions []struct {
		Condition  string `json:"condition"`
		Transition string `json:"transition"`
	} `json:"data_conditions"`
	Default *struct {
		Transition string `json:"transition"`
	} `json:"default_condition"`
	Branches []flowStates `json:"branches"`
	flowBody
}

// flowBody is what a foreach does with each item.
type flowBody struct {
	Start  string      `json:"start"`
	States []flowState `json:"states"`
}

func runFlowGraph(ctx context.Context, c *cli, args []string) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	f, err := server.Workflow(ctx, args[0])
	if err != nil {
		return err
	}
	var whole flowStates
	if err := json.Unmarshal(f.Definition, &whole); err != nil {
		return fmt.Errorf("the definition is not what it should be: %w", err)
	}
	marks := map[string]*flowMark{}
	var run *client.FlowRun
	if len(args) == 2 {
		if run, err = server.FlowRun(ctx, args[0], args[1], false); err != nil {
			return err
		}
		marks = flowMarks(run)
	}
	if c.json {
		c.printJSON(map[string]any{"definition": f.Definition, "run": run})
		return nil
	}
	c.printf("%s\n", c.clean(f.Name))
	c.drawFlow(whole.Start, whole.States, marks, run != nil, "")
	return nil
}

// flowMark is how the visits of a state stand: of all items, inside a foreach.
type flowMark struct{ done, running, failed, attempts int }

func flowMarks(run *client.FlowRun) map[string]*flowMark {
	marks := map[string]*flowMark{}
	for _, n := range run.Nodes {
		id := n.ID[strings.LastIndexByte(n.ID, '/')+1:]
		m := marks[id]
		if m == nil {
			m = &flowMark{}
			marks[id] = m
		}
		m.attempts += len(n.Attempts)
		switch n.Attempts[len(n.Attempts)-1].Status {
		case "success":
			m.done++
		case "running":
			m.running++
		default:
			m.failed++
		}
	}
	return marks
}

// drawFlow draws states from the first on, each once, those inside others further in.
func (c *cli) drawFlow(start string, states []flowState, marks map[string]*flowMark, run bool, indent string) {
	byID := map[string]*flowState{}
	for i := range states {
		byID[states[i].ID] = &states[i]
	}
	drawn, next := map[string]bool{}, []string{start}
	for len(next) > 0 {
		id := next[0]
		next = next[1:]
		s := byID[id]
		if s == nil || drawn[id] {
			continue
		}
		drawn[id] = true
		leads := s.leads()
		c.printf("%s%s %s  %s%s%s\n", indent, c.flowMark(marks[id], run), c.clean(s.ID), s.Type, c.clean(leadsTo(leads)), tries(marks[id]))
		for _, b := range s.Branches {
			c.printf("%s  |-- %s\n", indent, c.clean(b.Name))
			c.drawFlow(b.Start, b.States, marks, run, indent+"  |     ")
		}
		if len(s.States) > 0 {
			c.printf("%s  |-- for each item\n", indent)
			c.drawFlow(s.Start, s.States, marks, run, indent+"  |     ")
		}
		var more []string
		for _, l := range leads {
			more = append(more, l.to)
		}
		next = append(more, next...)
	}
}

type flowLead struct{ to, why string }

func (s *flowState) leads() []flowLead {
	var all []flowLead
	if s.Transition != "" {
		all = append(all, flowLead{s.Transition, ""})
	}
	for _, x := range s.Conditions {
		all = append(all, flowLead{x.Transition, x.Condition})
	}
	if s.Default != nil {
		all = append(all, flowLead{s.Default.Transition, "else"})
	}
	for _, e := range s.OnErrors {
		if e.Transition != "" {
			all = append(all, flowLead{e.Transition, "on error"})
		}
	}
	return all
}

func leadsTo(leads []flowLead) string {
	var parts []string
	for _, l := range leads {
		to := l.to
		if to == "" {
			to = "end"
		}
		if l.why != "" {
			to += " (" + l.why + ")"
		}
		parts = append(parts, to)
	}
	if len(parts) == 0 {
		return "  -> end"
	}
	return "  -> " + strings.Join(parts, ", ")
}

func (c *cli) flowMark(m *flowMark, run bool) string {
	switch {
	case !run:
		return "o"
	case m == nil:
		return "."
	case m.failed > 0:
		return c.paint(red, "!")
	case m.running > 0:
		return c.paint(yellow, "*")
	}
	return c.paint(green, "+")
}

func tries(m *flowMark) string {
	switch {
	case m == nil:
		return ""
	case m.done+m.running+m.failed > 1:
		return fmt.Sprintf("  %d of %d items done", m.done, m.done+m.running+m.failed)
	case m.attempts > 1:
		return fmt.Sprintf("  %d attempts", m.attempts)
	}
	return ""
}
