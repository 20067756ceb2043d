package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// configFile writes a configuration file and returns its name.
func configFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f.yaml")
	writeFile(t, name, text)
	return name
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// given parses the flags of a command line of serve.
func given(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	cmd := serveCommand()
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return cmd.Flags()
}

// Flags beat the environment, the environment beats the file, the file beats
// the default; config show tells which it was.
func TestSettings_Precedence(t *testing.T) {
	name := configFile(t, `retirement: 1s
node-ttl: 2s
listen: ":1"
path: /file
public-status: true
allow-eio3: true
cors-origin: [https://file.example]
max-payload: 5
`)
	t.Setenv("DYNAMICIO_CONFIG", name)
	t.Setenv("DYNAMICIO_LISTEN", ":2")
	t.Setenv("DYNAMICIO_PATH", "/env")
	t.Setenv("DYNAMICIO_ALLOW_EIO3", "false")
	t.Setenv("DYNAMICIO_CORS_ORIGIN", "https://env.example,https://env2.example")
	args := []string{"--path", "/flag", "--public-status=false", "--retirement", "10s"}
	s, err := loadSettings(given(t, args...))
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	got := fmt.Sprintln(s.listen, o.Path, o.PublicStatus, o.AllowEIO3, o.Origins, o.MaxPayload, o.NodeTTL, o.Retirement, o.PingInterval)
	if want := ":2 /flag false false [https://env.example https://env2.example] 5 2s 10s 25s\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := s.rules().Retirement; got != o.Retirement {
		t.Errorf("the rules have a retirement time of %v", got)
	}
	code, stdout, stderr := command(t, append([]string{"config", "show"}, args...)...)
	if code != exitDone {
		t.Fatal(stderr)
	}
	for key, want := range map[string]string{
		"path": `"/flag" # --path`, "retirement": `10s # --retirement`, "listen": `":2" # DYNAMICIO_LISTEN`,
		"max-payload": "5 # " + name + ":8", "ping-interval": "25s # default",
		"cors-origin": `["https://env.example", "https://env2.example"] # DYNAMICIO_CORS_ORIGIN`,
	} {
		line := regexp.MustCompile(`(?m)^` + key + `: (.*?) +(# .*)$`).FindStringSubmatch(stdout)
		if line == nil || line[1]+" "+line[2] != want {
			t.Errorf("%s is shown as %q, want %q", key, line, want)
		}
	}
	// What is shown is a file again.
	if code, _, stderr := command(t, "config", "check", configFile(t, stdout)); code != exitDone {
		t.Errorf("what config show prints: %s", stderr)
	}
}

func TestConfigShow_HidesSecrets(t *testing.T) {
	name := configFile(t, "status-token: hunter2\nredis: redis://user:hunter2@localhost:6379/1\nnamespaces: [{match: /x, connect: {tokens: [hunter2]}}]\n")
	code, stdout, stderr := command(t, "config", "show", "--config", name)
	if code != exitDone || strings.Contains(stdout+stderr, "hunter2") || !strings.Contains(stdout, "localhost:6379/1") {
		t.Errorf("status %d:\n%s%s", code, stdout, stderr)
	}
}

// What is wrong with a value is told with where it came from, in one line.
func TestServe_WrongConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"\nhost-port: maybe":                      `f.yaml:2: host-port is "maybe", must be "keep" or "drop"`,
		"host: /(/":                               `f.yaml:1: host is "/(/", want "*", "true", a host name or /a regular expression/: error parsing regexp: missing closing`,
		"listen: 8080":                            `f.yaml:1: listen is "8080", want host:port or :port`,
		"retirement: 0s":                          "f.yaml:1: retirement is 0s, must be above 0",
		"drain-timeout: 5s\ndrain-spread: 5s":     "f.yaml:2: drain-spread is 5s, must be shorter than drain-timeout, which is 5s",
		"drain-delay: -1s":                        "f.yaml:1: drain-delay is \"-1s\", must not be negative",
		"cors-origin: [a.example]":                `f.yaml:1: cors-origin has "a.example"`,
		"status-actions: true":                    "f.yaml:1: status-actions needs a --status-token",
		"redis: ftp://user:hunter2@x":             "f.yaml:1: redis: scheme",
		"a: 1\nb: 2":                              "f.yaml:1: a is no key; ",
		"namespaces:\n- match: '*'\n- match: /x":  "f.yaml:3: namespaces[1] is never reached: namespaces[0] matches everything before it",
		"namespaces:\n- {match: /x, host: a.b}":   `f.yaml:2: namespaces[0] is for the host a.b, but every host is the main one`,
		"host-port: drop\nhosts: {a.b: ['c:80']}": "f.yaml:2: hosts.\"a.b\"[0] has a port, but host-port is drop, so that no host has one: write c",
		"retirement: 0s\n\nnode-ttl: 0s":          "f.yaml:1: retirement is 0s, must be above 0; ",
	} {
		code, stdout, stderr := command(t, "serve", "--config", configFile(t, text))
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "hunter2") {
			t.Errorf("%q: status %d, error %q; want one line with %q", text, code, stderr, want)
		}
	}
	for _, args := range [][]string{{"--config", "/nonexistent/f.yaml"}, {"--config", "/"}, {"--config", "-"}, {"--config", ""}} {
		if code, _, stderr := command(t, append([]string{"serve"}, args...)...); code != exitUsage || !strings.Contains(stderr, "--config") {
			t.Errorf("%v: status %d, error %q", args, code, stderr)
		}
	}
	t.Setenv("DYNAMICIO_WHEN_AWAY", "maybe")
	if code, _, stderr := command(t, "serve"); code != exitUsage || !strings.Contains(stderr, "DYNAMICIO_WHEN_AWAY") {
		t.Errorf("status %d, error %q", code, stderr)
	}
}

func TestConfigCheck(t *testing.T) {
	name := configFile(t, "listen: \":0\"\nnamespaces: [{match: /x}]\nhosts: {a: [b, c]}\n")
	code, stdout, _ := command(t, "config", "check", name)
	want := name + " is well: settings: 1, rules for namespaces: 1, aliases of hosts: 2\n" +
		"open: /x, by namespaces[0] in line 2: nothing is asked of who connects\n"
	if code != exitDone || stdout != want {
		t.Errorf("status %d, output %q, want %q", code, stdout, want)
	}
	for text, want := range map[string]string{
		"lisen: a\nretirement: 5\n":        `f.yaml:1: lisen is no key; did you mean "listen"?` + "\n" + `f.yaml:2: retirement is "5", want a duration such as "10s"` + "\n",
		"cors-origin: [a.example]\n":       `f.yaml:1: cors-origin has "a.example": want scheme://host[:port], where labels of the host may be "*", or "null", "file://", "*"` + "\n",
		"host-port: maybe":                 `f.yaml:1: host-port is "maybe", must be "keep" or "drop"` + "\n",
		"redis: redis://h\nlease-ttl: 1ms": "f.yaml:2: lease-ttl is 1ms, must be at least 50ms\n",
		"redis: redis://h\ncluster: \"{\"": "f.yaml:2: cluster ",
	} {
		name := configFile(t, text)
		code, stdout, stderr := command(t, "config", "check", name)
		if got := strings.ReplaceAll(stderr, filepath.Dir(name)+"/", ""); code != exitUsage || stdout != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%q: status %d, %q, want %q", text, code, got, want)
		}
	}
	// A short token is no mistake, but is told of, in the order of the lines, and never shown.
	name = configFile(t, "namespaces:\n- match: /x\n  connect: {tokens: [0123456789abcdef, hunter2]}\n- {match: /y, connect: {tokens-env: DYNAMICIO_TEST_SHORT}}\n")
	t.Setenv("DYNAMICIO_TEST_SHORT", "hunter2hunter2hunter2,hunter22")
	code, stdout, stderr := command(t, "config", "check", name)
	if want := fmt.Sprintf("warning: %[1]s:3: namespaces[0].connect.tokens[1] has a token of 7 characters, which can be guessed; want 16 or more, and random\n"+
		"warning: %[1]s:4: namespaces[1].connect.tokens-env has a token of 8 characters, which can be guessed; want 16 or more, and random\n", name); code != exitDone || stderr != want || !strings.Contains(stdout, "is well") {
		t.Errorf("status %d, output %q, error %q, want %q", code, stdout, stderr, want)
	}
	// With host-port: keep, as it is by default, hosts may have ports.
	if code, _, stderr := command(t, "config", "check", configFile(t, "hosts: {'a:1': ['b:2']}")); code != exitDone {
		t.Error(stderr)
	}
	if code, _, stderr := command(t, "config", "check", ""); code != exitUsage || !strings.Contains(stderr, "needs the name of a file") {
		t.Errorf("a file without a name: status %d, error %q", code, stderr)
	}
	for _, args := range []string{"config", "config check", "config check a b", "config check /nonexistent", "config show x", "config default x"} {
		if code, _, stderr := command(t, strings.Fields(args)...); code != exitUsage || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d, error %q", args, code, stderr)
		}
	}
	cmd := rootCommand()
	var out bytes.Buffer
	cmd.SetArgs([]string{"config", "check", "-"})
	cmd.SetIn(strings.NewReader("listen: [a]"))
	cmd.SetOut(&out)
	if err := cmd.Execute(); err == nil || err.Error() != "stdin:1: listen is a list, want a text" {
		t.Errorf("standard input: %v", err)
	}
}

// Mistakes that concern several values are all told at once, in the order of
// their lines, each once.
func TestConfigCheck_SaysAllThatIsWrong(t *testing.T) {
	name := configFile(t, `host: Main.Example:80
host-port: drop
when-away: perhaps
log-level: loud
retirement: 0s
node-ttl: 1ms
lease-ttl: 2ms
listen: nonsense
path: nonsense
cors-origin: [a, https://ok.example, b]
status-actions: true
redis: ftp://localhost
cluster: "{"
ping-interval: 1us
namespaces:
- match: /x
  host: "tenant.example:443"
- match: /y
  host: MAIN.example
- match: /y
  host: www.tenant.example
- match: "*"
- match: /z
- match: /x
hosts:
  "other.example:1": [Fine.example, "*.fine.example"]
  tenant.example: [www.tenant.example, "*.Tenant.example:2", "X.example:3"]
max-payload: 0
`)
	code, stdout, stderr := command(t, "config", "check", name)
	var got []string
	for line := range strings.Lines(stderr) {
		rest, named := strings.CutPrefix(line, name+":")
		if !named {
			t.Errorf("a line without the file: %s", line)
		}
		got = append(got, rest)
	}
	want := []string{
		"3: when-away is", "4: log-level is", "5: retirement is 0s", "6: node-ttl is 1ms, must be at least", "7: lease-ttl is 2ms, must be at least",
		"8: listen is", "9: path is", `10: cors-origin has "a"`, `10: cors-origin has "b"`, "11: status-actions needs",
		"12: redis: ", "13: cluster ", "14: ping-interval is 1µs",
		"17: namespaces[0].host has a port, but host-port is drop, so that no host has one: write tenant.example\n",
		"18: namespaces[1] is for the host main.example, which is the main one", "20: namespaces[2] is for the host www.tenant.example, which is an alias of tenant.example",
		"23: namespaces[4] is never reached: namespaces[3]", "24: namespaces[5] is never reached: namespaces[3]",
		`26: hosts."other.example:1" has a port, `,
		`27: hosts."tenant.example"[1] has a port, but host-port is drop, so that no host has one: write *.tenant.example`,
		`27: hosts."tenant.example"[2] has a port, `, "28: max-payload is 0",
	}
	if code != exitUsage || stdout != "" || len(got) != len(want) {
		t.Errorf("status %d, %d lines, want %d", code, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got  %swant %s", got[i], want[i])
		}
	}
}

// uncommented finds what has to go for the keys of config default to be in force.
var uncommented = regexp.MustCompile(`(?m)^#`)

// The file of every key is good, with and without its keys in force, and says
// what every flag of serve does by default.
func TestConfigDefault(t *testing.T) {
	_, text, _ := command(t, "config", "default")
	inForce := uncommented.ReplaceAllString(text, "")
	for what, text := range map[string]string{"as printed": text, "in force": inForce} {
		if code, _, stderr := command(t, "config", "check", configFile(t, text)); code != exitDone {
			t.Errorf("%s: %s", what, stderr)
		}
	}
	s := newSettings()
	if err := s.readFile(configFile(t, inForce), nil); err != nil {
		t.Fatal(err)
	}
	s.flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "config" && (!f.Changed || f.Value.String() != f.DefValue) {
			t.Errorf("%s is %s in the file, by default %s", f.Name, f.Value, f.DefValue)
		}
	})
}

// The example that is shipped is good.
func TestConfigCheck_Example(t *testing.T) {
	if code, stdout, stderr := command(t, "config", "check", "../../deploy/dynamicio.yaml"); code != exitDone || strings.Contains(stdout, ": 0") || stderr != "" {
		t.Errorf("%s%s", stdout, stderr)
	}
}

// All commands say how they are used, in lines that fit.
func TestRun_HelpOfEveryCommand(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		code, stdout, stderr := command(t, args...)
		if code != exitDone || stderr != "" || !strings.Contains(stdout, "Usage:\n  dynamicio") {
			t.Errorf("%v: status %d, %s%s", args, code, stdout, stderr)
		}
		for line := range strings.Lines(stdout) {
			// The help of completion is cobra's.
			if n := len([]rune(line)); n > usageWidth+1 && !strings.Contains(cmd.CommandPath(), "completion") {
				t.Errorf("%v: a line of %d: %s", args, n, line)
			}
		}
		_, same, _ := command(t, append([]string{"help"}, args[:len(args)-1]...)...)
		if same != stdout {
			t.Errorf("help %v differs from %v", args[:len(args)-1], args)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	root := rootCommand()
	adoptDefaults(root)
	walk(root)
}

// Every flag of serve stands under a heading, once.
func TestServe_HelpShowsEveryFlag(t *testing.T) {
	_, stdout, _ := command(t, "serve", "--help")
	serveCommand().Flags().VisitAll(func(f *pflag.Flag) {
		if strings.Count(stdout, "\n      --"+f.Name+" ") != 1 {
			t.Errorf("--%s is not in the help, or twice", f.Name)
		}
	})
}

func TestRun_Completion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, stdout, _ := command(t, "completion", shell); code != exitDone || !strings.Contains(stdout, "dynamicio") {
			t.Errorf("%s: status %d", shell, code)
		}
	}
	for args, want := range map[string]string{
		"serve --log-format": "text json", "serve --log-level": "debug info warn error", "serve --host-port": "keep drop",
		"serve --when-away": "admit refuse", "serve --bus-dialect": "node go", "emit --bus-dialect": "node go", "demo --log-level": "debug info warn error",
		"config show --log-format": "text json", "serve --config": "yaml yml", "config check": "yaml yml", "config": "check default show",
	} {
		_, stdout, _ := command(t, append(append([]string{"__complete"}, strings.Fields(args)...), "")...)
		for _, word := range strings.Fields(want) {
			if !regexp.MustCompile(`(?m)^` + word + `(\t|$)`).MatchString(stdout) {
				t.Errorf("%s is completed to %q, want %s", args, stdout, want)
			}
		}
	}
}

// Who mistypes is told what was meant, if that is near.
func TestRun_Suggests(t *testing.T) {
	for args, want := range map[string]string{
		"serv": `"serve"`, "config chekc": `"check"`, "help staus": `"status"`, "help config sho": `"show"`, "serve --listn :1": "--listen",
		"status --ulr x": "--url", "help frobnicate": "--help", "completion tcsh": "tcsh", "completion bash x": `"x"`,
		"serve --max-payload x": "--max-payload is \"x\", want a whole number", "serve --public-status=1x": "true or false",
	} {
		code, _, stderr := command(t, strings.Fields(args)...)
		if code != exitUsage || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d, error %q, want %q", args, code, stderr, want)
		}
	}
}
