package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/config"
)

// usageWidth is where lines of help are broken.
const usageWidth = 100

// groupUsage shows the flags of a command under headings.
func groupUsage(cmd *cobra.Command, groups []config.Group) {
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		var b strings.Builder
		fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
		if cmd.HasExample() {
			fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
		}
		for _, g := range groups {
			fmt.Fprintf(&b, "\n%s:\n%s", g.Title, g.Flags.FlagUsagesWrapped(usageWidth))
		}
		b.WriteString("\nEvery flag has an environment variable, such as DYNAMICIO_PUBLIC_STATUS.\n")
		_, err := fmt.Fprint(cmd.OutOrStderr(), b.String())
		return err
	})
}
