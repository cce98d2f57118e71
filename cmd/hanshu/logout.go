package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

func newLogoutCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Short:   "forget what login saved",
		Long:    "Logout removes the file that login saved. It changes nothing on the server." + exitHelp(exitOK, exitServer),
		Example: "  hanshu logout",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return runLogout(c) },
	}
}

func runLogout(c *cli) error {
	path, err := savedLogin()
	if err != nil {
		return err
	}
	err = os.Remove(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	removed := err == nil
	switch {
	case c.json:
		c.printJSON(map[string]any{"removed": removed, "file": path})
	case removed:
		c.printf("Removed %s\n", path)
	default:
		c.printf("There was no login.\n")
	}
	return nil
}
