package config

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/namespace"
)

// flags are some of each kind that serve has.
func flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	f.String("listen", ":8080", "address")
	f.String("cluster", "default", "name")
	f.String("config", "", "this file")
	f.Bool("public-status", false, "show it")
	f.Duration("retirement", 10*time.Second, "how long")
	f.Int("max-payload", 1_000_000, "bytes")
	f.StringArray("cors-origin", nil, "origins")
	return f
}

func decode(t testing.TB, text string) (*File, error) {
	t.Helper()
	return Decode("f.yaml", []byte(text), t.TempDir(), flags())
}

func good(t testing.TB, text string) *File {
	t.Helper()
	f, err := decode(t, text)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return f
}

func TestDecode_Settings(t *testing.T) {
	f := good(t, `
listen: "127.0.0.1:0"
cluster: 5           # a number is a text, too
public-status: true
retirement: 1m30s
max-payload: 1_000
cors-origin: [https://a.example,
  https://b.example]
`)
	want := map[string]string{
		"listen": "127.0.0.1:0", "cluster": "5", "public-status": "true", "retirement": "1m30s", "max-payload": "1000",
		"cors-origin": "https://a.example https://b.example",
	}
	for i, s := range f.Settings {
		if got := strings.Join(s.Values, " "); got != want[s.Key] || s.Line != i+2 {
			t.Errorf("line %d: %s is %q, want %q in line %d", s.Line, s.Key, got, want[s.Key], i+2)
		}
		delete(want, s.Key)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	if f := good(t, "cors-origin: https://a.example"); len(f.Settings[0].Values) != 1 {
		t.Errorf("one origin without a list: %v", f.Settings)
	}
}

func TestDecode_Nothing(t *testing.T) {
	for _, text := range []string{"", "\n", "# only a comment\n", "---\n", "{}", "null", "--- \n...\n"} {
		if f := good(t, text); len(f.Settings) != 0 || len(f.Rules.Rules) != 0 {
			t.Errorf("%q is %+v", text, f)
		}
	}
}

func TestDecode_Rules(t *testing.T) {
	f := good(t, `
namespaces:
  - {match: /secret, refuse: true}
  - match: /^\/chat\//
    host: Other.Example.
    retirement: never
    limits: &small {sockets: 10, rooms: 2, events-per-second: 0.5, events-burst: 3, event-bytes: 0x100}
  - match: "*"
    host: ""
    retirement: 0s
    allow: [echo, join]
    limits: *small
hosts:
  a.example: [www.a.example, "*.a.example"]
  b.example: c.example
`)
	rules := f.Rules.Rules
	if len(rules) != 3 || f.RuleLine(1) != 4 {
		t.Fatalf("%d rules, the second in line %d", len(rules), f.RuleLine(1))
	}
	if r := rules[0]; !r.Refuse || !r.AnyHost || r.Match != namespace.Exact("/secret") {
		t.Errorf("rule 0 is %+v", r)
	}
	if r := rules[1]; r.AnyHost || r.Host != namespace.Exact("other.example") || *r.Retirement != namespace.Never ||
		!r.Allow.Broadcast || !r.Allow.Echo || r.Limits.EventsPerSecond != 0.5 || r.Limits.EventBytes != 256 {
		t.Errorf("rule 1 is %+v", r)
	}
	if r := rules[2]; r.AnyHost || r.Allow.Broadcast || !r.Allow.Echo || r.Allow.Leave || *r.Retirement != 0 ||
		r.Limits != rules[1].Limits {
		t.Errorf("rule 2 is %+v", r)
	}
	if got := f.Rules.Hosts.Canonical("x.a.example"); got != "a.example" || f.Rules.Hosts.Len() != 3 {
		t.Errorf("x.a.example is %s", got)
	}
}

// Every mistake is told with the file, its line and its key, and as a hint what
// was wanted.
func TestDecode_SaysWhatIsWrong(t *testing.T) {
	t.Setenv("DYNAMICIO_TEST_BLANK", " \t")
	rule := "namespaces:\n  - match: /x\n    "
	jwt := rule + "connect:\n      jwt:\n        secret: 0123456789abcdef0123456789abcdef\n        "
	for _, test := range []struct{ text, want string }{
		{"lisen: x", `f.yaml:1: lisen is no key; did you mean "listen"?`},
		{"public_status: true", `f.yaml:1: public_status is no key; did you mean "public-status"?`},
		{"Listen: x", `f.yaml:1: Listen is no key; did you mean "listen"?`},
		{"frobnicate: x", `f.yaml:1: frobnicate is no key; "dynamicio config default" shows them all`},
		{"\"a\\nb\": x", `f.yaml:1: "a\nb" is no key; "dynamicio config default" shows them all`},
		{"config: other.yaml", `f.yaml:1: config is no key; "dynamicio config default" shows them all`},
		{"listen: a\n\nlisten: b", `f.yaml:3: listen is there twice, first in line 1`},
		{"listen: [a, b]", `f.yaml:1: listen is a list, want a text`},
		{"listen:", `f.yaml:1: listen is empty, want a text`},
		{"listen: {a: b}", `f.yaml:1: listen is a mapping, want a text`},
		{"listen: !secret x", `f.yaml:1: listen has the tag "!secret", which means nothing here`},
		{"public-status: yes", `f.yaml:1: public-status is "yes", want true or false`},
		{"public-status: 1", `f.yaml:1: public-status is "1", want true or false`},
		{"retirement: 10", `f.yaml:1: retirement is "10", want a duration such as "10s"`},
		{"retirement: -1s", `f.yaml:1: retirement is "-1s", must not be negative`},
		{"max-payload: 1.5", `f.yaml:1: max-payload is "1.5", want a whole number`},
		{"max-payload: \"7\"", `f.yaml:1: max-payload is "7", want a whole number`},
		{"cors-origin: {a: b}", `f.yaml:1: cors-origin is a mapping, want a list`},
		{"cors-origin: [a, [b]]", `f.yaml:1: cors-origin[1] is a list, want a text`},
		{"- a\n- b", `f.yaml:1: is a list, want a mapping`},
		{"just text", `f.yaml:1: is "just text", want a mapping`},
		{"listen: a\n---\nlisten: b", `f.yaml:2: has a second document, want one`},
		{"a: b\n  c: d: e", `f.yaml:2: is no YAML: mapping values are not allowed in this context; a value with ": " in it needs quotes, and the keys of a mapping begin in the same column`},
		{"\x00", `f.yaml:1: is no YAML: control characters are not allowed`},
		{"? [a]\n: b", `f.yaml:1: has a key that is a list`},
		{"a: &a {x: y}\nb:\n  <<: *a", `f.yaml:1: a is no key; "dynamicio config default" shows them all; f.yaml:2: b is no key; "dynamicio config default" shows them all`},
		{"namespaces: {}", `f.yaml:1: namespaces is a mapping, want a list of rules`},
		{"namespaces: [x]", `f.yaml:1: namespaces[0] is "x", want a mapping`},
		{"namespaces:\n  - retirement: 5s", `f.yaml:2: namespaces[0] has no match: which namespaces it is for ("*" is all)`},
		{"namespaces:\n  - match: chat", `f.yaml:2: namespaces[0].match is "chat": a namespace begins with a slash`},
		{"namespaces:\n  - match: /(/", "f.yaml:2: namespaces[0].match is \"/(/\": error parsing regexp: missing closing ): `(`"},
		{"namespaces:\n  - match: /admin/", `f.yaml:2: namespaces[0].match is "/admin/": it is a regular expression that matches anywhere in a name; /^\/admin/ is what begins with /admin, and /admin without a slash behind it that one name`},
		{"namespaces:\n  - match: /board/{id}", `f.yaml:2: namespaces[0].match is "/board/{id}": it is an exact name, in which "{id}" stands for nothing; with any text in its place it is /^\/board\/[^\/]+$/`},
		{rule + "host: /example/", `f.yaml:3: namespaces[0].host is "/example/", which matches anywhere in a host name, that of a stranger too; begin it with ^ or end it with $`},
		{rule + "allow: {to: [/admin/]}", `f.yaml:3: namespaces[0].allow.to[0] is "/admin/": it is a regular expression that matches anywhere in a name; begin it with ^`},
		{rule + "connect: {tokens: [\"  \"]}", `f.yaml:3: namespaces[0].connect.tokens[0] is blank, want a text`},
		{rule + "connect: {tokens-env: DYNAMICIO_TEST_BLANK}", `f.yaml:3: namespaces[0].connect.tokens-env names the environment variable "DYNAMICIO_TEST_BLANK", which is blank`},
		{rule + "connect: {jwt: {secret: \"" + strings.Repeat(" ", 32) + "\"}}", `f.yaml:3: namespaces[0].connect.jwt.secret is blank, want a text`},
		{jwt + "leeway: 1s\n    allow: {join: [\"team-{team}\"], to: [\"team-{team}-{role}\"]}", `f.yaml:7: namespaces[0].allow has "team-{team}" and "team-{team}-{role}", which can be the same room for the claims of different clients; begin them differently`},
		{"namespaces:\n  - match: [/a]", `f.yaml:2: namespaces[0].match is a list, want a pattern`},
		{rule + "host: a b", `f.yaml:3: namespaces[0].host is "a b", want a host name, "*", "" or /a regular expression/`},
		{rule + "host: true", `f.yaml:3: namespaces[0].host is "true", want a host name, "*", "" or /a regular expression/`},
		{rule + "refuse: maybe", `f.yaml:3: namespaces[0].refuse is "maybe", want true or false`},
		{rule + "refuse: true\n    allow: [echo]", `f.yaml:4: namespaces[0].allow makes no sense beside refuse: true`},
		{rule + "retirment: 5s", `f.yaml:3: namespaces[0].retirment is no key; did you mean "retirement"?`},
		{rule + "<<: {retirement: 5s}", `f.yaml:3: namespaces[0] has a "<<", which is not supported; an alias may stand for a whole value`},
		{rule + "zzz: 5s", `f.yaml:3: namespaces[0].zzz is no key; there is match, host, refuse, retirement, connect, allow, limits`},
		{rule + "retirement: \"10\"", `f.yaml:3: namespaces[0].retirement is "10", want a duration such as "10s", or never`},
		{rule + "allow: echo", `f.yaml:3: namespaces[0].allow is "echo", want a list of verbs such as [echo, join], or a mapping of them`},
		{rule + "allow: [echo, brodcast]", `f.yaml:3: namespaces[0].allow[1] is "brodcast", which is no verb; did you mean broadcast?`},
		{rule + "allow: [fly]", `f.yaml:3: namespaces[0].allow[0] is "fly", which is no verb; there is broadcast, to, join, leave, echo`},
		{rule + "allow: {echo: [x]}", `f.yaml:3: namespaces[0].allow.echo is a list, want true or false`},
		{rule + "allow: {join: [a, \"\"]}", `f.yaml:3: namespaces[0].allow.join[1] is "": the name of a room is empty`},
		{rule + "allow: {join: [\"user-{sub}\"]}", `f.yaml:3: namespaces[0].allow.join has "user-{sub}", but without connect.jwt clients have no claims`},
		{rule + "limits: {sockets: 0}", `f.yaml:3: namespaces[0].limits.sockets is "0", want a whole number above 0`},
		{rule + "limits: {sockets: 99999999999}", `f.yaml:3: namespaces[0].limits.sockets is "99999999999", want a whole number above 0`},
		{rule + "limits: {events-per-second: .inf}", `f.yaml:3: namespaces[0].limits.events-per-second is ".inf", want a number above 0`},
		{rule + "limits: {events-burst: 5}", `f.yaml:3: namespaces[0].limits.events-burst needs events-per-second beside it`},
		{rule + "connect: {}", `f.yaml:3: namespaces[0].connect asks for nothing, want tokens or jwt`},
		{rule + "connect: {tokens: []}", `f.yaml:3: namespaces[0].connect.tokens is empty, so that no token is accepted; want a list of them`},
		{rule + "connect: {tokens: [hunter2, \"\"]}", `f.yaml:3: namespaces[0].connect.tokens[1] is empty, want a text`},
		{rule + "connect: {tokens: {hunter: 2}}", `f.yaml:3: namespaces[0].connect.tokens is a mapping, want a list`},
		{rule + "connect: {tokens: [[hunter2]]}", `f.yaml:3: namespaces[0].connect.tokens[0] is no text, want one`},
		{rule + "connect: {tokens: [a], tokens-env: X}", `f.yaml:3: namespaces[0].connect has tokens in two places, want one of them`},
		{rule + "connect: {tokens-env: DYNAMICIO_TEST_NONE}", `f.yaml:3: namespaces[0].connect.tokens-env names the environment variable "DYNAMICIO_TEST_NONE", which is not set`},
		{rule + "connect:\n      jwt: {}", `f.yaml:4: namespaces[0].connect.jwt has no key, want secret, secret-file, secret-env or public-key-file`},
		{rule + "connect: {jwt: {secret: hunter2}}", `f.yaml:3: namespaces[0].connect.jwt has a secret of 7 bytes, want at least 32`},
		{jwt + "secret-env: X", `f.yaml:5: namespaces[0].connect.jwt has the same secret in two places, want one of them`},
		{jwt + "issuer: [a]", `f.yaml:6: namespaces[0].connect.jwt.issuer is a list, want a text`},
		{jwt + "require: [a]", `f.yaml:6: namespaces[0].connect.jwt.require is a list, want a mapping of claims to values`},
		{jwt + "require: {role: {a: b}}", `f.yaml:6: namespaces[0].connect.jwt.require.role is a mapping, want a list`},
		{jwt + "leeway: -1s", `f.yaml:6: namespaces[0].connect.jwt.leeway is "-1s", must not be negative`},
		{rule + "connect: {jwt: []}", `f.yaml:3: namespaces[0].connect asks for nothing, want tokens or jwt`},
		{rule + "connect: {jwt: [{secret: 0123456789abcdef0123456789abcdef}, {secret: hunter2}]}", `f.yaml:3: namespaces[0].connect.jwt[1] has a secret of 7 bytes, want at least 32`},
		{rule + "connect: {jwt: [hunter2]}", `f.yaml:3: namespaces[0].connect.jwt[0] is a text, want a mapping`},
		{rule + "connect: hunter2", `f.yaml:3: namespaces[0].connect is a text, want a mapping`},
		{rule + "connect: {jwt: hunter2}", `f.yaml:3: namespaces[0].connect.jwt is a text, want a mapping`},
		{"match: /x", `f.yaml:1: match is no key; it belongs to an entry of "namespaces"`},
		{"a:\n\t- b", `f.yaml:2: is no YAML: found character that cannot start any token; indent with spaces, not tabs; a value that begins with @, % or ` + "`" + ` needs quotes`},
		{rule + "allow: {join: [/[/]}", `f.yaml:3: is no YAML: did not find expected ',' or ']'; a value with [ ] { } or a comma in it needs quotes within [ ] and { }, which must be closed`},
		{"namespaces: [{match: /[/}]", `f.yaml:1: is no YAML: did not find expected ',' or '}'; a value with [ ] { } or a comma in it needs quotes within [ ] and { }, which must be closed`},
		{"\n\nhosts:\n  a: b\n  - c", `f.yaml:4: is no YAML: did not find expected key; the keys of a mapping begin in the same column`},
		{"namespaces:\n  - match: *", `f.yaml:2: is no YAML: did not find expected alphabetic or numeric character; a value that begins with * or & needs quotes`},
		{rule + "host: \"*.a.com\"", `f.yaml:3: namespaces[0].host is "*.a.com", want a host name, "*", "" or /a regular expression/; all names below one are /\.example\.com$/`},
		{rule + "host: /[/", "f.yaml:3: namespaces[0].host is \"/[/\", want a host name, \"*\", \"\" or /a regular expression/: error parsing regexp: missing closing ]: `[`"},
		{rule + "retirement: -1s", `f.yaml:3: namespaces[0].retirement is "-1s", must not be negative`},
		{rule + "allow: {join: Yes}", `f.yaml:3: namespaces[0].allow.join is "Yes", want true, false or a list of rooms`},
		{"hosts: [a]", `f.yaml:1: hosts is a list, want a mapping of host names to their aliases`},
		{"hosts:\n  a b: [c]", `f.yaml:2: hosts."a b" is no host name`},
		{"hosts:\n  a: [b]\n  c: [B]", `f.yaml:3: hosts.c[0] is "B": is an alias of a already`},
		{"hosts:\n  a: [b]\n  b: [c]", `f.yaml:2: hosts.a[0] is "b": is a name that has aliases itself`},
	} {
		_, err := decode(t, test.text)
		if err == nil || err.Error() != test.want {
			t.Errorf("%q:\n got %v\nwant %s", test.text, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter") {
			t.Errorf("a secret is in %v", err)
		}
	}
}

// All mistakes are told at once, in the order of their lines.
func TestDecode_SaysAllThatIsWrong(t *testing.T) {
	_, err := decode(t, "namespaces:\n  - match: x\n    limits: {rooms: -1}\n  - {}\nretirement: 5\nhosts: {a: 1.2.3, \"\": b}\n")
	errs, _ := err.(Errors)
	var lines []int
	for _, e := range errs {
		lines = append(lines, e.Line)
	}
	if len(lines) != 5 || lines[0] != 2 || lines[1] != 3 || lines[2] != 4 || lines[3] != 5 || lines[4] != 6 {
		t.Errorf("lines %v of %v", lines, err)
	}
	_, err = decode(t, strings.Repeat("x", 10)+": 1\n"+"namespaces: ["+strings.Repeat("x, ", 1000)+"x]")
	if errs, _ = err.(Errors); len(errs) != maxErrors+1 || !strings.Contains(errs[maxErrors].Text, "952 more") {
		t.Errorf("%d errors, the last %v", len(errs), errs[len(errs)-1])
	}
}

// What a small file can expand to is bounded, and so are its size and depth.
func TestDecode_Bounds(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range 8 {
		from, to := string(rune('a'+i)), string(rune('b'+i))
		bomb += to + ": &" + to + " [" + strings.Repeat("*"+from+",", 9) + "*" + from + "]\n"
	}
	for _, test := range []struct{ text, want string }{
		{bomb + "cors-origin: *i", "no key"},
		{"cors-origin: &a [*a]", "is a list"},
		{"cors-origin: [" + strings.Repeat("x,", 2*maxNodes) + "]", "is too much"},
		{"namespaces: " + strings.Repeat("[", 5000), "is no YAML"},
		{"namespaces:\n- match: /x\n  connect:\n    jwt:\n      require:\n        a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "is a list"},
	} {
		if _, err := decode(t, test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.60q: %v, want an error with %q", test.text, err, test.want)
		}
	}
	name := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(name, make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(name, nil, flags()); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a huge file: %v", err)
	}
	if _, err := Read("-", strings.NewReader("listen: x"), flags()); err != nil {
		t.Errorf("standard input: %v", err)
	}
}

// Secrets may stand elsewhere; paths are relative to the file.
func TestRead_SecretsElsewhere(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("key", "0123456789abcdef0123456789abcdef\n")
	write("tokens", "one\n\n  two \n")
	write("empty", "\n")
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	t.Setenv("DYNAMICIO_TEST_TOKENS", "one, two")
	t.Setenv("DYNAMICIO_TEST_KEY", "0123456789abcdef0123456789abcdef")
	read := func(connect string) error {
		write("f.yaml", "namespaces:\n  - match: /x\n    connect: "+connect+"\n")
		_, err := Read(filepath.Join(dir, "f.yaml"), nil, flags())
		return err
	}
	for _, connect := range []string{
		"{tokens-file: tokens}", "{tokens-env: DYNAMICIO_TEST_TOKENS}", "{jwt: {secret-file: key}}", "{jwt: {secret-env: DYNAMICIO_TEST_KEY}}",
		"{jwt: [{public-key-file: key.pem}, {secret-file: key}]}",
		"{tokens-file: " + filepath.Join(dir, "tokens") + "}",
	} {
		if err := read(connect); err != nil {
			t.Errorf("%s: %v", connect, err)
		}
	}
	for connect, want := range map[string]string{
		"{tokens-file: none}": "connect.tokens-file cannot be read: open", "{jwt: {secret-file: empty}}": "secret-file is an empty file",
		"{tokens-file: empty}": "is an empty file", "{jwt: {public-key-file: key}}": "no PEM", "{tokens-file: \"\"}": "tokens-file is empty",
	} {
		if err := read(connect); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "f.yaml:3: ") {
			t.Errorf("%s: %v, want an error with %q", connect, err, want)
		}
	}
}

// Whatever a file holds, there is an answer, with a line where there is one.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "listen: x", "namespaces: [{match: /x, allow: {join: [a]}, limits: {rooms: 2}}]", "hosts: {a: [b, '*.c']}",
		"a: &a [*a]", "<<: {a: b}", "namespaces:\n- match: '*'\n  connect: {tokens: [a], jwt: {secret: b, require: {c: d}}}", "? [x]\n: y", "--- !!binary x",
		"%YAML 1.2\n---\n- !<tag:x> y",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Decode("f", text, "/nonexistent", flags())
		if (file == nil) == (err == nil) {
			t.Fatalf("%v, %v", file, err)
		}
		if err == nil {
			return
		}
		errs, ok := err.(Errors)
		if !ok || len(errs) == 0 || len(errs) > maxErrors+1 {
			t.Fatalf("%d errors: %v", len(errs), err)
		}
		for _, e := range errs {
			if strings.ContainsAny(e.Error(), "\n\r") || e.Line < 0 || e.Line > strings.Count(string(text), "\n")+strings.Count(string(text), "\r")+strings.Count(string(text), "\u2028")+strings.Count(string(text), "\u2029")+strings.Count(string(text), "\u0085")+2 {
				t.Errorf("%q", e.Error())
			}
		}
	})
}
