package config

import (
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func env(pairs ...string) func(string) (string, bool) {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) {
		v, ok := m[name]
		return v, ok
	}
}

func good() Config { return defaults(env("HOME", "/home/ada"), 1000) }

func TestDefaults(t *testing.T) {
	c := good()
	require.NoError(t, c.Validate())
	require.True(t, c.Loopback())
	require.Equal(t, "127.0.0.1:8080", c.Listen)
	require.False(t, c.Dev)
	require.Equal(t, SandboxAuto, c.Sandbox)
	require.Equal(t, defaults(os.LookupEnv, os.Geteuid()), Defaults())
	for want, got := range map[string]string{
		"/home/ada/.local/share/hanshu": c.DataDir,
		"/x/hanshu":                     defaultDataDir(env("XDG_DATA_HOME", "/x", "HOME", "/h"), 1000),
		"/h/.local/share/hanshu":        defaultDataDir(env("XDG_DATA_HOME", "relative", "HOME", "/h"), 1000),
		"/var/lib/hanshu":               defaultDataDir(env("HOME", "/h"), 0),
		"":                              defaultDataDir(env(), 1000),
	} {
		require.Equal(t, want, got)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // "" for fine
	}{
		{"open to all", func(c *Config) { c.Listen = ":8080" }, ""},
		{"open to all v6", func(c *Config) { c.Listen = "[::]:8080" }, ""},
		{"port 0", func(c *Config) { c.Listen = "127.0.0.1:0" }, ""},
		{"no port", func(c *Config) { c.Listen = "127.0.0.1" }, "--listen"},
		{"empty port", func(c *Config) { c.Listen = "127.0.0.1:" }, "--listen"},
		{"big port", func(c *Config) { c.Listen = "127.0.0.1:70000" }, "--listen"},
		{"dev", func(c *Config) { c.Dev = true }, ""},
		{"dev localhost", func(c *Config) { c.Dev, c.Listen = true, "localhost:1" }, ""},
		{"dev v6", func(c *Config) { c.Dev, c.Listen = true, "[::1]:1" }, ""},
		{"public URL", func(c *Config) { c.PublicURL = "https://faas.example:8443/" }, ""},
		{"public URL without scheme", func(c *Config) { c.PublicURL = "faas.example:8080" }, "--public-url"},
		{"public URL with a path", func(c *Config) { c.PublicURL = "https://faas.example/base" }, "--public-url"},
		{"public URL with a user", func(c *Config) { c.PublicURL = "https://u:p@faas.example" }, "--public-url"},
		{"gateway", func(c *Config) { c.GatewayListen, c.GatewayURL = ":8081", "https://fn.example/base" }, ""},
		{"gateway without port", func(c *Config) { c.GatewayListen = "127.0.0.1" }, "--gateway-listen"},
		{"gateway URL", func(c *Config) { c.GatewayURL = "fn.example" }, "--gateway-url"},
		{"gateway URL with a user", func(c *Config) { c.GatewayURL = "http://u@fn.example" }, "--gateway-url"},
		{"timer zone", func(c *Config) { c.TimerZone = "Mars" }, "--timer-zone"},
		{"missed timers", func(c *Config) { c.TimerMissed = "some" }, "--timer-missed"},
		{"dev for all", func(c *Config) { c.Dev, c.Listen = true, ":8080" }, "--dev"},
		{"dev for all v4", func(c *Config) { c.Dev, c.Listen = true, "0.0.0.0:8080" }, "--dev"},
		{"dev by name", func(c *Config) { c.Dev, c.Listen = true, "box.example:8080" }, "--dev"},
		{"no data dir", func(c *Config) { c.DataDir = "" }, "--data-dir"},
		{"postgres", func(c *Config) { c.DB = "postgres://u:p@h/d" }, ""},
		{"postgres socket", func(c *Config) { c.DB = "postgresql:///d?host=/run/pg" }, ""},
		{"mysql", func(c *Config) { c.DB = "mysql://u:hush@h/d" }, "--db"},
		{"file", func(c *Config) { c.DB = "hanshu.db" }, "--db"},
		{"region", func(c *Config) { c.Region = "Local:1" }, "--region"},
		{"sandbox", func(c *Config) { c.Sandbox = "docker" }, "--sandbox"},
		{"none", func(c *Config) { c.Sandbox = SandboxNone }, ""},
		{"oci", func(c *Config) { c.Sandbox, c.OCIRuntime = SandboxOCI, "/usr/bin/runsc" }, ""},
		{"oci without runtime", func(c *Config) { c.Sandbox = SandboxOCI }, "--oci-runtime"},
		{"oci by name", func(c *Config) { c.Sandbox, c.OCIRuntime = SandboxOCI, "runsc" }, "--oci-runtime"},
		{"oci as a further level", func(c *Config) { c.OCIRuntime = "/usr/bin/runsc" }, ""},
		{"oci as a further level by name", func(c *Config) { c.OCIRuntime = "runsc" }, "--oci-runtime"},
		{"runtime without any sandbox", func(c *Config) { c.Sandbox, c.OCIRuntime = SandboxNone, "/usr/bin/runsc" }, "--oci-runtime"},
		{"private networks to reach", func(c *Config) { c.EgressPrivate = []string{"10.0.0.0/8", "192.168.1.1"} }, ""},
		{"private networks by name", func(c *Config) { c.EgressPrivate = []string{"db.internal"} }, "--egress-private"},
		{"instances", func(c *Config) { c.MaxInstances = 0 }, "--max-instances"},
		{"idle", func(c *Config) { c.IdleTimeout = 0 }, "--idle-timeout"},
		{"reclaim", func(c *Config) { c.ReclaimAfter = time.Millisecond }, "--reclaim-after"},
		{"freeze", func(c *Config) { c.FreezeAfter = time.Millisecond }, "--freeze-after"},
		{"never freeze", func(c *Config) { c.FreezeAfter = 0 }, ""},
		{"queue wait", func(c *Config) { c.QueueWait = 0 }, "--queue-wait"},
		{"queue length", func(c *Config) { c.QueueLength = 0 }, "--queue-length"},
		{"level", func(c *Config) { c.LogLevel = "loud" }, "--log-level"},
		{"format", func(c *Config) { c.LogFormat = "xml" }, "--log-format"},
		{"age of records", func(c *Config) { c.RecordAge = time.Minute }, "--record-age"},
		{"bytes of records", func(c *Config) { c.RecordBytes = 1 << 20 }, "--record-bytes"},
		{"events of records", func(c *Config) { c.RecordEvents = -1 }, "--record-events"},
		{"quota", func(c *Config) { c.QuotaFunctions = 0 }, "--quota-functions"},
		{"quota bytes", func(c *Config) { c.QuotaCodeBytes = -1 }, "--quota-code-bytes"},
		{"private", func(c *Config) { c.AllowPrivateCodeURLs = []string{"10.0.0.0/8", "::1", "git.corp"} }, ""},
		{"private url", func(c *Config) { c.AllowPrivateCodeURLs = []string{"http://x/"} }, "--allow-private-code-urls"},
		{"private empty", func(c *Config) { c.AllowPrivateCodeURLs = []string{""} }, "--allow-private-code-urls"},
		{"private cidr", func(c *Config) { c.AllowPrivateCodeURLs = []string{"10.0.0.0/33"} }, "--allow-private-code-urls"},
		{"s3", func(c *Config) { c.S3 = S3{Endpoint: "https://s3:9000/", AccessKey: "a", SecretKey: "b"} }, ""},
		{"s3 open", func(c *Config) { c.S3 = S3{Endpoint: "http://s3:9000", PathStyle: true} }, ""},
		{"s3 no endpoint", func(c *Config) { c.S3 = S3{AccessKey: "a", SecretKey: "b"} }, "--s3-endpoint"},
		{"s3 bare host", func(c *Config) { c.S3 = S3{Endpoint: "s3:9000"} }, "--s3-endpoint"},
		{"s3 path", func(c *Config) { c.S3 = S3{Endpoint: "http://s3/bucket"} }, "--s3-endpoint"},
		{"s3 half", func(c *Config) { c.S3 = S3{Endpoint: "http://s3", AccessKey: "a"} }, "--s3-access-key"},
	} {
		cfg := good()
		c.change(&cfg)
		err := cfg.Validate()
		if c.want == "" {
			require.NoError(t, err, c.name)
			continue
		}
		require.ErrorContains(t, err, c.want+":", c.name)
		require.NotContains(t, err.Error(), "hush", c.name)
	}
	var none Config
	err := none.Validate()
	for _, flag := range []string{"--listen", "--data-dir", "--region", "--sandbox", "--log-level"} {
		require.ErrorContains(t, err, flag, "all breaches are told at once")
	}
}

func TestFromEnv(t *testing.T) {
	c, err := FromEnv(env("HOME", "/h", "PATH", "/bin", "HANSHU_LISTEN", "0.0.0.0:80", "HANSHU_DATA_DIR", "/d", "HANSHU_DEV", "true", "HANSHU_DB", "postgres://h/d",
		"HANSHU_REGION", "r", "HANSHU_PUBLIC_URL", "http://p", "HANSHU_GATEWAY_LISTEN", ":81", "HANSHU_GATEWAY_URL", "http://g", "HANSHU_TIMER_ZONE", "UTC", "HANSHU_TIMER_MISSED", "all",
		"HANSHU_SANDBOX", "none", "HANSHU_OCI_RUNTIME", "/o", "HANSHU_EGRESS", "open", "HANSHU_EGRESS_FIXED", "1", "HANSHU_EGRESS_PRIVATE", "10.0.0.0/8", "HANSHU_MAX_INSTANCES", "7", "HANSHU_PREPARED", "5", "HANSHU_IDLE_TIMEOUT", "5m",
		"HANSHU_FREEZE_AFTER", "2s", "HANSHU_RECLAIM_AFTER", "6m", "HANSHU_QUEUE_WAIT", "3s", "HANSHU_QUEUE_LENGTH", "4",
		"HANSHU_ALLOW_PRIVATE_CODE_URLS", "10.0.0.0/8, git.corp,", "HANSHU_S3_ENDPOINT", "http://s3", "HANSHU_S3_REGION", "z",
		"HANSHU_S3_ACCESS_KEY", "a", "HANSHU_S3_SECRET_KEY", "b", "HANSHU_S3_PATH_STYLE", "1", "HANSHU_S3_BUCKETS", "c", "HANSHU_LOG_LEVEL", "debug",
		"HANSHU_LOG_FORMAT", "json", "HANSHU_RECORD_AGE", "24h", "HANSHU_RECORD_BYTES", "5", "HANSHU_RECORD_EVENTS", "6", "HANSHU_QUOTA_FUNCTIONS", "8", "HANSHU_QUOTA_CODE_BYTES", "9", "HANSHU_REGISTRY_AUTH", "/auth",
		"HANSHU_MQTT_LISTEN", ":1883", "HANSHU_MQTT_BROKER", "mqtt://b", "HANSHU_MQTT_URL", "mqtt://u", "HANSHU_MQTT_CERT", "/c", "HANSHU_MQTT_KEY", "/k"))
	require.NoError(t, err)
	want := Config{Listen: "0.0.0.0:80", DataDir: "/d", Dev: true, DB: "postgres://h/d", Region: "r",
		PublicURL: "http://p", GatewayListen: ":81", GatewayURL: "http://g", TimerZone: "UTC", TimerMissed: "all", Sandbox: "none", OCIRuntime: "/o", Egress: "open", EgressFixed: true, EgressPrivate: []string{"10.0.0.0/8"}, MaxInstances: 7, Prepared: 5,
		IdleTimeout: 5 * time.Minute, FreezeAfter: 2 * time.Second, ReclaimAfter: 6 * time.Minute, QueueWait: 3 * time.Second, QueueLength: 4, AllowPrivateCodeURLs: []string{"10.0.0.0/8", "git.corp"},
		S3: S3{"http://s3", "z", "a", "b", true, []string{"c"}}, LogLevel: "debug", LogFormat: "json", RecordAge: 24 * time.Hour, RecordBytes: 5, RecordEvents: 6, QuotaFunctions: 8, QuotaCodeBytes: 9, Path: "/bin", RegistryAuth: "/auth",
		MQTT: MQTT{":1883", "mqtt://b", "mqtt://u", "/c", "/k"}}
	require.Equal(t, want, c)
	for i := range reflect.TypeFor[Config]().NumField() {
		require.False(t, reflect.ValueOf(c).Field(i).IsZero(), "%s has no variable", reflect.TypeFor[Config]().Field(i).Name)
	}

	_, err = FromEnv(env("HANSHU_DEV", "perhaps", "HANSHU_MAX_INSTANCES", "x", "HANSHU_IDLE_TIMEOUT", "9", "HANSHU_QUOTA_FUNCTIONS", "1e99"))
	for _, name := range []string{"HANSHU_DEV", "HANSHU_MAX_INSTANCES", "HANSHU_IDLE_TIMEOUT", "HANSHU_QUOTA_FUNCTIONS"} {
		require.ErrorContains(t, err, name)
	}
	empty, err := FromEnv(env("HOME", "/h", "HANSHU_LISTEN", ""))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8080", empty.Listen)
}

func TestParts(t *testing.T) {
	c := Config{AllowPrivateCodeURLs: []string{"10.1.2.3/8", "192.168.0.1", "Git.Corp", "fd00::/8"}, LogLevel: "warn"}
	ranges, hosts := c.PrivateCodeURLs()
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.0.1/32"), netip.MustParsePrefix("fd00::/8")}, ranges)
	require.Equal(t, []string{"git.corp"}, hosts)
	require.Equal(t, slog.LevelWarn, c.Level())
	c.LogLevel = "loud"
	require.Equal(t, slog.LevelInfo, c.Level())
	require.False(t, (&Config{Listen: ":80"}).Loopback())
}
