package main

import (
	"errors"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/internal/app"
	"github.com/hanshu-faas/hanshu/internal/config"
)

func newServeCommand(c *cli) *cobra.Command {
	cfg, envErr := config.FromEnv(os.LookupEnv)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the server",
		Long: `Run the server until it is interrupted.

The first start makes the data directory and writes DIR/admin.json with the
address and the credentials of the administrator. Every flag can be given as
an environment variable too: --data-dir as HANSHU_DATA_DIR, and so on.` + exitHelp(exitOK, exitUsage, exitServer),
		Example: `  hanshu serve
  hanshu serve --listen 0.0.0.0:8080 --data-dir /srv/hanshu
  hanshu serve --db postgres://hanshu@db.example/hanshu`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, c, cfg, envErr) },
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Listen, "listen", cfg.Listen, "host:port of the API")
	f.StringVar(&cfg.DataDir, "data-dir", cfg.DataDir, "where all is kept")
	f.BoolVar(&cfg.Dev, "dev", cfg.Dev, "no credentials needed on this machine")
	f.StringVar(&cfg.DB, "db", cfg.DB, "postgres:// URL; an SQLite file in the data directory without it")
	f.StringVar(&cfg.Region, "region", cfg.Region, "region name, in URNs and for clients' look-ups")
	f.StringVar(&cfg.PublicURL, "public-url", cfg.PublicURL, "address at which gateways and callers from other machines reach the API, when it is not --listen")
	f.StringVar(&cfg.GatewayListen, "gateway-listen", cfg.GatewayListen, "host:port for functions' HTTP routes alone; without it they stand under /gateway on --listen")
	f.StringVar(&cfg.GatewayURL, "gateway-url", cfg.GatewayURL, "address at which clients reach the routes, when it is not the listener's")
	f.StringVar(&cfg.TimerZone, "timer-zone", cfg.TimerZone, "zone of timers that name none")
	f.StringVar(&cfg.TimerMissed, "timer-missed", cfg.TimerMissed, "what of timers came while the server was off: skip, once or all")
	f.StringVar(&cfg.MQTT.Listen, "mqtt-listen", cfg.MQTT.Listen, "host:port for gateways, e.g. 0.0.0.0:8883; encrypted unless on loopback; off without it")
	f.StringVar(&cfg.MQTT.Broker, "mqtt-broker", cfg.MQTT.Broker, "instead: mqtt:// or mqtts:// URL of a broker outside, with user and password")
	f.StringVar(&cfg.MQTT.URL, "mqtt-url", cfg.MQTT.URL, "address at which gateways reach the broker, when it is not that one")
	f.StringVar(&cfg.MQTT.Cert, "mqtt-cert", cfg.MQTT.Cert, "file with the certificate for --mqtt-listen; one of the server's own authority without it")
	f.StringVar(&cfg.MQTT.Key, "mqtt-key", cfg.MQTT.Key, "file with the key of --mqtt-cert")
	f.StringVar(&cfg.Sandbox, "sandbox", cfg.Sandbox, "auto, native, oci, or none (no protection at all)")
	f.StringVar(&cfg.OCIRuntime, "oci-runtime", cfg.OCIRuntime, "path of runsc, runc, crun or another OCI runtime: for all functions with --sandbox=oci, else for those that choose isolation oci")
	f.StringVar(&cfg.Egress, "egress", cfg.Egress, "what functions may reach over the network, unless they or their project say otherwise: none, open (the public internet), or a list such as api.example.com:443,10.1.0.0/16")
	f.BoolVar(&cfg.EgressFixed, "egress-fixed", cfg.EgressFixed, "functions may not choose another egress")
	f.StringSliceVar(&cfg.EgressPrivate, "egress-private", cfg.EgressPrivate, "private networks, and addresses of this host, that functions' lists may name")
	f.IntVar(&cfg.MaxInstances, "max-instances", cfg.MaxInstances, "instances of all functions together")
	f.IntVar(&cfg.Prepared, "prepared", cfg.Prepared, "booted workers that wait for a function, of one interpreter, at most; 0 for none")
	f.DurationVar(&cfg.IdleTimeout, "idle-timeout", cfg.IdleTimeout, "after which an unused instance ends")
	f.DurationVar(&cfg.ReclaimAfter, "reclaim-after", cfg.ReclaimAfter, "after which an unused, frozen instance is paged out, where the host has swap; 0 for never")
	f.DurationVar(&cfg.FreezeAfter, "freeze-after", cfg.FreezeAfter, "after which an unused instance is frozen, where the host can; 0 for never")
	f.DurationVar(&cfg.QueueWait, "queue-wait", cfg.QueueWait, "the longest a call waits for an instance")
	f.IntVar(&cfg.QueueLength, "queue-length", cfg.QueueLength, "calls that wait for one function; the next is refused")
	f.StringSliceVar(&cfg.AllowPrivateCodeURLs, "allow-private-code-urls", cfg.AllowPrivateCodeURLs, "private networks and hosts that code may be pulled from")
	f.StringVar(&cfg.RegistryAuth, "registry-auth", cfg.RegistryAuth, "file with credentials for image registries, as docker login writes it")
	f.StringVar(&cfg.S3.Endpoint, "s3-endpoint", cfg.S3.Endpoint, "URL of an S3-compatible service that code is pulled from; its keys come in HANSHU_S3_*")
	f.StringSliceVar(&cfg.S3.Buckets, "s3-buckets", cfg.S3.Buckets, "buckets that code may come from; all that the keys can read without it")
	f.StringVar(&cfg.LogLevel, "log-level", cfg.LogLevel, "debug, info, warn or error")
	f.StringVar(&cfg.LogFormat, "log-format", cfg.LogFormat, "text or json")
	f.Int64Var(&cfg.QuotaFunctions, "quota-functions", cfg.QuotaFunctions, "functions of a project")
	f.DurationVar(&cfg.RecordAge, "record-age", cfg.RecordAge, "how long records and logs of calls are kept")
	f.Int64Var(&cfg.RecordBytes, "record-bytes", cfg.RecordBytes, "bytes of records and logs of calls; beyond it the oldest go")
	f.IntVar(&cfg.RecordEvents, "record-events", cfg.RecordEvents, "bytes of an event kept with its record, for a replay; a larger one is not kept, 0 keeps none")
	f.Int64Var(&cfg.QuotaCodeBytes, "quota-code-bytes", cfg.QuotaCodeBytes, "bytes of code of a project")
	return cmd
}

func serve(cmd *cobra.Command, c *cli, cfg config.Config, envErr error) error {
	if err := errors.Join(envErr, cfg.Validate()); err != nil {
		return usagef("%v", err)
	}
	ctx := cmd.Context()
	s, err := app.New(ctx, cfg, version, app.NewLog(cfg, cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(s.Facts())
	} else {
		s.Banner(c.out, quote(c.name))
	}
	ballast := make([]byte, ballastBytes)
	defer runtime.KeepAlive(ballast)
	return s.Run(ctx)
}

// ballastBytes of memory are set aside and never touched, so they take no room. The collector lets garbage grow by as much as
// is in use: what a small server uses would have it collect twenty times a second under load, a tenth of its processor time.
const ballastBytes = 8 << 20
