package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

func newGatewayBind(c *cli) *cobra.Command {
	return c.placing("bind", "have a function run on a gateway", "bound",
		`Bind has a function run on a gateway, or with --product alone on every gateway of the product, also those that come later. A gateway
that is online has it within seconds, any other when it comes.`, (*client.Client).BindFunction)
}

func newGatewayUnbind(c *cli) *cobra.Command {
	return c.placing("unbind", "take a function from a gateway", "unbound",
		"Unbind takes back a bind of the same place: what is bound to a product is taken from the product.", (*client.Client).UnbindFunction)
}

// placing makes the command that does something to a function in a place.
func (c *cli) placing(use, short, done, long string, do func(server *client.Client, ctx context.Context, function, product, gateway string) error) *cobra.Command {
	var gateway, product string
	cmd := &cobra.Command{
		Use: use + " NAME", Short: short, Long: long + gatewayHelp(), Args: oneArg("NAME"), ValidArgsFunction: c.completeNames,
		Example: "  hanshu gateway " + use + " hello --gateway pump-17\n  hanshu gateway " + use + " hello --product pumps",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (gateway == "") == (product == "") {
				return usagef("%s needs --gateway, or --product for all of its gateways", use)
			}
			server, err := c.client()
			if err != nil {
				return err
			}
			where, sn := "product "+product, ""
			if gateway != "" {
				g, err := server.Gateway(cmd.Context(), client.GatewayRef(gateway))
				if err != nil {
					return err
				}
				where, product, sn = "gateway "+g.Product+"/"+g.Gateway, g.Product, g.Gateway
			}
			if err := do(server, cmd.Context(), args[0], product, sn); err != nil {
				return err
			}
			if c.json {
				c.printJSON(map[string]string{"function": args[0], "product": product, "gateway": sn, "done": done})
				return nil
			}
			c.printf("%s: %s, %s\n", c.clean(args[0]), done, c.clean(where))
			return nil
		},
	}
	cmd.Flags().StringVar(&gateway, "gateway", "", "serial number of the gateway, or PRODUCT/SERIAL")
	cmd.Flags().StringVar(&product, "product", "", "serial number of the product, for all of its gateways")
	return cmd
}

// onlyHere names the addresses of an enrollment file that mean the machine on which they are used.
func onlyHere(file []byte) []string {
	var addresses map[string]any
	if json.Unmarshal(file, &addresses) != nil {
		return nil
	}
	var near []string
	for _, name := range []string{"broker_url", "http_url"} {
		text, _ := addresses[name].(string)
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		if at, err := netip.ParseAddr(u.Hostname()); err == nil && (at.IsLoopback() || at.IsUnspecified()) || u.Hostname() == "localhost" {
			near = append(near, name)
		}
	}
	return near
}
