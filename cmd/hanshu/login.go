package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hanshu-faas/hanshu/client"
)

type loginOptions struct {
	user, password, domain string
	accessKey, secretKey   string
	project                string
}

func newLoginCommand(c *cli) *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:   "login",
		Short: "point the other commands at a server",
		Long: `Login tries an identity on a server, and saves both for the other commands, readable by you only. The identity is a file such
as the server's admin.json, a user with a password (asked for when --password is left out), or an access key.` +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu login --admin-file data/admin.json
  hanshu login --endpoint http://10.0.0.5:8080 --user admin
  hanshu login --endpoint http://10.0.0.5:8080 --access-key AK --secret-key SK`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLogin(cmd.Context(), c, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.user, "user", "", "name of a user")
	flags.StringVar(&o.password, "password", "", "its password")
	flags.StringVar(&o.domain, "domain", "hanshu", "domain of the user")
	flags.StringVar(&o.accessKey, "access-key", "", "access key, instead of a user")
	flags.StringVar(&o.secretKey, "secret-key", "", "secret key that goes with it")
	flags.StringVar(&o.project, "project", "", "name or id of the project, where there are several")
	return cmd
}

func runLogin(ctx context.Context, c *cli, o loginOptions) error {
	found, err := o.credentials(c)
	if err != nil {
		return err
	}
	if err := complete(ctx, c, &found, o.project); err != nil {
		return err
	}
	path, err := savedLogin()
	if err != nil {
		return err
	}
	if err := save(path, found); err != nil {
		return err
	}
	if c.json {
		c.printJSON(map[string]string{"endpoint": found.Endpoint, "region": found.Region, "project_id": found.ProjectID, "saved": path})
		return nil
	}
	c.printf("Logged in to %s, region %s, project %s.\nSaved in %s\nNext: %s\n",
		c.clean(found.Endpoint), c.clean(found.Region), c.clean(found.ProjectID), path, quote(c.name)+" list")
	return nil
}

// credentials gathers the identity from the flags.
func (o loginOptions) credentials(c *cli) (client.Credentials, error) {
	switch {
	case c.adminFile != "" && (o.user != "" || o.accessKey != ""):
		return client.Credentials{}, usagef("--admin-file holds an identity; leave out --user and --access-key")
	case c.adminFile != "":
		found, err := load(c.adminFile)
		if c.endpoint != "" {
			found.Endpoint = c.endpoint
		}
		return found, err
	case c.endpoint == "":
		return client.Credentials{}, usagef("login needs --admin-file, or --endpoint with --user or --access-key")
	case (o.user == "") == (o.accessKey == ""):
		return client.Credentials{}, usagef("login needs either --user or --access-key")
	case (o.accessKey == "") != (o.secretKey == ""):
		return client.Credentials{}, usagef("--access-key goes together with --secret-key")
	case o.user == "":
		return client.Credentials{Endpoint: c.endpoint, AccessKey: o.accessKey, SecretKey: o.secretKey}, nil
	}
	if o.password == "" {
		if !c.asks {
			return client.Credentials{}, usagef("--user needs --password where nobody can be asked")
		}
		c.notef("Password of %s: ", o.user)
		text, err := term.ReadPassword(int(os.Stdin.Fd()))
		c.notef("\n")
		if err != nil {
			return client.Credentials{}, fmt.Errorf("read the password: %w", err)
		}
		o.password = string(text)
	}
	return client.Credentials{Endpoint: c.endpoint, Domain: o.domain, User: o.user, Password: o.password}, nil
}

// complete proves the credentials on the server, and finds the region and the project that they leave out.
func complete(ctx context.Context, c *cli, found *client.Credentials, project string) error {
	server, err := c.clientFor(*found, http.DefaultTransport)
	if err != nil {
		return err
	}
	status, err := server.Status(ctx)
	if err != nil {
		return err
	}
	found.Endpoint, found.Region = server.Config().Endpoint, status.Region
	if found.ProjectID != "" && project == "" {
		return nil
	}
	projects, err := server.Projects(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, p := range projects {
		if p.ID == project || p.Name == project || project == "" && (p.Name == status.Region || len(projects) == 1) {
			found.ProjectID = p.ID
			return nil
		}
		names = append(names, p.Name)
	}
	return usagef("choose a project by --project: %s", strings.Join(names, ", "))
}

// save writes the file in one step, so that a reader finds the old one or the new one.
func save(path string, found client.Credentials) error {
	text, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the login: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".login-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first failure is the one to tell
	}
	return err
}
