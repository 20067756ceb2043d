package main

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// environ gives every flag that is not on the command line the value of its
// environment variable, if that is set. Those named in except have none: a
// flag of serve has the same name and means something else.
func environ(flags *pflag.FlagSet, except ...string) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		name := envName(f.Name)
		value, set := os.LookupEnv(name)
		if !set || f.Changed || failed != nil || f.Name == "help" || slices.Contains(except, f.Name) {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			f.Changed = true // of lists, only Set says so by itself
			if err := list.Replace(strings.FieldsFunc(value, func(r rune) bool { return r == ',' })); err != nil {
				failed = usagef("%s: %v", name, err)
			}
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = wrongValue(name, f, value)
		}
	})
	return failed
}

// checkAddress refuses what cannot be listened on, under the name of its flag.
func checkAddress(flag, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usagef("--%s is %q, want host:port or :port", flag, addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return usagef("--%s is %q, whose port is not a number from 0 to 65535", flag, addr)
	}
	return nil
}

// flagNames are the flags that set what errors of the packages name, where the
// flag has another name than the option.
var flagNames = strings.NewReplacer(
	"node: ", "", "engineio: ", "", "namespace: ", "", "cluster: ", "", "lease: ", "", "bus: ", "",
	"Options.Origins", "--cors-origin", "Options.Node ", "--node-id ", "Options.TTL", "--lease-ttl",
	"Redis URL", "--redis", "the stock Go dialect needs a prefix", "--bus-dialect go needs a --bus-prefix",
)

var optionInText = regexp.MustCompile(`Options\.(?:Limits\.)?([A-Z]\w*)`)

// nameFlags puts the flags into an error of the packages in the place of the
// options that it names.
func nameFlags(text string) string {
	return optionInText.ReplaceAllStringFunc(flagNames.Replace(text), func(option string) string {
		return "--" + flagOf(optionInText.FindStringSubmatch(option)[1])
	})
}

// flagOf returns the name that the flag of an option has: MaxQueue is max-queue.
func flagOf(option string) string {
	return strings.ToLower(wordStart.ReplaceAllString(option, "$1-$2"))
}

var wordStart = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// envPrefix begins the variables that set flags.
const envPrefix = "DYNAMICIO_"

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// joinBools lets "--public-status true" mean "--public-status=true": flag
// packages take the value of a boolean flag only behind an equals sign, but
// the other flags read "--flag value", and nobody should have to remember. The
// same holds for flags that have a value but need none.
func joinBools(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil {
		return args
	}
	var out []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		name, long := strings.CutPrefix(arg, "--")
		if f := cmd.Flags().Lookup(name); long && f != nil && f.NoOptDefVal != "" && i+1 < len(args) {
			next, isBool := args[i+1], f.Value.Type() == "bool"
			if next == "true" || next == "false" || !isBool && !strings.HasPrefix(next, "-") {
				arg += "=" + next
				i++
			}
		}
		out = append(out, arg)
	}
	return out
}
