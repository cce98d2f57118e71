package main

import (
	"cmp"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
)

// What a new function gets when nobody says otherwise.
const (
	defaultPackage     = "default"
	defaultMemory      = 128 // MB
	defaultTimeout     = 30  // seconds
	defaultInitTimeout = 30  // seconds
)

func newDeployCommand(c *cli) *cobra.Command {
	var flags manifest
	var env []string
	var initHandler, egress, isolation, agency string
	cmd := &cobra.Command{
		Use:   "deploy PATH",
		Short: "send a function to the server",
		Long: `Deploy makes a function of PATH, or brings the one of that name up to date, code and settings. PATH is a folder, a single .py, .js
or .php file, a .zip or a .jar. What is already so on the server is left alone, so that deploying twice changes nothing.

Settings come from the flags, else from hanshu.json in the folder (see 'hanshu help new'); what neither says stays as it is on the
server, and a new function gets ` + fmt.Sprintf("%d MB and %d s", defaultMemory, defaultTimeout) + `. --env adds to user_data of hanshu.json, or of the function where there is none.

Of a folder everything is sent but .git, __pycache__, hanshu.json and what .hanshuignore lists: a pattern a line, such as *.log,
tests/ or docs/*.md.` + exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu deploy hello
  hanshu deploy job.py --runtime Python3.9 --memory 256 --timeout 60
  hanshu deploy build.zip --name order --handler src/index.handler --env STAGE=test`,
		Args: oneArg("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range []string{"memory", "timeout"} { // 0 would read as nothing said
				if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "0" {
					return usagef("--%s cannot be 0; leave it out to keep what is there", name)
				}
			}
			for _, name := range []string{"name", "package", "runtime", "handler"} {
				if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "" {
					return usagef("--%s cannot be empty; leave it out to keep what is there", name)
				}
			}
			if cmd.Flags().Changed("init-handler") {
				flags.InitializerHandler = &initHandler
			}
			if cmd.Flags().Changed("egress") {
				flags.Egress = &egress
			}
			if cmd.Flags().Changed("isolation") {
				flags.Isolation = &isolation
			}
			if cmd.Flags().Changed("agency") {
				flags.Agency = &agency
			}
			return runDeploy(cmd.Context(), c, args[0], flags, env)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.Name, "name", "", "name of the function; that of the folder or file by default")
	f.StringVar(&flags.Package, "package", "", "its package, a group of functions")
	f.StringVar(&flags.Runtime, "runtime", "", "runtime such as Python3.9; 'hanshu runtimes' lists them")
	f.StringVar(&flags.Handler, "handler", "", "file and function to call, such as index.handler")
	f.StringVar(&initHandler, "init-handler", "", "function to run once in a new instance; \"\" for none")
	f.IntVar(&flags.MemorySize, "memory", 0, "memory of an instance in MB")
	f.IntVar(&flags.Timeout, "timeout", 0, "longest time of a call in seconds")
	f.StringVar(&egress, "egress", "", "what it may reach over the network: none, open, or a list such as api.example.com:443,10.1.0.0/16; \"\" for what the project has")
	f.StringVar(&isolation, "isolation", "", "its level of isolation: native or oci; \"\" for what the project has")
	f.StringVar(&agency, "agency", "", "agency whose rights on this server its calls have ('hanshu agency'); \"\" for none")
	f.StringArrayVar(&flags.Dependencies, "dependency", nil, "`NAME[:VERSION]` of a dependency, the newest version by default; may be given again, in order")
	f.StringArrayVar(&env, "env", nil, "`NAME=VALUE` for the function's user data; may be given again")
	return cmd
}

// deployed is the outcome, as --json shows it.
type deployed struct {
	Action    string   `json:"action"` // "created", "updated" or "unchanged"
	Changed   []string `json:"changed"`
	Name      string   `json:"name"`
	Package   string   `json:"package"`
	URN       string   `json:"urn"`
	Runtime   string   `json:"runtime"`
	Notice    string   `json:"runtime_notice"`
	Warning   string   `json:"warning"` // what is likely to fail in a call; "" for nothing
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"` // bytes
	Files     int      `json:"files"`
	TookMS    int64    `json:"took_ms"`
	InvokeURL string   `json:"invoke_url"`
	Curl      string   `json:"curl"` // "" where this login can give no token
}

func runDeploy(ctx context.Context, c *cli, path string, flags manifest, env []string) error {
	begun := time.Now()
	src, err := readSource(c, path)
	if err != nil {
		return err
	}
	want, err := src.settings(flags, env)
	if err != nil {
		return err
	}
	server, err := c.clientOver(uploads{c})
	if err != nil {
		return err
	}
	d := deployment{c: c, server: server, src: src, want: want, ref: client.Ref{Package: want.Package, Name: want.Name}}
	f, err := d.run(ctx)
	if err != nil {
		return err
	}
	urn := strings.TrimSuffix(f.URN, ":latest")
	out := deployed{
		Action: d.action, Changed: d.changed, Name: f.Name, Package: f.Package, URN: urn, Runtime: f.Runtime, Notice: f.RuntimeNotice,
		Warning: absentHandler(f.Handler, src.files),
		Digest:  f.Digest, Size: f.CodeSize, Files: len(src.files), TookMS: time.Since(begun).Milliseconds(),
		InvokeURL: server.InvocationURL(urn),
	}
	if len(f.Dependencies) > 0 {
		out.Warning = "" // it may be in one of them
	}
	if server.Config().Password != "" {
		out.Curl = fmt.Sprintf(`curl -sS -X POST -H "X-Auth-Token: $(%s)" -H 'Content-Type: application/json' -d '{}' %s`, c.self("token"), quote(out.InvokeURL))
	}
	c.showDeployed(out, f)
	return nil
}

func (c *cli) showDeployed(d deployed, f *client.Function) {
	if c.json {
		c.printJSON(d)
		return
	}
	what := d.Action
	if d.Action == "updated" {
		what += " " + strings.Join(d.Changed, " and ")
	}
	c.printf("%s (%s): %s, handler %s, %d MB, %d s\n", shortName(f), what, f.Runtime, f.Handler, f.MemorySize, f.Timeout)
	if d.Notice != "" {
		c.printf("  note    %s\n", c.clean(d.Notice))
	}
	if d.Warning != "" {
		c.printf("  note    %s\n", c.clean(d.Warning))
	}
	c.printf("  URN     %s\n  digest  %.12s, %s, files: %d\n  took    %.2f s\n", d.URN, d.Digest, size(d.Size), d.Files, float64(d.TookMS)/1000)
	if d.Curl != "" {
		c.printf("  curl    %s\n", d.Curl)
	}
	c.printf("Next: %s\n", c.self("invoke", shortName(f), "-d", "{}"))
}

// deployment brings one function on the server to what is wanted.
type deployment struct {
	c      *cli
	server *client.Client
	src    *source
	want   wanted
	ref    client.Ref

	action  string
	changed []string // "settings", "code"
}

func (d *deployment) run(ctx context.Context) (*client.Function, error) {
	urn := d.server.URN(d.ref)
	f, err := d.server.ShowFunctionConfig(ctx, urn)
	var missing *client.APIError
	if errors.As(err, &missing) && missing.Status == http.StatusNotFound {
		return d.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	d.action = "unchanged"
	d.changed = []string{}
	// Settings first: a mistake in them is the likelier one, and then nothing has changed.
	change, differs, err := d.change(f)
	if err != nil {
		return nil, err
	}
	if differs {
		if _, err := d.server.UpdateFunctionConfig(ctx, urn, change); err != nil {
			return nil, err
		}
		d.action, d.changed = "updated", append(d.changed, "settings")
	}
	if err := d.updateCode(ctx, urn, f); err != nil {
		return nil, err
	}
	if d.action == "unchanged" {
		return f, nil
	}
	return d.server.ShowFunctionConfig(ctx, urn)
}

// updateCode sends what differs of the package and the dependencies.
func (d *deployment) updateCode(ctx context.Context, urn string, f *client.Function) error {
	in := client.UpdateFunctionCodeRequest{CodeType: d.src.kind}
	var changed []string
	if sum := sha512.Sum512(d.src.zip); f.Digest != hex.EncodeToString(sum[:]) {
		in.CodeFilename, in.Code.File = d.filename(), d.src.zip
		changed = append(changed, "code")
	}
	uses, err := dependencyIDs(ctx, d.server, d.want.Dependencies)
	if err != nil {
		return err
	}
	if uses != nil && !slices.Equal(uses, f.Dependencies) {
		in.Dependencies = &uses
		changed = append(changed, "dependencies")
	}
	if changed == nil {
		return nil
	}
	d.action, d.changed = "updated", append(d.changed, changed...)
	_, err = d.server.UpdateFunctionCode(ctx, urn, in)
	return err
}

// absentHandler warns of a handler whose file is not in the package. It keeps to what is true of every language: the file's
// name begins with what stands before the handler's last dot, or a folder has that name.
func absentHandler(handler string, files []string) string {
	dot := strings.LastIndexByte(handler, '.')
	if dot < 0 {
		return ""
	}
	module := strings.TrimPrefix(handler[:dot], "./")
	if slices.ContainsFunc(files, func(file string) bool { return strings.HasSuffix(file, ".jar") }) {
		return "" // it may lie in there
	}
	dotted := strings.ReplaceAll(module, ".", "/") // as Python names what lies in a folder
	for _, file := range files {
		for _, name := range []string{module, dotted} {
			if strings.HasPrefix(file, name+".") || strings.HasPrefix(file, name+"/") {
				return ""
			}
		}
	}
	return fmt.Sprintf("no file of the package is named as the handler %s says; calls will fail", handler)
}

func (d *deployment) filename() string { return d.want.Name + "." + d.src.kind }

func (d *deployment) create(ctx context.Context) (*client.Function, error) {
	w := d.want
	if w.Runtime == "" {
		if d.src.handler == bootstrapName {
			return nil, usagef("there is a bootstrap in %s; say --runtime Custom if it asks for requests, --runtime http if it is a web server", d.src.path)
		}
		if d.src.language.prefix == "" {
			return nil, usagef("there is no index.py or index.js in %s; say --runtime and --handler", d.src.path)
		}
		var err error
		if d.src.language.prefix == runtimeWASM {
			w.Runtime = runtimeWASM
		} else if w.Runtime, err = d.c.defaultRuntime(ctx, d.src.language.prefix); err != nil {
			return nil, err
		}
	}
	if w.Handler == "" && d.src.handler == "" {
		return nil, usagef("which function of %s is to be called? say --handler", d.src.path)
	}
	d.action, d.changed = "created", []string{"settings", "code"}
	in := client.CreateFunctionRequest{
		Name: w.Name, Package: w.Package, Runtime: w.Runtime, Handler: cmp.Or(w.Handler, d.src.handler), MemorySize: cmp.Or(w.MemorySize, defaultMemory),
		Timeout: cmp.Or(w.Timeout, defaultTimeout), CodeType: d.src.kind, CodeFilename: d.filename(), Code: &client.Code{File: d.src.zip},
		Description: value(w.Description), InitializerHandler: value(w.InitializerHandler), InitializerTimeout: value(w.InitializerTimeout),
		Egress: value(w.Egress), Isolation: value(w.Isolation), Agency: value(w.Agency),
	}
	if in.InitializerHandler != "" && in.InitializerTimeout == 0 {
		in.InitializerTimeout = defaultInitTimeout
	}
	var err error
	if in.Dependencies, err = dependencyIDs(ctx, d.server, w.Dependencies); err != nil {
		return nil, err
	}
	if data := w.userData(nil); len(data) > 0 {
		text, err := json.Marshal(data)
		if err != nil {
			return nil, fmt.Errorf("encode user data: %w", err)
		}
		in.UserData = string(text)
	}
	return d.server.CreateFunction(ctx, in)
}

// change gives the settings that the function is to have, and whether they differ from those it has.
func (d *deployment) change(f *client.Function) (client.UpdateFunctionConfigRequest, bool, error) {
	w := d.want
	in := client.UpdateFunctionConfigRequest{
		Name: f.Name, Runtime: cmp.Or(w.Runtime, f.Runtime), Handler: cmp.Or(w.Handler, f.Handler),
		MemorySize: cmp.Or(w.MemorySize, f.MemorySize), Timeout: cmp.Or(w.Timeout, f.Timeout),
		Description: w.Description, InitializerHandler: w.InitializerHandler, InitializerTimeout: w.InitializerTimeout,
		Egress: w.Egress, Isolation: w.Isolation, Agency: w.Agency,
	}
	if value(in.InitializerHandler) != "" && f.InitializerTimeout == 0 && in.InitializerTimeout == nil {
		seconds := defaultInitTimeout
		in.InitializerTimeout = &seconds
	}
	differs := in.Runtime != f.Runtime || in.Handler != f.Handler || in.MemorySize != f.MemorySize || in.Timeout != f.Timeout ||
		changes(in.Description, f.Description) || changes(in.InitializerHandler, f.InitializerHandler) ||
		changes(in.InitializerTimeout, f.InitializerTimeout) || changes(in.Egress, f.Egress) || changes(in.Isolation, f.Isolation) ||
		changes(in.Agency, f.Agency)
	has := map[string]string{}
	if f.UserData != "" {
		if err := json.Unmarshal([]byte(f.UserData), &has); err != nil && len(w.env) > 0 && w.UserData == nil {
			return in, false, usagef("the function's user data holds more than texts, so that --env cannot be added to it; give user_data in %s", manifestName)
		}
	}
	if data := w.userData(has); data != nil && !maps.Equal(data, has) {
		text, err := json.Marshal(data)
		if err != nil {
			return in, false, fmt.Errorf("encode user data: %w", err)
		}
		whole := string(text)
		in.UserData, differs = &whole, true
	}
	return in, differs, nil
}

func changes[T comparable](to *T, from T) bool { return to != nil && *to != from }

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
