package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
)

// File is a configuration file in which nothing was found to be wrong.
type File struct {
	Name     string
	Settings []Setting // in the order of the file
	Rules    rules.Set

	// Variables are those of the environment that it names for secrets.
	Variables []string
	// Ended: the last line is "...", the end of a YAML document. A file that had
	// it and has it no more is cut off.
	Ended bool
	// Whole: the last line is ended, by a line break or by a bracket.
	Whole bool

	dir       string
	ruleLines []int
	ports     Errors
	weak      Errors
}

// Setting is the value of a flag.
type Setting struct {
	Key    string
	Line   int
	Values []string // one, or those of a list
}

// RuleLine returns the line where a rule begins.
func (f *File) RuleLine(i int) int { return f.ruleLines[i] }

// Path returns a path in the file, which is relative to it, as it is from here.
func (f *File) Path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.dir, name)
}

// Ports are the mistakes that hosts with a port are where host-port is drop,
// because none of them ever matches.
func (f *File) Ports() Errors { return f.ports }

// Weak are the tokens that are so short that they can be guessed: no mistakes,
// since they may be for one evening.
func (f *File) Weak() Errors { return f.weak }

// Excluded reports whether a flag of serve is no key of the file.
func Excluded(flag string) bool { return flag == "config" || flag == "help" }

// Read reads a file, "-" for standard input. The flags are those of serve,
// which are not changed. What is wrong with the contents is [Errors].
func Read(name string, stdin io.Reader, flags *pflag.FlagSet) (*File, error) {
	if name == "-" {
		text, err := readAll(stdin, "standard input", MaxSize)
		if err != nil {
			return nil, err
		}
		return Decode("stdin", text, ".", flags)
	}
	text, err := readBounded(name, MaxSize)
	if err != nil {
		return nil, err
	}
	return Decode(name, text, filepath.Dir(name), flags)
}

// Decode decodes the text of a file. dir is what the paths in it are relative to.
func Decode(name string, text []byte, dir string, flags *pflag.FlagSet) (f *File, err error) {
	defer func() { // of the YAML parser
		if p := recover(); p != nil {
			f, err = nil, Errors{{File: name, Text: fmt.Sprintf("is no YAML: %v", p)}}
		}
	}()
	r := &reader{file: name, dir: dir}
	f = &File{Name: name, Ended: ended.Match(text), Whole: whole.Match(text)}
	root, wrong := parse(name, text)
	if wrong != nil {
		return nil, Errors{wrong}
	}
	if root != nil {
		r.mapping("", root, f.fields(r, flags))
	}
	if len(r.errs) == 0 {
		r.weak.Sort()
		f.ports, f.weak = r.ports, r.weak
		f.Variables, f.dir = r.variables, dir
		return f, nil
	}
	r.errs.Sort()
	if more := len(r.errs) - maxErrors; more > 0 {
		r.errs = append(r.errs[:maxErrors:maxErrors], &Error{File: name, Text: "has " + strconv.Itoa(more) + " more errors"})
	}
	return nil, r.errs
}

var whole = regexp.MustCompile(`[]}\n]\z`)

var ended = regexp.MustCompile(`(?m)^\.\.\.[ \t\r]*(\n\s*)?\z`)

// parse returns the one document of a file, nil if there is nothing in it.
func parse(name string, text []byte) (*yaml.Node, *Error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntaxError(name, err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, &Error{name, second.Line, "has a second document, want one"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(name, err)
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].Tag == "!!null" {
		return nil, nil
	}
	return doc.Content[0], nil
}

// fields are the keys of the file: the flags', and two more.
func (f *File) fields(r *reader, flags *pflag.FlagSet) []field {
	var fields []field
	flags.VisitAll(func(flag *pflag.Flag) {
		if !Excluded(flag.Name) {
			fields = append(fields, field{key: flag.Name, help: flag.Usage, sample: sampleOf(flag), read: f.setting(r, flag)})
		}
	})
	return append(fields, f.namespacesField(r), f.hostsField(r))
}

func (f *File) namespacesField(r *reader) field {
	return field{key: "namespaces", list: true, fields: newRuleReader(r).fields(), help: `Rules for namespaces, tried from the first to the last; the first that matches decides. With
rules, a namespace that none matches is refused, "/" too; without any, every namespace is there
and everything is allowed. SIGHUP makes a node reload its rules, its hosts and the retirement, and
drops nobody: a client that is inside and would not be let in any more stays. A reload changes
nothing if a rule has lost a restriction without saying so (connect: none, allow: all, limits:
none, refuse: false), or if the file ended with "..." and does not any more: it may be cut off.`,
		read: func(path string, n *yaml.Node) {
			v, ok := r.resolve(path, n)
			if !ok {
				return
			}
			if v.Kind != yaml.SequenceNode {
				r.fail(n, path, "is %s, want a list of rules", describe(v))
				return
			}
			if len(v.Content) == 0 {
				r.fail(n, path, `is an empty list, which does not say what is meant: {match: "*", connect: none, allow: all} opens every namespace`)
			}
			r.sequence(path, n, func(path string, n *yaml.Node) {
				if rule := newRuleReader(r).read(path, n); rule != nil {
					f.Rules.Rules = append(f.Rules.Rules, rule)
					f.ruleLines = append(f.ruleLines, n.Line)
				}
			})
		}}
}

func (f *File) hostsField(r *reader) field {
	return field{key: "hosts", sample: `{example.com: [www.example.com, "*.example.net"]}`, help: `Other names of virtual hosts: what clients of an alias ask for, they find on the host that it
stands for. "*." is every name below. A name without a port is for all ports, which then stay
behind the name that it stands for; a name that has aliases always stands for itself.`,
		read: func(path string, n *yaml.Node) { r.hosts(path, n, &f.Rules.Hosts) }}
}

// setting returns what reads the value of a flag.
func (f *File) setting(r *reader, flag *pflag.Flag) func(string, *yaml.Node) {
	kind := flag.Value.Type()
	return func(path string, n *yaml.Node) {
		var values []string
		take := func(path string, n *yaml.Node) {
			before := len(r.errs)
			value := ""
			switch kind {
			case "bool":
				var b bool
				r.boolean(&b)(path, n)
				value = strconv.FormatBool(b)
			case "duration":
				var d time.Duration
				r.duration(&d)(path, n)
				value = d.String()
			case "int":
				value = r.integer(path, n)
			case "networks":
				var list []string
				r.sequence(path, n, func(path string, n *yaml.Node) {
					var item string
					r.text(&item)(path, n)
					list = append(list, item)
				})
				value = strings.Join(list, ",")
			case "float64":
				value = r.number(path, n)
			default:
				r.text(&value)(path, n)
			}
			if len(r.errs) == before {
				values = append(values, value)
			}
		}
		if _, list := flag.Value.(pflag.SliceValue); list {
			r.sequence(path, n, take)
		} else {
			take(path, n)
		}
		f.Settings = append(f.Settings, Setting{flag.Name, n.Line, values})
	}
}

// number reads a number, perhaps with a fraction. Which are allowed is the flag's to say.
func (r *reader) number(path string, n *yaml.Node) string {
	const want = "a number"
	v, ok := r.scalar(path, n, want)
	if !ok {
		return ""
	}
	f, err := strconv.ParseFloat(v.Value, 64)
	if v.Tag != "!!int" && v.Tag != "!!float" || err != nil || math.IsInf(f, 0) {
		r.fail(n, path, "is %s, want %s", describe(v), want)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// integer reads a whole number. Which are allowed is the flag's to say.
func (r *reader) integer(path string, n *yaml.Node) string {
	const want = "a whole number"
	v, ok := r.scalar(path, n, want)
	if !ok {
		return ""
	}
	i, err := strconv.ParseInt(v.Value, 0, strconv.IntSize)
	if v.Tag != "!!int" || err != nil {
		r.fail(n, path, "is %s, want %s", describe(v), want)
	}
	return strconv.FormatInt(i, 10)
}
