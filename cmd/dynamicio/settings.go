package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"

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
	if s.config != "" {
		if s.config == "-" {
			return nil, s.explain(usagef("--config cannot be standard input, which could not be read again"))
		}
		if err := s.readFile(s.config, nil); err != nil {
			return nil, err
		}
	}
	return s, s.check()
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
		return s.explain(usagef("--config: %v", err))
	}
	s.file = file
	for _, set := range file.Settings {
		f := s.flags.Lookup(set.Key)
		if f.Changed {
			continue
		}
		o := origin{fromFile, file.Name, set.Line}
		if err := setFlag(s.flags, f, set.Values); err != nil {
			return &usageError{config.Errors{{File: file.Name, Line: set.Line, Text: fmt.Sprintf("%s: %v", set.Key, err)}}}
		}
		s.origins[set.Key] = o
	}
	return nil
}

// check holds the values against each other.
func (s *settings) check() error {
	if err := s.complete(); err != nil {
		return s.explain(err)
	}
	if s.file == nil {
		return nil
	}
	if i, why := s.file.Rules.Unreachable(s.options.Host); why != nil {
		return &usageError{config.Errors{{File: s.file.Name, Line: s.file.RuleLine(i), Text: fmt.Sprintf("namespaces[%d] %v", i, why)}}}
	}
	return nil
}

// verify does what else can be done without serving or asking Redis: the
// packages look at their options.
func (s *settings) verify() error {
	o := s.options
	o.Logger = slog.New(slog.DiscardHandler)
	if o.Redis != "" {
		if err := verifyCluster(o); err != nil {
			return s.explain(&usageError{errors.New(flagNames.Replace(err.Error()))})
		}
	}
	o.Redis = ""
	srv, err := node.New(o)
	if err != nil {
		return s.explain(&usageError{errors.New(flagNames.Replace(err.Error()))})
	}
	return srv.Close(context.Background())
}

func verifyCluster(o node.Options) error {
	client, err := cluster.Connect(o.Redis)
	if err != nil {
		return err
	}
	dir, err := cluster.New(client, cluster.Options{Cluster: o.Cluster, Node: cmp.Or(o.NodeID, "node"), NodeTTL: o.NodeTTL})
	if err == nil {
		_, err = cluster.NewMember(dir, client, cluster.MemberOptions{LeaseTTL: o.LeaseTTL})
	}
	return errors.Join(err, client.Close())
}

// rules are those of the file, with the retirement time from wherever it is.
func (s *settings) rules() *rules.Set {
	set := s.file.Rules
	set.Retirement = s.options.Retirement
	return &set
}

var flagInText = regexp.MustCompile(`--[a-z][a-z0-9-]*`)

// explain turns the flags that an error names into what was given instead of
// them: variables of the environment, or keys of the file.
func (s *settings) explain(err error) error {
	where := ""
	text := flagInText.ReplaceAllStringFunc(err.Error(), func(flag string) string {
		o, ok := s.origins[flag[2:]]
		switch {
		case ok && o.from == fromEnvironment:
			return envName(flag[2:]) + " (" + flag + ")"
		case ok && o.from == fromFile:
			if where == "" {
				where = fmt.Sprintf("%s:%d: ", o.file, o.line)
			}
			return flag[2:]
		}
		return flag
	})
	return &usageError{errors.New(where + text)}
}
