package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// environ gives every flag that is not on the command line the value of its
// environment variable, if that is set.
func environ(flags *pflag.FlagSet) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		name := envName(f.Name)
		value, set := os.LookupEnv(name)
		if !set || f.Changed || failed != nil || f.Name == "help" {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			if err := list.Replace(strings.FieldsFunc(value, func(r rune) bool { return r == ',' })); err != nil {
				failed = usagef("%s: %v", name, err)
			}
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = usagef("%s is %q: %v", name, value, err)
		}
	})
	return failed
}

func envName(flag string) string {
	return "DYNAMICIO_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// joinBools lets "--public-status true" mean "--public-status=true": flag
// packages take the value of a boolean flag only behind an equals sign, but
// the other flags read "--flag value", and nobody should have to remember.
func joinBools(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil {
		return args
	}
	var out []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		name, long := strings.CutPrefix(arg, "--")
		if f := cmd.Flags().Lookup(name); long && f != nil && f.Value.Type() == "bool" && i+1 < len(args) {
			if next := args[i+1]; next == "true" || next == "false" {
				arg += "=" + next
				i++
			}
		}
		out = append(out, arg)
	}
	return out
}
