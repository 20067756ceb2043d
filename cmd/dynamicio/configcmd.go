package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/config"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, show or begin a configuration file",
		Long: `Check, show or begin a configuration file for serve --config. It is YAML; its
keys are the names of the flags, and two more: "namespaces", rules that say what
clients may do in which namespaces, and "hosts", the aliases of virtual hosts.
"dynamicio config default" explains them all.

Flags beat the environment, the environment beats the file. SIGHUP makes a
running node reload the rules, the aliases and the retirement time; other
changes need a restart, and are logged. A file with an error changes nothing, nor
does one in which a rule has lost a restriction and does not say that it is meant.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("config needs check, default or show")
		},
	}
	cmd.AddCommand(configCheckCommand(), configDefaultCommand(), configShowCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Say everything that is wrong with a configuration file",
		Long: `Read a configuration file, "-" for standard input, and say everything that is
wrong with it, one error a line; of values that do not fit together, once each is
good by itself. Exit 0 if nothing is wrong, else 2; warnings, as of a token that
is short, change nothing in that. The files and environment variables that it
names for secrets must be there. Of a valid file it says which namespaces are
open, so that clients need not present anything.`,
		Example: `  dynamicio config check dynamicio.yaml && systemctl reload dynamicio`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usagef(`config check needs the name of a file, or "-" for standard input`)
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s := newSettings()
			err := s.readFile(args[0], cmd.InOrStdin())
			if err == nil {
				err = s.verify()
			}
			if err != nil {
				return checkError(args[0], err)
			}
			for _, weak := range s.file.Weak() {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", weak)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is well: %s\n", s.file.Name, s.contents())
			for _, line := range s.openings() {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return nil
		},
	}
}

// contents says what is in the file.
func (s *settings) contents() string {
	return fmt.Sprintf("settings: %d, rules for namespaces: %d, aliases of hosts: %d",
		len(s.file.Settings), len(s.file.Rules.Rules), s.file.Rules.Hosts.Len())
}

// openings says where clients need not present anything.
func (s *settings) openings() (lines []string) {
	if len(s.file.Rules.Rules) == 0 {
		return []string{"open: every namespace, for everybody and everything, since there are no rules"}
	}
	for i, r := range s.file.Rules.Rules {
		if !r.Anybody() {
			continue
		}
		where := ""
		if !r.AnyHost {
			where = fmt.Sprintf(" on the host %q", strings.TrimPrefix(r.Host.String(), rules.MainHost.String()))
		}
		lines = append(lines, fmt.Sprintf("open: %s%s, by namespaces[%d] in line %d: nothing is asked of who connects", r.Match, where, i, s.file.RuleLine(i)))
	}
	return lines
}

// listError is a mistake in usage of several lines, printed as they are.
type listError struct{ lines []string }

func (e *listError) Error() string { return strings.Join(e.lines, "\n") }

// checkError puts what is wrong with a file in lines, each with its name.
func checkError(file string, err error) error {
	wrong, ok := errors.AsType[config.Errors](err)
	if !ok {
		wrong = config.Errors{{Text: err.Error()}}
	}
	var list listError
	for _, e := range wrong {
		text := strings.TrimPrefix(e.Error(), "--config: ")
		if !strings.HasPrefix(text, file) && e.File == "" {
			text = file + ": " + text
		}
		list.lines = append(list.lines, text)
	}
	return &list
}

func configDefaultCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "default",
		Short:   "Print a configuration file with every key, commented",
		Long:    `Print a configuration file with every key, its meaning and its default, commented out.`,
		Example: `  dynamicio config default > dynamicio.yaml`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var f serveFlags
			return config.WriteDefault(cmd.OutOrStdout(), f.groups())
		},
	}
}

func configShowCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "show [--config FILE] [flags]",
		Short: "Print the settings that serve would have, and where each comes from",
		Long: `Print the settings that serve would have with the same flags and environment,
and where each comes from. Secrets are not shown.`,
		Example: `  DYNAMICIO_LISTEN=:9000 dynamicio config show --config dynamicio.yaml`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags())
			if err != nil {
				return err
			}
			return s.show(cmd.OutOrStdout())
		},
	}
	f.addTo(cmd)
	return cmd
}

// show prints the settings in YAML, with their origins as comments.
func (s *settings) show(out io.Writer) error {
	w := bufio.NewWriter(out)
	s.flags.VisitAll(func(f *pflag.Flag) {
		if config.Excluded(f.Name) {
			return
		}
		from := "default"
		if o, ok := s.origins[f.Name]; ok {
			switch o.from {
			case fromCommandLine:
				from = "--" + f.Name
			case fromEnvironment:
				from = envName(f.Name)
			case fromFile:
				from = fmt.Sprintf("%s:%d", o.file, o.line)
			}
		}
		values := masked(f)
		if s.inFile(f.Name) {
			values = []string{""}
		}
		fmt.Fprintf(w, "%-40s # %s\n", f.Name+": "+config.ValueOf(f, values), from)
	})
	if s.file != nil {
		fmt.Fprintf(w, "# %s has %s\n", s.file.Name, s.contents())
	}
	return w.Flush()
}

// masked returns the values of a flag without secrets.
func masked(f *pflag.Flag) []string {
	value := f.Value.String()
	switch {
	case f.Name == "status-token" && value != "":
		value = "(secret)"
	case f.Name == "redis" && value != "":
		value = cluster.RedactURL(value)
	}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	return []string{value}
}
