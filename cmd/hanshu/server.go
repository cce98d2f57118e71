package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanshu-faas/hanshu/client"
	"github.com/hanshu-faas/hanshu/internal/config"
)

// client makes a client of the server that flags, environment and files name.
func (c *cli) client() (*client.Client, error) { return c.clientOver(http.DefaultTransport) }

func (c *cli) clientOver(transport http.RoundTripper) (*client.Client, error) {
	credentials, err := c.credentials()
	if err != nil {
		return nil, err
	}
	return c.clientFor(credentials, transport)
}

// clientFor makes a client that speaks to the address of --endpoint, or of the credentials.
func (c *cli) clientFor(credentials client.Credentials, transport http.RoundTripper) (*client.Client, error) {
	if c.endpoint != "" {
		credentials.Endpoint = c.endpoint
	}
	cfg := credentials.Config()
	cfg.HTTP = &http.Client{Transport: transport, CheckRedirect: client.StayHere}
	made, err := client.New(cfg)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return made, nil
}

// credentials searches in the order that the help of the program documents.
func (c *cli) credentials() (client.Credentials, error) {
	for _, named := range []string{c.adminFile, c.env("HANSHU_ADMIN_FILE")} {
		if named != "" {
			return load(named)
		}
	}
	var places []string
	if saved, err := savedLogin(); err == nil {
		places = append(places, saved)
	}
	if here := filepath.Join("data", "admin.json"); private(here) {
		places = append(places, here)
	}
	cfg, _ := config.FromEnv(c.lookup) // what is wrong in the settings of a server is no matter to its client
	if cfg.DataDir != "" {
		places = append(places, filepath.Join(cfg.DataDir, "admin.json"))
	}
	for _, place := range places {
		if found, err := load(place); !errors.Is(err, fs.ErrNotExist) {
			return found, err
		}
	}
	return client.Credentials{}, usagef("no server is known: start one with 'hanshu serve', name its DIR/admin.json by --admin-file, or use 'hanshu login'")
}

// load reads a file of credentials. A file that is not there stays fs.ErrNotExist for who looks further.
func load(path string) (client.Credentials, error) {
	found, err := client.LoadCredentials(path)
	if err == nil {
		return found, nil
	}
	return found, &badFile{usageError{err.Error()}, err}
}

// badFile is the usage error of a file that cannot be used, with its cause.
type badFile struct {
	usageError
	cause error
}

// Unwrap gives the usage error and the cause.
func (e *badFile) Unwrap() []error { return []error{&e.usageError, e.cause} }

// private tells whether only its owner may use a file. A file that came with a folder from elsewhere is not: such a file
// could point the commands to a stranger's server.
func private(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 == 0
}

// savedLogin is the file that login writes.
func savedLogin() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "hanshu", "login.json"), nil
}

// ref reads the name of a function from the command line.
func ref(text string) (client.Ref, error) {
	r, err := client.ParseRef(text)
	if err != nil {
		return r, usagef("%v", err)
	}
	return r, nil
}

// wholeRef is ref for a command that is about all versions of a function together.
func wholeRef(text string) (client.Ref, error) {
	r, err := ref(text)
	if err == nil && r.Qualifier != "" {
		return r, usagef("this is about all versions together; leave out :%.60s, or see 'hanshu runs ls'", r.Qualifier)
	}
	return r, err
}

// completeNames offers the functions of the server, if it answers at once.
func (c *cli) completeNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	server, err := c.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	var names []string
	for f, err := range server.ListFunctions(ctx, client.ListOptions{}) {
		if err != nil {
			break
		}
		names = append(names, shortName(f))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// shortName is the shortest name by which commands find a function.
func shortName(f *client.Function) string {
	if f.Package == "default" {
		return f.Name
	}
	return f.Package + ":" + f.Name
}
