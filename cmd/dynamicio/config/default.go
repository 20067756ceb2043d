package config

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Group is some of the flags, under a heading.
type Group struct {
	Title string
	Flags *pflag.FlagSet
}

// WriteDefault writes a file with every key, commented out. With the first "#"
// of each line taken away, the keys are in force and what explains them is
// still a comment.
func WriteDefault(w io.Writer, groups []Group) error {
	b := bufio.NewWriter(w)
	b.WriteString(`## Configuration of dynamicio serve. Every key is here with its default; to set one, take the "#"
## before it away. Flags beat the environment, the environment beats this file.
## "dynamicio config check FILE" says what is wrong with it.
`)
	for _, g := range groups {
		fmt.Fprintf(b, "\n## %s\n\n", g.Title)
		g.Flags.VisitAll(func(f *pflag.Flag) {
			if Excluded(f.Name) {
				return
			}
			writeField(b, "", field{key: f.Name, help: f.Usage, sample: sampleOf(f)})
		})
	}
	f, r := &File{}, &reader{}
	for _, extra := range []field{f.namespacesField(r), f.hostsField(r)} {
		b.WriteString("\n")
		writeField(b, "", extra)
	}
	return b.Flush()
}

// writeField writes one key with what it means, and what is in it.
func writeField(b *bufio.Writer, indent string, f field) {
	for line := range strings.Lines(f.help) {
		line = strings.TrimSuffix(line, "\n")
		if f.instead {
			line = f.key + ": " + line
		}
		fmt.Fprintf(b, "## %s%s\n", strings.ReplaceAll(indent, "-", " "), line)
	}
	if f.instead {
		return
	}
	fmt.Fprintf(b, "#%s%s:", indent, f.key)
	if f.fields == nil {
		fmt.Fprintf(b, " %s\n", f.sample)
		return
	}
	b.WriteString("\n")
	inner := strings.ReplaceAll(indent, "-", " ") + "  "
	for i, sub := range f.fields {
		at := inner
		if f.list {
			if at = inner + "  "; i == 0 {
				at = inner + "- "
			}
		}
		writeField(b, at, sub)
	}
}

// ValueOf writes values of a flag as the file has them.
func ValueOf(f *pflag.Flag, values []string) string {
	quote := func(v string) string {
		switch f.Value.Type() {
		case "bool", "int", "float64", "duration":
			return v
		}
		return strconv.Quote(strings.ToValidUTF8(v, ""))
	}
	if _, list := f.Value.(pflag.SliceValue); !list {
		return quote(values[0])
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// sampleOf is the default of a flag as the file has it. Lists have none.
func sampleOf(f *pflag.Flag) string {
	if _, list := f.Value.(pflag.SliceValue); list {
		return "[]"
	}
	return ValueOf(f, []string{f.DefValue})
}
