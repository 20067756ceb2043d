package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/config"
)

// serviceLink is what Kubernetes puts into a container for each Service of its
// namespace: for one called dynamicio or dynamicio-redis, these begin as ours do.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST=|_SERVICE_PORT(_[A-Z0-9_]+)?=|_PORT=(tcp|udp|sctp)://|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=`)

// strangeVariables finds variables that begin as those of the flags do and are
// none. mistyped are those that differ by a letter or two from one: what it was
// to set, such as the configuration with the rules, would silently be missing.
// known are further names that mean something.
func strangeVariables(environ, known []string) (mistyped []error, strange []string) {
	names := flagVariables()
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(names, name) || slices.Contains(known, name) || serviceLink.MatchString(variable) {
			continue
		}
		near := config.Nearest(flagName(name), mapped(names, flagName))
		if near != "" && config.Distance(flagName(name), near) <= 2 {
			mistyped = append(mistyped, usagef("the environment variable %s names no flag; did you mean %s?", name, envName(near)))
			continue
		}
		strange = append(strange, name)
	}
	slices.Sort(strange)
	slices.SortFunc(mistyped, func(a, b error) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return mistyped, strange
}

// flagVariables are the variables of all flags of all commands: nodes and tools
// are often given the same environment.
func flagVariables() (names []string) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, envName(f.Name)) })
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand())
	return names
}

func mapped(all []string, f func(string) string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = f(s)
	}
	return out
}

// flagName is the name of the flag that a variable would belong to.
func flagName(variable string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, envPrefix), "_", "-"))
}
