package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/status"
	"github.com/dynamicio/dynamicio/status/metrics"
)

// referenceFile documents what outside programs rely on. Its tables of flags and
// metrics are made of the code's own words; go test -run Reference -update
// writes them anew. The tables of JSON fields are written by hand, and held
// against the types.
const referenceFile = "../../deploy/REFERENCE.md"

var update = flag.Bool("update", false, "write the generated tables of "+referenceFile+" anew")

// section returns what stands between the markers of a name.
func section(t *testing.T, text, name string) (before, body, after string) {
	t.Helper()
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
	before, rest, ok := strings.Cut(text, begin)
	body, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no section %q", referenceFile, name)
	}
	return before + begin, body, end + after
}

// holdSection compares a generated table with the file's, or writes it there.
func holdSection(t *testing.T, name, want string) {
	t.Helper()
	text, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	before, got, after := section(t, string(text), name)
	if got == want {
		return
	}
	if *update {
		if err := os.WriteFile(referenceFile, []byte(before+want+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have := strings.Split(got, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(have) || have[i] != line {
			t.Fatalf("section %q of %s differs from the code, first in\n  %s\n(-update writes it anew)", name, referenceFile, line)
		}
	}
	t.Fatalf("section %q of %s has lines that the code does not have (-update writes it anew)", name, referenceFile)
}

// Every command and every flag stands in the reference, with its default.
func TestReference_Flags(t *testing.T) {
	var b strings.Builder
	describe := func(cmd *cobra.Command) {
		fmt.Fprintf(&b, "### `%s`\n\n%s.\n", cmd.CommandPath(), cmd.Short)
		rows := 0
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || f.Hidden {
				return
			}
			if rows++; rows == 1 {
				b.WriteString("\n| flag | default | |\n| --- | --- | --- |\n")
			}
			name, value := "`--"+f.Name, "`"+f.DefValue+"`"
			if kind := f.Value.Type(); kind != "bool" {
				name += " " + kind
			}
			switch f.DefValue {
			case "", "[]":
				value = ""
			}
			fmt.Fprintf(&b, "| %s` | %s | %s |\n", name, value, strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(f.Usage))
		})
		b.WriteString("\n")
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if !sub.IsAvailableCommand() || sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			if sub.Runnable() {
				describe(sub)
			}
			walk(sub)
		}
	}
	walk(rootCommand())
	holdSection(t, "flags", "\n"+b.String())
}

// Every metric stands in the reference, with its labels and their values.
func TestReference_Metrics(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| metric | type | labels | |\n| --- | --- | --- | --- |\n")
	all := append(metrics.Describe(), programMetrics...)
	slices.SortFunc(all, func(a, b metrics.Desc) int { return strings.Compare(a.Name, b.Name) })
	for _, m := range all {
		labels := make([]string, len(m.Labels))
		for i, label := range m.Labels {
			labels[i] = "`" + label + "`"
			if values := m.Values[label]; len(values) > 0 {
				labels[i] += ": " + strings.Join(values, ", ")
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(labels, "; "), m.Help)
	}
	b.WriteString("\n")
	holdSection(t, "metrics", b.String())
}

// Every field of status.json stands in the reference, with its type, and no other.
func TestReference_StatusJSON(t *testing.T) {
	text, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := section(t, string(text), "status.json")
	documented := map[string]string{}
	for line := range strings.Lines(body) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		documented[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2])
		if strings.TrimSpace(cells[3]) == "" {
			t.Errorf("%s is not explained", cells[1])
		}
	}
	fields := map[string]string{}
	addFields(fields, "", reflect.TypeFor[status.Report]())
	for path, kind := range fields {
		if documented[path] != kind {
			t.Errorf("%s is a %s; the reference says %q", path, kind, cmp.Or(documented[path], "nothing"))
		}
		delete(documented, path)
	}
	for path := range documented {
		t.Errorf("the reference has %s, status.json has not", path)
	}
}

// addFields collects the JSON fields of a struct by their paths.
func addFields(fields map[string]string, prefix string, t reflect.Type) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		typ, null := f.Type, ""
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
			if !strings.Contains(f.Tag.Get("json"), "omit") {
				null = " or null"
			}
		}
		path := prefix + name
		switch {
		case typ == reflect.TypeFor[time.Time]():
			fields[path] = "time" + null
		case typ.Kind() == reflect.Struct:
			fields[path] = "object" + null
			addFields(fields, path+".", typ)
		case typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
			fields[path] = "array"
			addFields(fields, path+"[].", typ.Elem())
		case typ.Kind() == reflect.Slice:
			fields[path] = "array of " + jsonKind(typ.Elem())
		case typ.Kind() == reflect.Map:
			fields[path] = "object of " + jsonKind(typ.Elem())
		default:
			fields[path] = jsonKind(typ) + null
		}
	}
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Float32, reflect.Float64:
		return "number"
	}
	return "integer"
}
