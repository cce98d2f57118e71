// Command hanshu is the server and the command line.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

var version = "dev"

func main() {
	root := &cobra.Command{Use: "hanshu", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(newServeCommand())
	if err := root.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "hanshu:", err)
		os.Exit(1)
	}
}
