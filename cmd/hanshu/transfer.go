package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func newExportCommand(c *cli) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export NAME",
		Short: "write a function into a file",
		Long: `Export writes a zip with a function's settings and package, which 'hanshu import' and ImportFunction take. Of secrets it holds the
names alone; of dependencies what they are called, and triggers are not in it. NAME is a name, package:name, or a URN.` +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu export hello
  hanshu export hello --out backup/hello.zip`,
		Args:              oneArg("NAME"),
		ValidArgsFunction: c.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return runExport(cmd.Context(), c, args[0], out) },
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write; NAME.zip where none is given")
	return cmd
}

func runExport(ctx context.Context, c *cli, name, out string) error {
	r, err := ref(name)
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	data, err := server.ExportFunction(ctx, server.URN(r))
	if err != nil {
		return err
	}
	if out == "" {
		out = r.Name + ".zip"
	}
	if err := os.WriteFile(out, data, 0o600); err != nil {
		return usagef("%v", err)
	}
	if c.json {
		c.printJSON(map[string]any{"file": out, "bytes": len(data)})
		return nil
	}
	c.printf("wrote %s, %s\n", c.clean(out), size(int64(len(data))))
	return nil
}

func newImportCommand(c *cli) *cobra.Command {
	var name, pkg string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "make a function of an exported one",
		Long: `Import makes a function of what 'hanshu export' wrote, or of what FunctionGraph's ExportFunction answered: a zip, the same in base64,
or the JSON around it. Dependencies are found by their ids, or by their names and packages; secrets come without values.` +
			exitHelp(exitOK, exitUsage, exitRefused, exitServer),
		Example: `  hanshu import hello.zip
  hanshu import hello.zip --name hello-again --package test`,
		Args: oneArg("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runImport(cmd.Context(), c, args[0], name, pkg)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the function, in place of the exported one's")
	cmd.Flags().StringVar(&pkg, "package", "", "package of the function, in place of the exported one's")
	return cmd
}

func runImport(ctx context.Context, c *cli, file, name, pkg string) error {
	data, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return usagef("%v", err)
	}
	if data = exportIn(data); data == nil {
		return usagef("%s is no export: neither a zip, nor one in base64, nor the JSON around it", file)
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	f, err := server.ImportFunction(ctx, name, pkg, data)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(f)
		return nil
	}
	c.printf("created %s\n", c.clean(f.URN))
	return nil
}

// exportIn finds the zip in what an export may have been saved as; nil where there is none.
func exportIn(data []byte) []byte {
	isZip := func(data []byte) bool { return bytes.HasPrefix(data, []byte("PK")) }
	if isZip(data) {
		return data
	}
	text := bytes.TrimSpace(data)
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) == nil {
		code := string(object["file_code"])
		if len(object) == 1 && code == "" { // as an older sample of the vendor's documentation shows it: the code is the only name
			for only := range object {
				code = `"` + only + `"`
			}
		}
		text = bytes.Trim([]byte(code), `"`)
	}
	unpacked, err := base64.StdEncoding.DecodeString(string(bytes.Trim(text, `"`)))
	if err != nil || !isZip(unpacked) {
		return nil
	}
	return unpacked
}
