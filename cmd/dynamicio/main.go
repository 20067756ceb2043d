// Command dynamicio runs a Socket.IO server with virtual hosts and namespaces
// that come and go by themselves. See "dynamicio help".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1 // failed while running
	exitUsage  = 2 // wrong usage or configuration
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError is the caller's mistake: a wrong flag or value.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(joinBools(root, args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if list, ok := errors.AsType[*listError](err); ok {
		fmt.Fprintln(stderr, list)
		return exitUsage
	}
	fmt.Fprintln(stderr, "dynamicio:", strings.ReplaceAll(err.Error(), "\n", "; "))
	if _, usage := errors.AsType[*usageError](err); usage {
		return exitUsage
	}
	return exitFailed
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "dynamicio",
		Short: "A Socket.IO server with virtual hosts and namespaces that retire when idle",
		Long: `dynamicio is a Socket.IO server. A namespace comes to life when a client asks
for it, on any virtual host, and is retired when it has been empty long enough.

Begin with "dynamicio demo", or with "dynamicio serve" and any Socket.IO client.

Every flag has an environment variable: --public-status is DYNAMICIO_PUBLIC_STATUS.
Flags beat the environment, the environment beats the configuration file of serve.
"dynamicio completion --help" tells how the shell completes commands and flags.
Exit status: 0 done, 1 failed while running, 2 wrong usage or configuration.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef(`no command given; "dynamicio help" lists them`)
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(serveCommand(), demoCommand(), statusCommand(), emitCommand(), configCommand(), healthcheckCommand(), versionCommand())
	return root
}

// noArgs refuses positional arguments as a mistake in usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasParent() {
		return usagef(`unknown command %q; "dynamicio help" lists them`, args[0])
	}
	return usagef("%s takes no arguments, got %q", cmd.CommandPath(), args[0])
}
