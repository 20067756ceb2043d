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
	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/config"
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

// untilHangup ends a context when the terminal is closed, so that what runs in
// it ends as it does with Ctrl-C.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// usageError is the caller's mistake: a wrong flag or value.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetOut(stdout)
	root.SetErr(stderr)
	adoptDefaults(root)
	root.SetArgs(joinBools(root, args))
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
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", usageWidth)))
	root.AddCommand(serveCommand(), demoCommand(), statusCommand(), emitCommand(), configCommand(), healthcheckCommand(), versionCommand())
	return root
}

// flagError makes a mistake in usage of what the flag package says.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := config.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			return usagef("%w; did you mean --%s?", err, near)
		}
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return wrongValue("--"+wrong.GetFlag().Name, wrong.GetFlag(), wrong.GetValue())
	}
	return &usageError{err}
}

// wrongValue says what was wanted instead of a value. name is how it was given.
func wrongValue(name string, f *pflag.Flag, value string) error {
	want := "another value"
	switch f.Value.Type() {
	case "bool":
		want = "true or false"
	case "int":
		want = "a whole number"
	case "float64":
		want = "a number"
	case "duration":
		want = `a duration such as "10s"`
	case "networks":
		want = `networks such as "10.0.0.0/8,fd00::/8", or true`
	}
	return usagef("%s is %q, want %s", name, value, want)
}

// adoptDefaults gives the commands that cobra brings along the manners of ours:
// a mistake in usage is an error. It also lets the shell complete what it can.
// Some of them write to where root writes by now.
func adoptDefaults(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		completeChoices(cmd)
		switch cmd.Name() {
		case "help":
			cmd.Run, cmd.RunE = nil, help
		case "completion":
			cmd.Args, cmd.RunE = noArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			for _, shell := range cmd.Commands() {
				shell.Args = noArgs
			}
		case "config":
			for _, sub := range cmd.Commands() {
				completeChoices(sub)
			}
		}
	}
}

// help prints what there is to say about a command.
func help(cmd *cobra.Command, args []string) error {
	about, rest, err := cmd.Root().Find(args)
	switch {
	case err != nil:
		return unknownCommand(cmd.Root(), args[0])
	case len(rest) > 0:
		return unknownCommand(about, rest[0])
	}
	about.InitDefaultHelpFlag() // which is otherwise made when the command runs
	return about.Help()
}

// noArgs refuses positional arguments as a mistake in usage.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasAvailableSubCommands():
		return unknownCommand(cmd, args[0])
	}
	return usagef("%s takes no arguments, got %q", cmd.CommandPath(), args[0])
}

// unknownCommand says which commands there are, or which one was meant.
func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2 // letters
	for _, near := range cmd.SuggestionsFor(name) {
		return usagef("unknown command %q; did you mean %q?", name, near)
	}
	return usagef(`unknown command %q; "%s --help" lists them`, name, cmd.CommandPath())
}
