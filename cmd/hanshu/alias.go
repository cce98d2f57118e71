package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newAliasCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "alias", Short: "lead names to versions of functions",
		Long: `An alias is a name that leads to a published version, or to latest: calls and triggers that name it follow when it is led elsewhere. A part
of the calls can go to a second version: a share of them, or those whose request has a header or cookie.`,
	}
	cmd.AddCommand(newAliasSetCommand(c), newAliasListCommand(c), newAliasRemoveCommand(c))
	return cmd
}

// aliasOptions are what `alias set` may be given.
type aliasOptions struct {
	description string
	share       string
	second      string
	rules       []string
	any         bool
}

func newAliasSetCommand(c *cli) *cobra.Command {
	var o aliasOptions
	cmd := &cobra.Command{
		Use:   "set NAME ALIAS VERSION",
		Short: "lead an alias to a version; make it where there is none",
		Long: `Set leads an alias of the function NAME to VERSION. The next call goes there, and calls under way end where they are. What is not given is taken
away: without --share and --rule every call goes to VERSION.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu alias set hello prod v1
  hanshu alias set hello prod v1 --share v2=10
  hanshu alias set hello prod v1 --second v2 --rule header:X-Beta=yes --rule cookie:who=ada,bob --any
  hanshu invoke 'hello:!prod'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 3 {
				return usagef("alias set takes NAME, ALIAS and VERSION")
			}
			return nil
		},
		ValidArgsFunction: c.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return runAliasSet(cmd, c, args, o) },
	}
	cmd.Flags().StringVar(&o.description, "description", "", "what the alias is for; left as it is where not given")
	cmd.Flags().StringVar(&o.share, "share", "", "VERSION=PERCENT: so many of the calls go to a second version")
	cmd.Flags().StringVar(&o.second, "second", "", "the second version, to which the calls go that the rules choose")
	cmd.Flags().StringArrayVar(&o.rules, "rule", nil, "header:NAME=VALUE or cookie:NAME=VALUE, with several values as VALUE,VALUE; may be given again")
	cmd.Flags().BoolVar(&o.any, "any", false, "one rule that fits is enough, and not all of them")
	return cmd
}

// alias gives what the options ask for.
func (o *aliasOptions) alias(name, version string) (client.Alias, error) {
	a := client.Alias{Name: strings.TrimPrefix(name, "!"), Version: version}
	if o.share != "" && (o.second != "" || len(o.rules) > 0) {
		return a, usagef("--share and --rule exclude each other")
	}
	if (o.second == "") != (len(o.rules) == 0) {
		return a, usagef("--second and --rule go together")
	}
	if o.share != "" {
		second, text, _ := strings.Cut(o.share, "=")
		percent, err := strconv.Atoi(text)
		if second == "" || err != nil {
			return a, usagef("--share %.60q is not VERSION=PERCENT", o.share)
		}
		a.Weights = map[string]int{second: percent}
	}
	if len(o.rules) == 0 {
		return a, nil
	}
	s := client.Strategy{CombineType: "and"}
	if o.any {
		s.CombineType = "or"
	}
	for _, text := range o.rules {
		kind, rest, _ := strings.Cut(text, ":")
		param, value, ok := strings.Cut(rest, "=")
		if !ok || kind != "header" && kind != "cookie" {
			return a, usagef("--rule %.80q is not header:NAME=VALUE or cookie:NAME=VALUE", text)
		}
		rule := client.AliasRule{Type: kind, Param: param, Op: "=", Value: value}
		if strings.Contains(value, ",") {
			rule.Op = "in"
		}
		s.Rules = append(s.Rules, rule)
	}
	a.Strategies = map[string]client.Strategy{o.second: s}
	return a, nil
}

func runAliasSet(cmd *cobra.Command, c *cli, args []string, o aliasOptions) error {
	a, err := o.alias(args[1], args[2])
	if err != nil {
		return err
	}
	if cmd.Flags().Changed("description") {
		a.Description = &o.description
	}
	server, urn, err := c.function(args[0])
	if err != nil {
		return err
	}
	set, err := setAlias(cmd.Context(), server, urn, a)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(set)
		return nil
	}
	c.printf("%s leads to %s\n", c.clean(set.URN), c.clean(aliasTarget(set)))
	return nil
}

// setAlias changes an alias, or makes it where the function has none of that name.
func setAlias(ctx context.Context, server *client.Client, urn string, a client.Alias) (*client.Alias, error) {
	changed, err := server.UpdateAlias(ctx, urn, a)
	var refused *client.APIError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound && refused.Code == "FSS.1053" {
		return server.CreateAlias(ctx, urn, a)
	}
	return changed, err
}

// aliasTarget says where an alias leads, in one line.
func aliasTarget(a *client.Alias) string {
	text := a.Version
	for version, percent := range a.Weights {
		text += fmt.Sprintf(", and %d %% of the calls to %s", percent, version)
	}
	for version, s := range a.Strategies {
		var rules []string
		for _, r := range s.Rules {
			rules = append(rules, r.Type+" "+r.Param+" "+r.Op+" "+r.Value)
		}
		text += ", and calls with " + strings.Join(rules, " "+s.CombineType+" ") + " to " + version
	}
	return text
}

func newAliasListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "ls NAME",
		Aliases:           []string{"list"},
		Short:             "list the aliases of a function",
		Long:              "Ls shows the aliases of a function, and where each leads." + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example:           "  hanshu alias ls hello",
		Args:              oneArg("NAME"),
		ValidArgsFunction: c.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			server, urn, err := c.function(args[0])
			if err != nil {
				return err
			}
			list, err := server.ListAliases(cmd.Context(), urn)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(list)
				return nil
			}
			if len(list) == 0 {
				c.notef("No aliases yet. Next: %s\n", c.self("alias", "set", args[0], "prod", "latest"))
				return nil
			}
			rows := [][]string{{"ALIAS", "LEADS TO", "MODIFIED", "DESCRIPTION"}}
			for i := range list {
				description := ""
				if list[i].Description != nil {
					description = *list[i].Description
				}
				rows = append(rows, []string{c.clean(list[i].Name), c.clean(oneLine(aliasTarget(&list[i]))), c.clean(list[i].LastModified), c.clean(oneLine(description))})
			}
			c.table(rows)
			return nil
		},
	}
}

func newAliasRemoveCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME ALIAS",
		Short: "remove an alias",
		Long: `Rm removes an alias and leaves the versions. Asynchronous calls that wait for the alias are cancelled; while triggers call it, it stays.` +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example:           "  hanshu alias rm hello prod",
		Args:              twoArgs("NAME", "ALIAS"),
		ValidArgsFunction: c.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			server, urn, err := c.function(args[0])
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(args[1], "!")
			if err := server.DeleteAlias(cmd.Context(), urn, name); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"deleted": urn + ":!" + name})
				return nil
			}
			c.printf("deleted %s:!%s\n", urn, name)
			return nil
		},
	}
}
