package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newGatewayCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "gateway", Short: "enroll gateways and see what runs on them",
		Long: `A gateway is a machine that runs functions where it stands, with or without a network, by the program hanshu-edge. What is bound
to it or to its product ('bind', or POST /api/v1/function/bind) reaches it by itself. GATEWAY is a serial number, or PRODUCT/SERIAL.`,
		Args: noArgs,
	}
	cmd.AddCommand(newGatewayEnroll(c), newGatewayBind(c), newGatewayUnbind(c), newGatewayList(c), newGatewayShow(c), newGatewayPush(c), newGatewayLogs(c), newGatewayInvoke(c),
		newGatewayBundle(c), newGatewayMessages(c), newGatewayDiagnose(c), newGatewayAccounts(c), newGatewayRelease(c))
	return cmd
}

func gatewayHelp() string { return exitHelp(exitOK, exitUsage, exitRefused, exitServer) }

func newGatewayEnroll(c *cli) *cobra.Command {
	var product, gateway, description, out, dataDir string
	cmd := &cobra.Command{
		Use: "enroll", Short: "make a gateway, and the file with which its agent starts",
		Long: `Enroll makes the product and the gateway where they are not there yet, and writes the file for 'hanshu-edge run --config FILE'. The
file holds the gateway's secret. The server must take gateways: see --mqtt-listen of 'hanshu serve'.` + gatewayHelp(),
		Example: `  hanshu gateway enroll --product pumps --gateway pump-17 --out pump-17.json`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if product == "" {
				return usagef("enroll needs --product")
			}
			if dataDir != "" && c.adminFile == "" {
				c.adminFile = filepath.Join(dataDir, "admin.json")
			}
			return runEnroll(cmd.Context(), c, product, gateway, description, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&product, "product", "", "serial number of the product: 1 to 32 letters, digits, '-', '_' or ':'")
	f.StringVar(&gateway, "gateway", "", "serial number of the gateway; one is drawn without it")
	f.StringVar(&description, "description", "", "what people read")
	f.StringVarP(&out, "out", "o", "", "file to write, for its owner alone; standard output without it")
	f.StringVar(&dataDir, "data-dir", "", "the server's data directory, whose admin.json is used")
	return cmd
}

func runEnroll(ctx context.Context, c *cli, product, gateway, description, out string) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	file, err := server.EnrollGateway(ctx, product, gateway, description)
	if err != nil {
		return err
	}
	if near := onlyHere(file); len(near) > 0 {
		c.notef("%s in it lead to this machine alone; for a gateway elsewhere the server must listen where it is reached, and say where that is (serve --public-url, --mqtt-url)\n",
			strings.Join(near, " and "))
	}
	if out == "" {
		c.printf("%s", file)
		return nil
	}
	if err := os.WriteFile(out, file, 0o600); err != nil {
		return usagef("%v", err)
	}
	if c.json {
		c.printJSON(map[string]string{"file": out})
		return nil
	}
	c.notef("wrote %s, which holds a secret; next, on the gateway: hanshu-edge run --config %s\n", out, quote(filepath.Base(out)))
	return nil
}

func newGatewayList(c *cli) *cobra.Command {
	var product string
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "list gateways", Long: "Ls lists the gateways of the project." + gatewayHelp(), Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			list, err := server.Gateways(cmd.Context(), product)
			if err != nil {
				return err
			}
			c.showGateways(list)
			return nil
		},
	}
	cmd.Flags().StringVar(&product, "product", "", "gateways of this product only")
	return cmd
}

func (c *cli) showGateways(list []client.Gateway) {
	if c.json {
		if list == nil {
			list = []client.Gateway{}
		}
		c.printJSON(list)
		return
	}
	if len(list) == 0 {
		c.notef("No gateways yet. Next: %s\n", c.self("gateway", "enroll", "--product", "pumps", "--out", "gateway.json"))
		return
	}
	rows := [][]string{{"PRODUCT", "GATEWAY", "STATUS", "VERSION", "STATE", "AGENT", "REPORTED"}}
	for _, g := range list {
		rows = append(rows, []string{
			c.clean(g.Product), c.clean(g.Gateway), g.Status, fmt.Sprintf("%d of %d", g.Reported, g.Version), c.clean(g.State), c.clean(g.Agent), ago(g.ReportedAt),
		})
	}
	c.table(rows)
}

func ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return time.Since(*t).Round(time.Second).String() + " ago"
}

// oneGateway makes a command about one gateway.
func (c *cli) oneGateway(use, short, long string, run func(ctx context.Context, server *client.Client, g client.GatewayRef) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " GATEWAY", Short: short, Long: long + gatewayHelp(), Args: oneArg("GATEWAY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.client()
			if err != nil {
				return err
			}
			return run(cmd.Context(), server, client.GatewayRef(args[0]))
		},
	}
}

func newGatewayShow(c *cli) *cobra.Command {
	return c.oneGateway("show", "show a gateway and what runs on it", "Show tells what a gateway has reported.",
		func(ctx context.Context, server *client.Client, ref client.GatewayRef) error {
			g, err := server.Gateway(ctx, ref)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(g)
				return nil
			}
			c.printf("%s/%s  %s, reported %s\n", c.clean(g.Product), c.clean(g.Gateway), g.Status, ago(g.ReportedAt))
			c.printf("desired version %d, gateway has %d %s %s\n", g.Version, g.Reported, c.clean(g.State), c.clean(g.Message))
			if g.Agent != "" {
				c.printf("agent %s, %s/%s, %s in use, %s free on disk\n", c.clean(g.Agent), c.clean(g.Host.OS), c.clean(g.Host.Arch), size(g.Host.RSS), size(g.Host.DiskFree))
			}
			c.showWantedRelease(g.Release)
			for _, r := range g.Refused {
				c.printf("refused version %d: %s\n", r.Version, c.clean(r.Reason))
			}
			if len(g.Functions) == 0 {
				return nil
			}
			rows := [][]string{{"FUNCTION", "STATUS", "CRON", "CALLS", "ERRORS", "MESSAGE"}}
			for _, f := range g.Functions {
				rows = append(rows, []string{c.clean(f.Name), f.Status, c.clean(f.Cron), fmt.Sprint(f.Calls), fmt.Sprint(f.Errors), c.clean(f.Message)})
			}
			c.table(rows)
			return nil
		})
}

func newGatewayPush(c *cli) *cobra.Command {
	return c.oneGateway("push", "send a gateway anew what it shall be",
		"Push sends the desired document again. Changes are sent by themselves; this is for one who wants to see it happen.",
		func(ctx context.Context, server *client.Client, g client.GatewayRef) error {
			version, err := server.PushGateway(ctx, g)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]uint64{"version": version})
				return nil
			}
			c.printf("sent version %d\n", version)
			return nil
		})
}

func (c *cli) showText(text string) {
	if c.json {
		c.printJSON(map[string]string{"text": text})
		return
	}
	for line := range strings.Lines(text) {
		c.printf("%s\n", c.clean(strings.TrimRight(line, "\n")))
	}
}

func newGatewayLogs(c *cli) *cobra.Command {
	var function string
	var lines int
	cmd := c.oneGateway("logs", "read the log of a function on a gateway, or of its agent", "Logs asks the gateway, which keeps the logs, so it must be online.",
		func(ctx context.Context, server *client.Client, g client.GatewayRef) error {
			text, err := server.GatewayLogs(ctx, g, function, lines)
			if err == nil {
				c.showText(text)
			}
			return err
		})
	cmd.Flags().StringVar(&function, "function", "", "name of the function; the agent's own log without it")
	cmd.Flags().IntVarP(&lines, "lines", "n", 100, "at most so many lines, the last ones")
	return cmd
}

func newGatewayDiagnose(c *cli) *cobra.Command {
	return c.oneGateway("diagnose", "have a gateway look at itself", "Diagnose asks the gateway what it sees, so it must be online.",
		func(ctx context.Context, server *client.Client, g client.GatewayRef) error {
			text, err := server.DiagnoseGateway(ctx, g)
			if err == nil {
				c.showText(text)
			}
			return err
		})
}

func newGatewayInvoke(c *cli) *cobra.Command {
	var o invokeOptions
	cmd := &cobra.Command{
		Use: "invoke GATEWAY NAME", Short: "call a function on a gateway and wait for its answer",
		Long: "Invoke is 'hanshu invoke NAME --gateway GATEWAY'." + exitHelp(exitOK, exitFunction, exitUsage, exitRefused, exitServer),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s needs a GATEWAY and the NAME of a function, and was given %d", cmd.Name(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.gateway = args[0]
			return runInvoke(cmd.Context(), c, args[1], o)
		},
	}
	cmd.Flags().StringVarP(&o.data, "data", "d", "{}", "event as JSON; @FILE takes it from a file, @- from standard input")
	return cmd
}

func newGatewayBundle(c *cli) *cobra.Command {
	var out string
	cmd := c.oneGateway("bundle", "write all that a gateway needs into a file, for one without a network",
		"Bundle writes a tar file for 'hanshu-edge apply FILE': the signed document and the packages it names. It holds what the functions are told in secret.",
		func(ctx context.Context, server *client.Client, g client.GatewayRef) error {
			if out == "" {
				return usagef("bundle needs --out FILE")
			}
			data, err := server.GatewayBundle(ctx, g)
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, data, 0o600); err != nil {
				return usagef("%v", err)
			}
			if c.json {
				c.printJSON(map[string]any{"file": out, "bytes": len(data)})
				return nil
			}
			c.notef("wrote %s, %s; next, on the gateway: hanshu-edge apply %s\n", out, size(int64(len(data))), quote(filepath.Base(out)))
			return nil
		})
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write, for its owner alone")
	return cmd
}

func newGatewayMessages(c *cli) *cobra.Command {
	var limit int
	cmd := c.oneGateway("messages", "list what a gateway's routes brought to the cloud", "Messages lists the youngest messages, the oldest of them first.",
		func(ctx context.Context, server *client.Client, g client.GatewayRef) error {
			list, err := server.GatewayMessages(ctx, g, limit)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(list)
				return nil
			}
			for _, m := range list {
				c.printf("%d %s %s\n", m.Seq, c.clean(m.Topic), c.clean(string(m.Payload)))
			}
			return nil
		})
	cmd.Flags().IntVarP(&limit, "limit", "n", 100, "at most so many")
	return cmd
}

func newGatewayAccounts(c *cli) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "accounts", Short: "write the accounts of a mosquitto broker outside the server",
		Long: `Accounts writes the files 'passwords' and 'acl' for password_file and acl_file of the broker named by --mqtt-broker of 'hanshu serve': the
server's account, and one for each gateway, good for its own topics alone. Write them anew when gateways were made or removed.` + gatewayHelp(),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("accounts needs --out DIR")
			}
			server, err := c.client()
			if err != nil {
				return err
			}
			passwords, acl, err := server.GatewayAccounts(cmd.Context())
			if err != nil {
				return err
			}
			for name, text := range map[string]string{"passwords": passwords, "acl": acl} {
				if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o600); err != nil {
					return usagef("%v", err)
				}
			}
			if c.json {
				c.printJSON(map[string]string{"folder": out})
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "folder to write into")
	return cmd
}
