package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
	"github.com/dynamicio/dynamicio/namespace"
)

// value parses the text of one value, and returns what reads it.
func value(t *testing.T, text string) (*reader, *yaml.Node) {
	t.Helper()
	root, wrong := parse("f.yaml", []byte(text))
	if wrong != nil {
		t.Fatal(wrong)
	}
	return &reader{file: "f.yaml", dir: t.TempDir()}, root
}

// Each key of a JWT arrives in its own option.
func TestDecode_JWTOptions(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	t.Setenv("DYNAMICIO_TEST_KEY", secret)
	for text, want := range map[string]rules.JWTOptions{
		"secret: " + secret: {Secret: []byte(secret)},
		"secret-env: DYNAMICIO_TEST_KEY\nissuer: a\naudience: b\nleeway: 5s\nrequire: {role: [x, y], mail: true, any: []}": {
			Secret: []byte(secret), Issuer: "a", Audience: "b", Leeway: 5 * time.Second,
			Require: map[string][]string{"role": {"x", "y"}, "mail": {"true"}, "any": {}},
		},
		"require-expiry: true\nsecret: " + secret:  {Secret: []byte(secret)},
		"require-expiry: false\nsecret: " + secret: {Secret: []byte(secret), NoExpiry: true},
	} {
		r, root := value(t, text)
		j := newJWTReader(r)
		if j.read("jwt", root); len(r.errs) > 0 || !reflect.DeepEqual(j.options, want) {
			t.Errorf("%s\nis %+v, want %+v; %v", text, j.options, want, r.errs)
		}
	}
}

// Tokens arrive, from wherever they are; what is around them does not count.
func TestDecode_Tokens(t *testing.T) {
	t.Setenv("DYNAMICIO_TEST_TOKENS", " one,two , ,")
	for _, text := range []string{"tokens: [one, two]", "tokens-env: DYNAMICIO_TEST_TOKENS"} {
		r, root := value(t, text)
		login := loginReader{reader: r}
		got := login.read("connect", root)
		if want := rules.NewConnect([]string{"one", "two"}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: tokens %q; %v", text, login.tokens, r.errs)
		}
	}
}

// Each key of a rule arrives in its own field.
func TestDecode_RuleFields(t *testing.T) {
	rule := func(text string) *rules.Rule {
		return good(t, "namespaces: [{match: /x, "+text+"}]").Rules.Rules[0]
	}
	for text, want := range map[string]rules.Limits{
		"sockets: 1":                            {Sockets: 1},
		"rooms: 2":                              {Rooms: 2},
		"events-per-second: 3, events-burst: 4": {EventsPerSecond: 3, EventsBurst: 4},
		"event-bytes: 5":                        {EventBytes: 5},
	} {
		if got := rule("limits: {" + text + "}").Limits; got != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
	list := func(names ...string) (r rules.Rooms) {
		for _, name := range names {
			if err := r.Add(name); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	for text, want := range map[string]rules.Allow{
		"[]":                             {},
		"[broadcast]":                    {Broadcast: true},
		"[echo]":                         {Echo: true},
		"[leave]":                        {Leave: true},
		"[join]":                         {Join: rules.AnyRoom()},
		"[to]":                           {To: rules.AnyRoom()},
		"{broadcast: true, echo: false}": {Broadcast: true},
		"{echo: true}":                   {Echo: true},
		"{leave: true}":                  {Leave: true},
		"{join: true, to: false}":        {Join: rules.AnyRoom()},
		"{to: true, join: []}":           {To: rules.AnyRoom()},
		"{join: a, to: [b, c]}":          {Join: list("a"), To: list("b", "c")},
	} {
		if got := rule("allow: " + text).Allow; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	if got := rule("retirement: never").Retirement; *got != namespace.Never {
		t.Errorf("never is %v", *got)
	}
}

// What is no secret is shown again behind what may be one.
func TestDecode_ShowsWhatIsNoSecret(t *testing.T) {
	_, err := decode(t, "namespaces:\n  - match: /x\n    connect: {tokens: [hunter2]}\n    limits: five\n  - six\n")
	want := `f.yaml:4: namespaces[0].limits is "five", want a mapping; f.yaml:5: namespaces[1] is "six", want a mapping`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// Without a JWT there are no claims, tokens or not.
func TestDecode_TokensHaveNoClaims(t *testing.T) {
	_, err := decode(t, "namespaces:\n- {match: /x, connect: {tokens: [a]}, allow: {to: ['user-{sub}']}}")
	if err == nil || !strings.Contains(err.Error(), `allow.to has "user-{sub}", but without connect.jwt`) {
		t.Error(err)
	}
}

// The order is that of the lines, also where hosts are read before their aliases.
func TestDecode_ErrorsInOrder(t *testing.T) {
	_, err := decode(t, "hosts:\n  a: [x y]\n  b c: [d]\n")
	want := `f.yaml:2: hosts.a[0] is "x y": want a host name or "*." and one; f.yaml:3: hosts."b c" is no host name`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// Ports are no mistake as such; [File.Ports] has those that would be one.
func TestFile_Ports(t *testing.T) {
	f := good(t, "namespaces:\n- {match: /x, host: 'a:1'}\n- {match: /x, host: /:1$/}\nhosts:\n  b:\n  - C.d\n  - '[::1]'\n  - '*.E.f'\n  - '[::2]:80'\n  - '*.G.h:7'\n")
	want := `f.yaml:2: namespaces[0].host has a port, but host-port is drop, so that no host has one: write a; ` +
		`f.yaml:9: hosts.b[3] has a port, but host-port is drop, so that no host has one: write [::2]; ` +
		`f.yaml:10: hosts.b[4] has a port, but host-port is drop, so that no host has one: write *.g.h`
	if got := f.Ports().Error(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A file may be as large as it says, and no larger.
func TestRead_Bound(t *testing.T) {
	if _, err := readAll(strings.NewReader("12345"), "f", 5); err != nil {
		t.Error(err)
	}
	if _, err := readAll(strings.NewReader("123456"), "f", 5); err == nil {
		t.Error("six bytes of five")
	}
}
