package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

const triggerHelp = `Triggers call a function when something happens elsewhere. What each type wants set:

  TIMER            name, schedule_type (Rate, Cron), schedule; user_event
  APIG             name, path, auth (NONE, APP, IAM); req_method, match_mode (NORMAL, SWA), sl_domain, func_info
  KAFKA            topic_ids, kafka_connect_address; kafka_user, kafka_password, batch_size
  RABBITMQ         connect_address, access_user, access_password, exchange_name or queue_name
  OBS              bucket, events; prefix, suffix. Let the bucket post to the address that is printed
  SMN              topic_urn. Let the topic post to the address that is printed
  MQTT, IOTDA      broker_url, topic; qos, user, password`

func newTriggerCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "trigger", Short: "call functions by timers, HTTP routes and messages", Long: triggerHelp}
	cmd.AddCommand(newTriggerAddCommand(c), newTriggerListCommand(c),
		newTriggerStatusCommand(c, "enable", client.TriggerActive), newTriggerStatusCommand(c, "disable", client.TriggerDisabled), newTriggerRemoveCommand(c))
	return cmd
}

func newTriggerAddCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME TYPE FIELD=VALUE...",
		Short: "make a trigger of a function",
		Long: `Add makes a trigger and switches it on. NAME is a function's name, package:name, or a URN, with a version or alias if need be. A
value is a text; true, false, a number, a list or an object is written as JSON. 'hanshu help trigger' lists the types and their fields.` +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu trigger add hello TIMER name=tick schedule_type=Rate schedule=3m
  hanshu trigger add hello TIMER name=night schedule_type=Cron schedule='CRON_TZ=Europe/Berlin 0 30 2 * * *'
  hanshu trigger add hello APIG name=web path=/hello auth=NONE
  hanshu trigger add hello KAFKA topic_ids='["orders"]' kafka_connect_address=10.0.0.1:9092`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("trigger add takes NAME TYPE FIELD=VALUE...; see '%s trigger add --help'", c.name)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runTriggerAdd(cmd.Context(), c, args) },
	}
}

func runTriggerAdd(ctx context.Context, c *cli, args []string) error {
	r, err := ref(args[0])
	if err != nil {
		return err
	}
	data, err := triggerData(args[2:])
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	t, err := server.CreateTrigger(ctx, server.URN(r), strings.ToUpper(args[1]), data)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(t)
		return nil
	}
	c.printf("%s trigger %s is active\n", t.Type, t.ID)
	code, _ := t.Data["app_code"].(string)
	for _, shown := range []struct{ text, label string }{{t.InvokeURL, "URL"}, {code, "X-Apig-AppCode"}} {
		if shown.text != "" {
			c.printf("  %-15s %s\n", shown.label, c.clean(shown.text))
		}
	}
	return nil
}

// triggerData reads FIELD=VALUE. A value that is JSON but no text is taken as such.
func triggerData(pairs []string) (map[string]any, error) {
	data := map[string]any{}
	for _, pair := range pairs {
		field, text, ok := strings.Cut(pair, "=")
		if !ok || field == "" {
			return nil, usagef("%.60q is not FIELD=VALUE", pair)
		}
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			value = text
		}
		data[field] = value
	}
	return data, nil
}

func newTriggerListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "ls [NAME]",
		Short: "list the triggers of a function, or all",
		Long:  "Ls shows the triggers of a function, or without NAME those of the project." + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("trigger ls takes one NAME at most")
			}
			return nil
		},
		ValidArgsFunction: c.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return runTriggerList(cmd.Context(), c, args) },
	}
}

func runTriggerList(ctx context.Context, c *cli, args []string) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	list, err := triggersOf(ctx, server, args)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(list)
		return nil
	}
	if len(list) == 0 {
		c.notef("No triggers yet. Next: %s\n", c.self("trigger", "add", "--help"))
		return nil
	}
	rows := [][]string{{"ID", "FUNCTION", "TYPE", "STATUS", "WHAT"}}
	for _, t := range list {
		what := triggerSummary(t)
		if t.LastError != "" {
			what = "not listening: " + t.LastError + " (" + what + ")"
		}
		rows = append(rows, []string{t.ID, c.clean(shortURN(t.URN)), t.Type, t.Status, c.clean(oneLine(what))})
	}
	c.table(rows)
	return nil
}

// triggersOf lists those of a function, or all of the project.
func triggersOf(ctx context.Context, server *client.Client, args []string) ([]client.Trigger, error) {
	if len(args) == 0 {
		list, err := server.ListAllTriggers(ctx)
		if list == nil {
			list = []client.Trigger{}
		}
		return list, err
	}
	r, err := ref(args[0])
	if err != nil {
		return nil, err
	}
	list, err := server.ListTriggers(ctx, server.URN(r))
	for i := range list {
		list[i].URN = server.URN(r)
	}
	return list, err
}

// shortURN leaves out what is the same for all functions.
func shortURN(urn string) string {
	_, name, _ := strings.Cut(urn, ":function:")
	return strings.TrimSuffix(strings.TrimPrefix(name, "default:"), ":latest")
}

// triggerSummary is what a trigger waits for, in one line.
func triggerSummary(t client.Trigger) string {
	field := func(name string) string {
		if t.Data[name] == nil {
			return ""
		}
		return fmt.Sprint(t.Data[name])
	}
	switch t.Type {
	case "TIMER":
		return field("schedule") + " " + field("name")
	case "APIG", "DEDICATEDGATEWAY":
		return field("req_method") + " " + t.InvokeURL + " auth " + field("auth")
	case "OBS":
		return field("bucket") + " " + field("events") + " " + t.InvokeURL
	case "SMN":
		return field("topic_urn") + " " + t.InvokeURL
	case "KAFKA", "OPENSOURCEKAFKA":
		return field("topic_ids") + " at " + field("kafka_connect_address")
	case "RABBITMQ":
		return cmp.Or(field("queue_name"), field("exchange_name")) + " at " + field("connect_address")
	}
	return field("topic") + " at " + field("broker_url")
}

// findTrigger finds a trigger of the project by its id, or by a beginning of it that only one has.
func findTrigger(ctx context.Context, server *client.Client, id string) (*client.Trigger, error) {
	list, err := server.ListAllTriggers(ctx)
	if err != nil {
		return nil, err
	}
	var found *client.Trigger
	for i := range list {
		if !strings.HasPrefix(list[i].ID, id) {
			continue
		}
		if found != nil {
			return nil, usagef("several triggers have ids that begin with %.40q", id)
		}
		found = &list[i]
	}
	if found == nil {
		return nil, usagef("no trigger has the id %.40q; 'hanshu trigger ls' lists them", id)
	}
	return found, nil
}

func newTriggerStatusCommand(c *cli, verb, status string) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " ID",
		Short: verb + " a trigger",
		Long:  "The trigger is switched at once. ID is the trigger's, or a beginning of it that no other has." + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Args:  oneArg("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			t, err := findTrigger(cmd.Context(), server, args[0])
			if err != nil {
				return err
			}
			changed, err := server.SetTriggerStatus(cmd.Context(), t.URN, t.Type, t.ID, status)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(changed)
				return nil
			}
			c.printf("%s trigger %s is %s\n", changed.Type, changed.ID, strings.ToLower(changed.Status))
			return nil
		},
	}
}

func newTriggerRemoveCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "rm ID",
		Short: "remove a trigger",
		Long:  "Rm removes a trigger at once. ID is the trigger's, or a beginning of it that no other has." + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Args:  oneArg("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			t, err := findTrigger(cmd.Context(), server, args[0])
			if err != nil {
				return err
			}
			if err := server.DeleteTrigger(cmd.Context(), t.URN, t.Type, t.ID); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"deleted": t.ID})
				return nil
			}
			c.printf("deleted %s trigger %s\n", t.Type, t.ID)
			return nil
		},
	}
}
