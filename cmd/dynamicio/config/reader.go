package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dynamicio/dynamicio/namespace"
)

// Bounds of a file.
const (
	MaxSize  = 1 << 20 // bytes
	maxNodes = 100_000 // values, each counted as often as an alias repeats it
	maxDepth = 20
)

// reader walks the values of a file and collects what is wrong with them.
type reader struct {
	file  string
	dir   string // that paths in the file are relative to
	nodes int
	depth int
	errs  Errors
	ports Errors // see [File.Ports]
	weak  Errors // see [File.Weak]
	// variables are those of the environment that hold secrets.
	variables []string
	// secrets is set within what may hold secrets: what stands in the place of
	// a mapping or a list is not shown then.
	secrets bool
}

// field is a key that a mapping may have.
type field struct {
	key    string
	help   string  // for people, in whole lines
	sample string  // a value in YAML, for the commented default file
	fields []field // of its own, instead of a sample
	list   bool    // it is a list of such mappings
	// instead says that another key is in the way of this one: the default file
	// tells of it, and has no line for it.
	instead bool
	read    func(path string, n *yaml.Node)
}

// fail notes what is wrong with a value. path is its key, with all that it is in.
func (r *reader) fail(n *yaml.Node, path, format string, args ...any) {
	r.errs = append(r.errs, r.wrong(n, path, fmt.Sprintf(format, args...)))
}

func (r *reader) wrong(n *yaml.Node, path, text string) *Error {
	if path != "" {
		text = path + " " + text
	}
	return &Error{r.file, n.Line, text}
}

// port notes a host, perhaps with "*." before it, that has a port; for [File.Ports].
func (r *reader) port(n *yaml.Node, path, host string) {
	name, wild := strings.CutPrefix(host, "*.")
	with, _ := namespace.NormalizeHost(name, false)
	without, _ := namespace.NormalizeHost(name, true)
	if with != without {
		if wild {
			without = "*." + without
		}
		text := fmt.Sprintf("has a port, but host-port is drop, so that no host has one: write %s", shorten(without))
		r.ports = append(r.ports, r.wrong(n, path, text))
	}
}

// resolve returns the value that an alias stands for. It reports false if the
// file is too large or too deep, or refers to itself, which has then been said.
func (r *reader) resolve(path string, n *yaml.Node) (*yaml.Node, bool) {
	if r.nodes++; r.nodes == maxNodes {
		r.fail(n, path, "is too much: a file may have %d values, those counted that aliases repeat", maxNodes)
	}
	if r.nodes >= maxNodes {
		return n, false
	}
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		r.fail(n, path, "has the tag %.40q, which means nothing here", n.Tag)
		return n, false
	}
	return n, true
}

// mapping reads a mapping with these keys and returns those that are there.
func (r *reader) mapping(path string, n *yaml.Node, fields []field) (there map[string]*yaml.Node) {
	there = make(map[string]*yaml.Node)
	r.pairs(path, n, "a mapping", func(key, value *yaml.Node) {
		at := join(path, key.Value)
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		if i < 0 {
			r.unknown(key, path, fields)
			return
		}
		there[key.Value] = value
		fields[i].read(at, value)
	})
	return there
}

// pairs calls f for each key of a mapping, once.
func (r *reader) pairs(path string, n *yaml.Node, want string, f func(key, value *yaml.Node)) {
	at := n
	n, ok := r.resolve(path, n)
	if !ok {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(at, path, "is %s, want %s", r.shape(n), want)
		return
	}
	if r.depth++; r.depth > maxDepth {
		r.fail(at, path, "is too deep")
		r.depth--
		return
	}
	defer func() { r.depth-- }()
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			r.fail(key, path, "has a key that is %s", describe(key))
		case key.Tag == "!!merge":
			r.fail(key, path, `has a "<<", which is not supported; an alias may stand for a whole value`)
		case lines[key.Value] != 0:
			r.fail(key, join(path, quoteKey(key.Value)), "is there twice, first in line %d", lines[key.Value])
		default:
			lines[key.Value] = key.Line
			f(key, value)
		}
	}
}

func (r *reader) unknown(key *yaml.Node, path string, fields []field) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	hint := ""
	if near := Nearest(key.Value, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	} else if path != "" {
		hint = "; there is " + strings.Join(names, ", ")
	} else {
		hint = `; "dynamicio config default" shows them all`
	}
	if path == "" && slices.Contains(ruleKeys(), key.Value) {
		hint = `; it belongs to an entry of "namespaces"`
	}
	r.fail(key, join(path, quoteKey(key.Value)), "is no key%s", hint)
}

// sequence calls f for each entry of a list. A single value is a list of one.
func (r *reader) sequence(path string, n *yaml.Node, f func(path string, n *yaml.Node)) {
	at := n
	n, ok := r.resolve(path, n)
	switch {
	case !ok:
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		f(path, n)
	case n.Kind != yaml.SequenceNode:
		r.fail(at, path, "is %s, want a list", r.shape(n))
	case r.depth >= maxDepth:
		r.fail(at, path, "is too deep")
	default:
		r.depth++
		defer func() { r.depth-- }()
		for i, entry := range n.Content {
			f(fmt.Sprintf("%s[%d]", path, i), entry)
		}
	}
}

// scalar returns a single value as it stands in the file.
func (r *reader) scalar(path string, n *yaml.Node, want string) (value *yaml.Node, ok bool) {
	at := n
	if n, ok = r.resolve(path, n); !ok {
		return nil, false
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Tag == "!!binary" {
		r.fail(at, path, "is %s, want %s", describe(n), want)
		return nil, false
	}
	return n, true
}

func (r *reader) text(into *string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		if v, ok := r.scalar(path, n, "a text"); ok {
			*into = v.Value
		}
	}
}

func (r *reader) boolean(into *bool) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		v, ok := r.scalar(path, n, "true or false")
		if !ok {
			return
		}
		if v.Tag != "!!bool" {
			r.fail(n, path, "is %s, want true or false", describe(v))
			return
		}
		*into = strings.EqualFold(v.Value, "true")
	}
}

func (r *reader) duration(into *time.Duration) func(string, *yaml.Node) {
	return r.durationOr(into, "")
}

// durationOr is duration where another word is possible, which or names.
func (r *reader) durationOr(into *time.Duration, or string) func(string, *yaml.Node) {
	want := `a duration such as "10s"` + or
	return func(path string, n *yaml.Node) {
		v, ok := r.scalar(path, n, want)
		if !ok {
			return
		}
		d, err := time.ParseDuration(v.Value)
		switch {
		case err != nil:
			r.fail(n, path, "is %s, want %s", describe(v), want)
		case d < 0:
			r.fail(n, path, "is %s, must not be negative", describe(v))
		default:
			*into = d
		}
	}
}

// count reads a limit: a whole number above 0.
func (r *reader) count(into *int) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		const want = "a whole number above 0"
		v, ok := r.scalar(path, n, want)
		if !ok {
			return
		}
		i, err := strconv.ParseInt(v.Value, 0, 32)
		if v.Tag != "!!int" || err != nil || i <= 0 {
			r.fail(n, path, "is %s, want %s", describe(v), want)
			return
		}
		*into = int(i)
	}
}

// rate reads a number above 0, perhaps with a fraction.
func (r *reader) rate(into *float64) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		const want = "a number above 0"
		v, ok := r.scalar(path, n, want)
		if !ok {
			return
		}
		f, err := strconv.ParseFloat(v.Value, 64)
		if v.Tag != "!!int" && v.Tag != "!!float" || err != nil || !(f > 0) || math.IsInf(f, 0) {
			r.fail(n, path, "is %s, want %s", describe(v), want)
			return
		}
		*into = f
	}
}

// describe says what a value is, for somebody who looks for it in the file.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return "empty"
	case n.Kind == yaml.ScalarNode && n.Tag == "!!binary":
		return "binary data"
	case n.Kind == yaml.ScalarNode:
		return strconv.Quote(shorten(n.Value))
	}
	return "an alias of nothing"
}

// shape is describe, without the text of what may be a secret.
func (r *reader) shape(n *yaml.Node) string {
	if r.secrets && n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		return "a text"
	}
	return describe(n)
}

func shorten(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// quoteKey shows a key that may hold anything.
func quoteKey(key string) string {
	if plainKey.MatchString(key) {
		return key
	}
	return strconv.Quote(shorten(key))
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_*-]{1,60}$`)
