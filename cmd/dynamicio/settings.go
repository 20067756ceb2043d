package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/config"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
	"github.com/dynamicio/dynamicio/node"
)

// settings are the flags of serve with their values, wherever these came from:
// the command line, else the environment, else the file, else the default.
type settings struct {
	serveFlags
	flags   *pflag.FlagSet
	origins map[string]origin // of the flags that are not on their default
	file    *config.File      // nil: there is none
	strange []string          // variables of the environment that name no flag
}

// origin is where the value of a flag came from.
type origin struct {
	from originKind
	file string // and the line in it
	line int
}

type originKind uint8

const (
	fromCommandLine originKind = iota
	fromEnvironment
	fromFile
)

func newSettings() *settings {
	s := &settings{origins: make(map[string]origin)}
	s.flags = pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.flags.SortFlags = false
	for _, g := range append(s.groups(), s.configGroup()) {
		s.flags.AddFlagSet(g.Flags)
	}
	return s
}

// loadSettings puts together what serve was given with the environment and the
// configuration file. Its errors are mistakes in usage, and say where.
func loadSettings(given *pflag.FlagSet) (*settings, error) {
	s := newSettings()
	given.VisitAll(func(f *pflag.Flag) {
		if own := s.flags.Lookup(f.Name); own != nil && f.Changed {
			values := []string{f.Value.String()}
			if list, ok := f.Value.(pflag.SliceValue); ok {
				values = list.GetSlice()
			}
			must(setFlag(s.flags, own, values)) // it has been parsed once
		}
	})
	s.note(origin{from: fromCommandLine})
	if err := environ(s.flags); err != nil {
		return nil, err
	}
	s.note(origin{from: fromEnvironment})
	// Such as --config "$FILE" without a FILE: a node that was to have rules
	// would be open.
	if o, ok := s.origins["config"]; ok && o.from == fromCommandLine && s.config == "" {
		return nil, usagef("--config is empty, want the name of a file")
	}
	if s.config != "" {
		if s.config == "-" {
			return nil, usageOf(config.Errors{s.explain(errors.New("--config cannot be standard input, which could not be read again"))})
		}
		if err := s.readFile(s.config, nil); err != nil {
			return nil, err
		}
	}
	return s, usageOf(append(s.variables(), s.mistakes()...))
}

// variables says which variables of the environment are mistyped, and notes
// which are unknown.
func (s *settings) variables() (wrong config.Errors) {
	var known []string
	if s.file != nil {
		known = s.file.Variables
	}
	mistyped, strange := strangeVariables(os.Environ(), known)
	s.strange = strange
	for _, err := range mistyped {
		wrong = append(wrong, &config.Error{Text: err.Error()})
	}
	return wrong
}

// setFlag gives a flag its value, or a list of them.
func setFlag(flags *pflag.FlagSet, f *pflag.Flag, values []string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		f.Changed = true // of lists, only Set says so by itself
		return list.Replace(values)
	}
	return flags.Set(f.Name, values[0])
}

// note remembers where the flags have their values from that have got one by now.
func (s *settings) note(o origin) {
	s.flags.VisitAll(func(f *pflag.Flag) {
		if _, before := s.origins[f.Name]; f.Changed && !before {
			s.origins[f.Name] = o
		}
	})
}

// readFile takes the values of a file for the flags that have none yet.
func (s *settings) readFile(name string, stdin io.Reader) error {
	file, err := config.Read(name, stdin, s.flags)
	if wrong, ok := errors.AsType[config.Errors](err); ok {
		return &usageError{wrong}
	} else if err != nil {
		return usageOf(config.Errors{s.explain(fmt.Errorf("--config: %w", err))})
	}
	s.file = file
	for _, set := range file.Settings {
		f := s.flags.Lookup(set.Key)
		if f.Changed {
			continue
		}
		if secret, isFile := strings.CutSuffix(set.Key, "-file"); isFile && slices.Contains(secretFlags, secret) {
			set.Values = []string{file.Path(set.Values[0])}
		}
		o := origin{fromFile, file.Name, set.Line}
		if err := setFlag(s.flags, f, set.Values); err != nil {
			return &usageError{config.Errors{{File: file.Name, Line: set.Line, Text: fmt.Sprintf("%s: %v", set.Key, err)}}}
		}
		s.origins[set.Key] = o
	}
	return nil
}

// mistakes reads the secrets that stand in files, holds the values against each
// other and says what is wrong with them.
func (s *settings) mistakes() (wrong config.Errors) {
	s.fitDrain()
	for _, err := range slices.Concat(s.readSecrets(), checkNumbers(s.flags), s.complete()) {
		wrong = append(wrong, s.explain(err))
	}
	if s.file != nil {
		if s.options.DropHostPort {
			wrong = append(wrong, s.file.Ports()...)
		}
		main, err := s.options.Host.NormalizeHost(s.options.DropHostPort)
		if err != nil {
			main = s.options.Host // whose mistake is for the node to tell
		}
		for _, u := range s.file.Rules.Unreachable(main) {
			wrong = append(wrong, &config.Error{File: s.file.Name, Line: s.file.RuleLine(u.Rule), Text: fmt.Sprintf("namespaces[%d] %v", u.Rule, u.Why)})
		}
	}
	return wrong
}

// verify is check with what else can be done without serving or asking Redis:
// the packages look at their options. Each package tells of one mistake only,
// so they are given one option at a time, and all if there is none.
func (s *settings) verify() error {
	o := s.nodeOptions()
	o.Redis = ""
	probes := []node.Options{
		{Path: o.Path},
		{Host: o.Host, DropHostPort: o.DropHostPort},
		{PingInterval: o.PingInterval},
		{PingTimeout: o.PingTimeout},
		{UpgradeTimeout: o.UpgradeTimeout},
	}
	for _, origin := range o.Origins {
		probes = append(probes, node.Options{Origins: []string{origin}})
	}
	wrong := s.mistakes()
	note := func(err error) {
		if err == nil {
			return
		}
		e := s.explain(err)
		if !slices.ContainsFunc(wrong, func(before *config.Error) bool { return *before == *e }) {
			wrong = append(wrong, e)
		}
	}
	try := func(o node.Options) {
		o.Logger = slog.New(slog.DiscardHandler)
		srv, err := node.New(o)
		if err == nil {
			err = srv.Close(context.Background())
		}
		note(err)
	}
	for _, probe := range probes {
		try(probe)
	}
	if len(wrong) == 0 {
		try(o)
	}
	if s.options.Redis != "" {
		for _, err := range verifyCluster(s.options) {
			note(err)
		}
	}
	return usageOf(wrong)
}

// verifyCluster is verify for what only a node in a cluster uses.
func verifyCluster(o node.Options) (wrong []error) {
	note := func(err error) {
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	client, err := cluster.Connect(o.Redis)
	if err != nil {
		note(err)
		client, err = cluster.Connect("redis://localhost") // which is not asked
		must(err)
	}
	const name = "node"
	for _, probe := range []cluster.Options{
		{Node: name, Cluster: o.Cluster}, {Node: cmp.Or(o.NodeID, name)}, {Node: name, NodeTTL: o.NodeTTL},
	} {
		_, err := cluster.New(client, probe)
		note(err)
	}
	dir, err := cluster.New(client, cluster.Options{Node: name})
	must(err)
	_, err = cluster.NewMember(dir, client, cluster.MemberOptions{LeaseTTL: o.LeaseTTL})
	note(err)
	note(client.Close())
	return wrong
}

// usageOf makes a mistake in usage of what is wrong, nil if nothing is.
func usageOf(wrong config.Errors) error {
	if len(wrong) == 0 {
		return nil
	}
	wrong.Sort()
	return &usageError{wrong}
}

// rules are those of the file, with the retirement time from wherever it is.
func (s *settings) rules() *rules.Set {
	set := s.file.Rules
	set.Retirement = s.options.Retirement
	return &set
}

var flagInText = regexp.MustCompile(`--[a-z][a-z0-9-]*`)

// explain turns the flags that an error names, or the options that set them,
// into what was given instead: variables of the environment, or keys of the file.
func (s *settings) explain(err error) *config.Error {
	explained := &config.Error{}
	explained.Text = flagInText.ReplaceAllStringFunc(nameFlags(err.Error()), func(flag string) string {
		if s.inFile(flag[2:]) {
			flag += "-file"
		}
		o, ok := s.origins[flag[2:]]
		switch {
		case ok && o.from == fromEnvironment:
			return envName(flag[2:]) + " (" + flag + ")"
		case ok && o.from == fromFile:
			if explained.File == "" {
				explained.File, explained.Line = o.file, o.line
			}
			return flag[2:]
		}
		return flag
	})
	return explained
}
