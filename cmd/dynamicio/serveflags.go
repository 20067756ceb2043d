package main

import (
	"cmp"
	"errors"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/cluster/bus"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/config"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// serveFlags are the flags of serve, as given.
type serveFlags struct {
	config               string
	listen, adminListen  string
	host, hostPort       string
	whenAway, busDialect string
	logFormat, logLevel  string
	playground           bool
	redisFile, tokenFile string
	pprof                bool
	options              node.Options
}

// groups returns the flags, as the help and the default configuration show them.
func (f *serveFlags) groups() []config.Group {
	o, defaults := &f.options, node.Defaults()
	group := func(title string, add func(*pflag.FlagSet)) config.Group {
		flags := pflag.NewFlagSet(title, pflag.ContinueOnError)
		flags.SortFlags = false
		add(flags)
		return config.Group{Title: title, Flags: flags}
	}
	return []config.Group{
		group("Listening", func(flags *pflag.FlagSet) {
			flags.StringVar(&f.listen, "listen", ":8080", "address to serve on; port 0 picks a free one")
			flags.StringVar(&f.adminListen, "admin-listen", "", "address of its own for metrics and health checks (default: on the main one)")
			flags.BoolVar(&f.pprof, "pprof", false, "serve Go's profiles below /debug/pprof/ of --admin-listen")
			flags.StringVar(&o.Path, "path", "/socket.io", "path of Engine.IO, the client and the status")
			flags.StringArrayVar(&o.Origins, "cors-origin", nil, `origin whose pages may connect from another host, "*" for all; repeatable`)
			addProxies(flags, &o.TrustProxy)
			flags.BoolVar(&o.AllowEIO3, "allow-eio3", false, "let clients of Socket.IO v2 in")
			f.addDrain(flags)
		}),
		group("Cluster", func(flags *pflag.FlagSet) {
			flags.StringVar(&o.Redis, "redis", "", "URL of the Redis that nodes meet in (default: the node is alone)")
			fileFlag(flags, &f.redisFile, "redis")
			flags.StringVar(&o.Cluster, "cluster", "default", "name of the cluster; several can share a Redis")
			flags.StringVar(&o.NodeID, "node-id", "", "name of this node (default: host name and a random suffix)")
			flags.DurationVar(&o.LeaseTTL, "lease-ttl", defaults.LeaseTTL, "how long nothing is retired after the node that holds the lease has died")
			flags.DurationVar(&o.NodeTTL, "node-ttl", defaults.NodeTTL, "how long a node may be silent before it is evicted")
			flags.StringVar(&f.whenAway, "when-away", "admit", `while Redis is unavailable, "admit" or "refuse" clients`)
			flags.StringVar(&o.BusPrefix, "bus-prefix", "", busPrefixUsage)
			flags.StringVar(&f.busDialect, "bus-dialect", "node", `what is written there: "node", or "go" for zishang520/socket.io (needs a prefix of its own)`)
		}),
		group("Namespaces", func(flags *pflag.FlagSet) {
			flags.StringVar(&f.host, "host", "*", `main host: "*", a name, "/regexp/", or "true" (no host is the main one)`)
			flags.StringVar(&f.hostPort, "host-port", "keep", `the port in host names: "keep" or "drop"`)
			flags.DurationVar(&o.Retirement, "retirement", defaults.Retirement, "how long a namespace stays empty before it is retired")
		}),
		group("Status", func(flags *pflag.FlagSet) {
			flags.BoolVar(&o.PublicStatus, "public-status", false, "show the status page to everybody")
			flags.StringVar(&o.StatusToken, "status-token", "", "show the status page to those who present this token")
			flags.BoolVar(&f.playground, "playground", false, "serve a page at / to try the cluster with; it shows what the status shows")
			fileFlag(flags, &f.tokenFile, "status-token")
			flags.BoolVar(&o.StatusActions, "status-actions", false, "let those who present it disconnect sockets and retire namespaces there")
		}),
		group("Times", f.addTimes),
		group("Limits", f.addLimits),
		group("Logging", func(flags *pflag.FlagSet) {
			flags.StringVar(&f.logFormat, "log-format", "text", `"text" or "json"`)
			flags.StringVar(&f.logLevel, "log-level", "info", `"debug", "info", "warn" or "error"`)
		}),
	}
}

const busPrefixUsage = `prefix of the Redis channels (default "socket.io", or "socket.io-NAME" in a --cluster NAME)`

// choices are the values of the flags that have only some.
var choices = map[string][]string{
	"host-port":   {"keep", "drop"},
	"when-away":   {"admit", "refuse"},
	"bus-dialect": {"node", "go"},
	"log-format":  {"text", "json"},
	"log-level":   {"debug", "info", "warn", "error"},
}

// completeChoices lets the shell complete the values of the flags that have
// only some.
func completeChoices(cmd *cobra.Command) {
	for name, values := range choices {
		if cmd.Flags().Lookup(name) != nil {
			must(cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
		}
	}
}

// must is for errors of how the program is put together, which every run would show.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// addTo gives the command all flags of serve.
func (f *serveFlags) addTo(cmd *cobra.Command) {
	groups := append(f.groups(), f.configGroup())
	flags := cmd.Flags()
	flags.SortFlags = false
	for _, g := range groups {
		flags.AddFlagSet(g.Flags)
	}
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	for _, secret := range secretFlags {
		must(cmd.MarkFlagFilename(secret + "-file"))
	}
	groupUsage(cmd, groups)
}

// configGroup is --config, which no configuration file has.
func (f *serveFlags) configGroup() config.Group {
	flags := pflag.NewFlagSet("Configuration file", pflag.ContinueOnError)
	flags.StringVar(&f.config, "config", "", `YAML file with these flags, rules for namespaces and aliases of hosts; see "dynamicio config"`)
	return config.Group{Title: "Configuration file", Flags: flags}
}

// complete checks what the flag package cannot, says all that is wrong, and
// fills in the options, all but the logger.
func (f *serveFlags) complete() (wrong []error) {
	o := &f.options
	note := func(err error) {
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	var err error
	if o.Host, err = namespace.ParsePattern(f.host); err != nil {
		hint := ""
		if syntax, ok := errors.AsType[*syntax.Error](err); ok {
			hint = ": " + syntax.Error()
		}
		note(usagef(`--host is %q, want "*", "true", a host name or /a regular expression/%s`, f.host, hint))
	}
	for _, given := range [...]struct{ flag, value string }{
		{"host-port", f.hostPort}, {"when-away", f.whenAway}, {"bus-dialect", f.busDialect}, {"log-format", f.logFormat},
	} {
		if all := choices[given.flag]; !slices.Contains(all, given.value) {
			note(usagef(`--%s is %q, must be "%s"`, given.flag, given.value, strings.Join(all, `" or "`)))
		}
	}
	_, err = parseLevel(f.logLevel)
	note(err)
	o.DropHostPort = f.hostPort == "drop"
	o.RefuseWhenAway = f.whenAway == "refuse"
	o.GoDialect = f.busDialect == "go"
	note(f.checkDrain())
	if o.Path == "" || o.Path[0] != '/' {
		note(usagef("--path is %q, must begin with a slash", o.Path))
	}
	note(checkAddress("listen", f.listen))
	if f.adminListen != "" {
		note(checkAddress("admin-listen", f.adminListen))
		o.DisableMetrics = true // they are on that one
	} else if f.pprof {
		note(usagef("--pprof needs an --admin-listen: profiles are not for everybody"))
	}
	prefix := cmp.Or(o.BusPrefix, bus.PrefixFor(o.Cluster))
	if o.GoDialect && prefix == bus.DefaultPrefix {
		note(usagef("--bus-dialect go needs a --bus-prefix of its own: it makes Node servers exit"))
	}
	if f.playground && !o.PublicStatus && o.StatusToken == "" {
		note(usagef("--playground needs --public-status or a --status-token: its page shows what the status shows"))
	}
	if f.playground && o.Path == "/" {
		note(usagef("--playground is at /, where --path is, too"))
	}
	if err := bus.CheckPrefix(prefix); err != nil {
		note(usagef("--bus-prefix: %s", strings.TrimPrefix(err.Error(), "bus: ")))
	}
	if o.StatusActions && o.StatusToken == "" {
		note(usagef("--status-actions needs a --status-token: who may act must be told from who may look"))
	}
	return wrong
}
