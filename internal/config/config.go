// Package config is every setting of the server, read once from defaults, environment and flags, and checked.
//
// It must not know what the settings are used for, nor import any other package of the project.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones are known on machines that have no list of them
)

// Config is the settings of a server. Each has a flag and an environment variable; see FromEnv for the names.
type Config struct {
	Listen  string // host:port of the API
	DataDir string // all that is kept
	Dev     bool   // no credentials needed on loopback
	DB      string // postgres:// URL; "" for an SQLite file in DataDir
	Region  string // in URNs, and the name of the first project

	// PublicURL is where others find the API, e.g. gateways and callers from other machines; "" for the address of the listener.
	PublicURL string

	// GatewayListen is host:port of a listener of its own for functions' HTTP routes; "" puts them under /gateway on Listen.
	GatewayListen string
	GatewayURL    string // where clients find the routes; "" for the address of the listener
	TimerZone     string // of cron expressions that name none
	TimerMissed   string // MissedSkip, MissedOnce or MissedAll

	MQTT MQTT

	Sandbox       string        // SandboxAuto, SandboxNative, SandboxOCI or SandboxNone
	OCIRuntime    string        // of SandboxOCI: the absolute path of runsc, runc, crun or another
	Egress        string        // of functions whose project has set nothing: none, open or a list
	EgressFixed   bool          // functions may not choose another
	EgressPrivate []string      // private networks and own addresses that functions may list, as CIDR or address
	MaxInstances  int           // instances of all functions together
	Prepared      int           // booted workers that wait for a function, of one interpreter, at most
	IdleTimeout   time.Duration // after which an unused instance ends
	FreezeAfter   time.Duration // after which an unused instance is frozen, where the host can; 0 for never
	ReclaimAfter  time.Duration // after which a frozen instance is paged out, where the host has swap; 0 for never
	QueueWait     time.Duration // the longest a call waits for an instance
	QueueLength   int           // calls that wait for one function

	// AllowPrivateCodeURLs are addresses (CIDR or IP) and host names that code may be pulled from although they are private.
	AllowPrivateCodeURLs []string
	S3                   S3
	// RegistryAuth is a file with the credentials for registries of container images, as docker login writes it; "" for none.
	RegistryAuth string

	// Path lists the folders to look for interpreters in, as PATH does. It comes from PATH alone.
	Path string

	LogLevel  string // debug, info, warn or error
	LogFormat string // text or json

	RecordAge    time.Duration // records of calls older than this go
	RecordBytes  int64         // of all records together, beyond which the oldest go
	RecordEvents int           // bytes of an event that are kept for a replay; 0 for none

	QuotaFunctions int64 // functions of a project
	QuotaCodeBytes int64 // bytes of code of a project, all versions
}

// S3 is where code_url buckets are and who may read them. The zero S3 leaves plain URLs only.
type S3 struct {
	Endpoint  string // http:// or https:// URL of an S3-compatible service
	Region    string
	AccessKey string
	SecretKey string
	PathStyle bool     // bucket in the path instead of the host name
	Buckets   []string // those that code may come from; nil for all that the keys can read
}

// The kinds of sandbox.
const (
	SandboxAuto   = "auto"   // the best level the host gives; no start where it gives none
	SandboxNative = "native" // by the kernel's own calls
	SandboxOCI    = "oci"    // by OCIRuntime
	SandboxNone   = "none"   // functions run unprotected
)

// What is done about a timer's occurrences that came while the server was off.
const (
	MissedSkip = "skip"
	MissedOnce = "once" // the newest of them happens
	MissedAll  = "all"
)

// Defaults gives the settings of a server that nobody configured. DataDir is that of the user who runs it.
func Defaults() Config { return defaults(os.LookupEnv, os.Geteuid()) }

func defaults(lookup func(string) (string, bool), uid int) Config {
	return Config{
		Listen: "127.0.0.1:8080", DataDir: defaultDataDir(lookup, uid), Region: "local-1",
		TimerZone: "Asia/Shanghai", TimerMissed: MissedOnce,
		Sandbox: SandboxAuto, Egress: "none", MaxInstances: 100, Prepared: 64, IdleTimeout: time.Minute,
		FreezeAfter: time.Second, ReclaimAfter: 2 * time.Minute, QueueWait: 30 * time.Second, QueueLength: 10_000,
		LogLevel: "info", LogFormat: "text",
		RecordAge: 7 * 24 * time.Hour, RecordBytes: 1 << 30, RecordEvents: 64 << 10,
		QuotaFunctions: 400, QuotaCodeBytes: 10 << 30,
	}
}

// defaultDataDir follows the XDG base directories; "" when the environment names no home.
func defaultDataDir(lookup func(string) (string, bool), uid int) string {
	if uid == 0 {
		return "/var/lib/hanshu"
	}
	if dir, _ := lookup("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "hanshu")
	}
	if home, _ := lookup("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "hanshu")
	}
	return ""
}

var (
	regionName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	hostName   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
)

// Validate holds all settings to their rules and tells every breach at once, each by its flag.
func (c *Config) Validate() error {
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	all = append(all, c.checkListen(), c.checkPublic(), c.checkDB(), c.checkGateway(), c.MQTT.check())
	_, zoneErr := time.LoadLocation(c.TimerZone)
	check(c.TimerZone != "" && zoneErr == nil, "--timer-zone: %q must be a zone like Europe/Berlin or UTC", c.TimerZone)
	check(slices.Contains([]string{MissedSkip, MissedOnce, MissedAll}, c.TimerMissed), "--timer-missed: %q must be skip, once or all", c.TimerMissed)
	check(c.DataDir != "", "--data-dir: is empty, and HOME names no place for it")
	check(regionName.MatchString(c.Region), "--region: %q must be lower-case letters, digits and '-', starting with a letter, at most 63", c.Region)
	check(slices.Contains([]string{SandboxAuto, SandboxNative, SandboxOCI, SandboxNone}, c.Sandbox), "--sandbox: %q must be auto, native, oci or none", c.Sandbox)
	check(c.Sandbox != SandboxOCI || filepath.IsAbs(c.OCIRuntime), "--oci-runtime: %q must be the absolute path of an OCI runtime, which --sandbox=oci needs", c.OCIRuntime)
	check(c.Sandbox != SandboxNone || c.OCIRuntime == "", "--oci-runtime: is a level of isolation beside auto, native or oci, and goes with no --sandbox=none")
	check(c.OCIRuntime == "" || filepath.IsAbs(c.OCIRuntime), "--oci-runtime: %q must be an absolute path", c.OCIRuntime)
	for _, entry := range c.EgressPrivate {
		_, isAddress := parsePrefix(entry)
		check(isAddress, "--egress-private: %q is no CIDR and no address", entry)
	}
	check(c.MaxInstances >= 1 && c.MaxInstances <= 100_000, "--max-instances: %d must be 1 to 100000", c.MaxInstances)
	check(c.Prepared >= 0 && c.Prepared <= 1000, "--prepared: %d must be 0 to 1000", c.Prepared)
	check(c.IdleTimeout >= time.Second && c.IdleTimeout <= 24*time.Hour, "--idle-timeout: %v must be 1s to 24h", c.IdleTimeout)
	check(c.FreezeAfter == 0 || c.FreezeAfter >= 10*time.Millisecond && c.FreezeAfter <= 24*time.Hour, "--freeze-after: %v must be 0 (never) or 10ms to 24h", c.FreezeAfter)
	check(c.ReclaimAfter == 0 || c.ReclaimAfter >= 10*time.Millisecond && c.ReclaimAfter <= 24*time.Hour, "--reclaim-after: %v must be 0 (never) or 10ms to 24h", c.ReclaimAfter)
	check(c.QueueWait >= 10*time.Millisecond && c.QueueWait <= time.Hour, "--queue-wait: %v must be 10ms to 1h", c.QueueWait)
	check(c.QueueLength >= 1 && c.QueueLength <= 1_000_000, "--queue-length: %d must be 1 to 1000000", c.QueueLength)
	check(slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel), "--log-level: %q must be debug, info, warn or error", c.LogLevel)
	check(c.LogFormat == "text" || c.LogFormat == "json", "--log-format: %q must be text or json", c.LogFormat)
	check(c.RecordAge >= time.Hour && c.RecordAge <= 10*365*24*time.Hour, "--record-age: %v must be 1h to 87600h", c.RecordAge)
	check(c.RecordBytes >= 16<<20, "--record-bytes: %d must be at least 16777216 (16 MiB)", c.RecordBytes)
	check(c.RecordEvents >= 0 && c.RecordEvents <= 6<<20, "--record-events: %d must be 0 (none) to 6291456", c.RecordEvents)
	check(c.QuotaFunctions >= 1, "--quota-functions: %d must be at least 1", c.QuotaFunctions)
	check(c.QuotaCodeBytes >= 1, "--quota-code-bytes: %d must be at least 1", c.QuotaCodeBytes)
	for _, entry := range c.AllowPrivateCodeURLs {
		_, isAddress := parsePrefix(entry)
		check(isAddress || hostName.MatchString(entry), "--allow-private-code-urls: %q is no CIDR, address or host name", entry)
	}
	all = append(all, c.S3.check())
	return errors.Join(all...)
}

// checkListen also keeps dev mode on loopback, where only this machine can use it.
func (c *Config) checkListen() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %q must be host:port, e.g. 127.0.0.1:8080", c.Listen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("--listen: %q is no port number", port)
	}
	if c.Dev && !isLoopback(host) {
		return fmt.Errorf("--dev: asks for no credentials, so it goes with a loopback --listen only, not with %q", c.Listen)
	}
	return nil
}

// checkPublic leaves no room for a path: addresses of packages begin at the root.
func (c *Config) checkPublic() error {
	if c.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--public-url: %q must be http:// or https:// with a host, and perhaps a port, e.g. https://faas.example.com", c.PublicURL)
	}
	return nil
}

func (c *Config) checkGateway() error {
	if c.GatewayListen != "" {
		_, port, err := net.SplitHostPort(c.GatewayListen)
		if err != nil {
			return fmt.Errorf("--gateway-listen: %q must be host:port, e.g. 127.0.0.1:8081", c.GatewayListen)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("--gateway-listen: %q is no port number", port)
		}
	}
	if c.GatewayURL == "" {
		return nil
	}
	u, err := url.Parse(c.GatewayURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--gateway-url: %q must be http:// or https:// with a host, and perhaps a port and a path", c.GatewayURL)
	}
	return nil
}

// Loopback tells whether the API can be reached from this machine only.
func (c *Config) Loopback() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && isLoopback(host)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// checkDB never quotes the URL: it may hold a password.
func (c *Config) checkDB() error {
	if c.DB == "" {
		return nil
	}
	u, err := url.Parse(c.DB)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.Host == "" && u.Query().Get("host") == "" {
		return errors.New("--db: must be postgres://user:password@host:port/database; leave it out for SQLite in --data-dir")
	}
	return nil
}

func (s *S3) check() error {
	if s.Endpoint == "" && s.Region == "" && s.AccessKey == "" && s.SecretKey == "" && !s.PathStyle && len(s.Buckets) == 0 {
		return nil
	}
	u, err := url.Parse(s.Endpoint)
	switch {
	case s.Endpoint == "":
		return errors.New("--s3-endpoint: is needed with the other --s3 settings")
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "":
		return fmt.Errorf("--s3-endpoint: must be http://host:port or https://host:port")
	case (s.AccessKey == "") != (s.SecretKey == ""):
		return errors.New("--s3-access-key: goes together with --s3-secret-key")
	}
	return nil
}

// parsePrefix reads a CIDR, or an address as a CIDR of one.
func parsePrefix(text string) (netip.Prefix, bool) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked(), true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, addr.BitLen()), true
}

// PrivateCodeURLs gives AllowPrivateCodeURLs as address ranges and lower-case host names.
func (c *Config) PrivateCodeURLs() (ranges []netip.Prefix, hosts []string) {
	for _, entry := range c.AllowPrivateCodeURLs {
		if prefix, ok := parsePrefix(entry); ok {
			ranges = append(ranges, prefix)
		} else {
			hosts = append(hosts, strings.ToLower(entry))
		}
	}
	return ranges, hosts
}

// EgressPrefixes gives EgressPrivate as address ranges.
func (c *Config) EgressPrefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, entry := range c.EgressPrivate {
		if prefix, ok := parsePrefix(entry); ok {
			all = append(all, prefix)
		}
	}
	return all
}

// Level gives LogLevel for slog; info for one that Validate refuses.
func (c *Config) Level() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return slog.LevelInfo
	}
	return level
}
