package config

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// The file of every key says nothing as it stands, and with its keys taken out
// of their comments it says what every key has for a default.
func TestWriteDefault_IsAFile(t *testing.T) {
	var b strings.Builder
	if err := WriteDefault(&b, []Group{{"Everything", flags()}}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if f := good(t, text); len(f.Settings) != 0 || len(f.Rules.Rules) != 0 || f.Rules.Hosts.Len() != 0 {
		t.Errorf("as it stands it is %+v", f)
	}
	f := good(t, regexp.MustCompile(`(?m)^#`).ReplaceAllString(text, ""))
	there := map[string]string{}
	for _, s := range f.Settings {
		there[s.Key] = strings.Join(s.Values, " ")
	}
	flags().VisitAll(func(flag *pflag.Flag) {
		value, ok := there[flag.Name]
		switch {
		case Excluded(flag.Name) == ok:
			t.Errorf("%s: in the file: %v", flag.Name, ok)
		case ok && value != strings.Trim(flag.DefValue, "[]"):
			t.Errorf("%s is %q, want its default, %q", flag.Name, value, flag.DefValue)
		}
	})
	if len(f.Rules.Rules) != 1 || f.Rules.Hosts.Len() == 0 || f.Rules.Rules[0].Connect == nil {
		t.Errorf("the samples are %+v", f.Rules)
	}
	// Every key of a rule is told of, also where another is in its way.
	var want func(fields []field)
	want = func(fields []field) {
		for _, field := range fields {
			if !strings.Contains(text, field.key+":") || field.help == "" {
				t.Errorf("%s is not told of", field.key)
			}
			want(field.fields)
		}
	}
	want((&File{}).fields(&reader{}, flags()))
}
