package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/status"
)

// rulesFile is the configuration of config-rules.mjs.
const rulesFile = `
host: main.example
host-port: drop
hosts:
  tenant.example: [www.tenant.example, "*.tenant.example"]
namespaces:
  - match: /closed
    refuse: true
  - match: /^\/verbs\/echo-/
    allow: [echo]
  - match: /^\/verbs\/broadcast-/
    allow: [broadcast]
  - match: /^\/verbs\/to-/
    allow: [to]
  - match: /^\/verbs\/join-/
    allow: [join]
  - match: /^\/verbs\/leave-/
    allow: {leave: true}
  - match: /^\/rooms-/
    connect: {jwt: {secret-file: key, issuer: login, audience: chat, require: {role: [member]}}}
    allow:
      join: [lobby, "/^game-[0-9]+$/", "user-{sub}"]
      to: ["/^user-/"]
  - match: /^\/token-/
    connect: {tokens: [first token, second token]}
  - match: /^\/three-/
    limits: {sockets: 3}
  - match: /^\/limits-/
    limits: {rooms: 2, events-per-second: 0.001, events-burst: 5, event-bytes: 100}
  - match: /^\/tenant-/
    host: tenant.example
    retirement: 1s
  - match: /^\/any-/
`

// configDir writes files and returns their folder.
func configDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestConfig_RulesHold(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"polling", "websocket"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			dir := configDir(t, map[string]string{"f.yaml": rulesFile, "key": "0123456789abcdef0123456789abcdef\n"})
			s := startServer(t, "--config", filepath.Join(dir, "f.yaml"))
			runScript(t, "config-rules.mjs", nil, "--url", s.url(), "--transport", transport)
			if strings.Contains(s.log.String(), "first token") || strings.Contains(s.log.String(), "0123456789abcdef") {
				t.Error("a secret is in the log")
			}
		})
	}
}

// SIGHUP changes what clients may do while they stay; a file with an error changes nothing.
func TestConfig_Reload(t *testing.T) {
	t.Parallel()
	dir := configDir(t, map[string]string{"f.yaml": "retirement: 1h\n"})
	name := filepath.Join(dir, "f.yaml")
	s := startServer(t, "--config", name, "--public-status")
	can := asks{"hangup": func(args []json.RawMessage) {
		var text, awaited string
		if err := errors.Join(json.Unmarshal(args[0], &text), json.Unmarshal(args[1], &awaited)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := strings.Count(s.log.String(), awaited)
		s.signal(syscall.SIGHUP)
		for deadline := time.Now().Add(patience); strings.Count(s.log.String(), awaited) == before; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the log does not say %q", awaited)
			}
		}
	}}
	runScript(t, "config-reload.mjs", can, "--url", s.url(), "--transport", "websocket")
	if !strings.Contains(s.log.String(), `f.yaml:2: namespaces[0].match is \"x\"`) {
		t.Error("the log does not tell the line and the key of the error")
	}
	if !strings.Contains(s.log.String(), `"keys":["path"]`) {
		t.Error("the log does not tell which change needs a restart")
	}
}

// receivesHangups lets the processes of a test have SIGHUP: one that nohup
// started has it ignored, and so would they.
func receivesHangups(t *testing.T) {
	t.Helper()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangup) })
}

// Without a file there is nothing to reload, and a hangup ends nothing.
func TestConfig_HangupWithoutAFile(t *testing.T) {
	receivesHangups(t)
	s := startServer(t)
	c, err := dialSocket(s.addr, "/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	s.log.await(t, "SIGHUP ignored", 1)
	if answer, err := c.ask("echo", 1); err != nil || len(answer) != 1 {
		t.Errorf("the client is answered %s, %v", answer, err)
	}
	c.leave()
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 {
		t.Errorf("status %d after SIGTERM", code)
	}
}

// What runs in a terminal ends in good order when that is closed.
func TestHangup_EndsDemoAndWatchInOrder(t *testing.T) {
	receivesHangups(t)
	s := startProgram(t, dynamicio, "demo", "--nodes", "2", "--log-level", "info")
	bin, err := dynamicio()
	if err != nil {
		t.Fatal(err)
	}
	watch := exec.Command(bin, "status", "--watch", "--url", s.url())
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // the first drawing
		t.Fatal(err)
	}
	if err := watch.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	if err := watch.Wait(); err != nil {
		t.Errorf("status --watch: %v", err)
	}
	s.signal(syscall.SIGHUP)
	if code := s.wait(); code != 0 {
		t.Errorf("demo: status %d", code)
	}
	if n := strings.Count(s.log.String(), "msg=stopped"); n != 2 {
		t.Errorf("%d nodes have stopped in order, want 2", n)
	}
}

// A file that was emptied, or cut off behind a rule's pattern, opens nothing: it
// is an error in the log and in the metrics.
func TestConfig_ReloadNeverOpensSilently(t *testing.T) {
	const file = "namespaces:\n  - match: /chat\n    connect: {tokens: [a long secret token]}\n"
	name := filepath.Join(configDir(t, map[string]string{"f.yaml": file}), "f.yaml")
	s := startServer(t, "--config", name)
	for i, text := range []string{"", "namespaces:\n  - match: /chat\n", "retirement: 9s\n", "namespaces: []\n", "namespaces:\n  - match: '*'"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.signal(syscall.SIGHUP)
		s.log.await(t, "configuration not reloaded", i+1)
		for _, nsp := range []string{"/chat", "/other"} {
			if c, err := dialSocket(s.addr, nsp, nil); err == nil {
				c.leave()
				t.Errorf("with %q %s lets clients in that present nothing", text, nsp)
			}
		}
	}
	resp, err := http.Get(s.url() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for metric, want := range map[string]string{
		`dynamicio_config_reloads_total{result="failure"}`: "5", "dynamicio_config_last_reload_successful": "0",
		`dynamicio_rule_refusals_total{reason="token_missing"}`: "5", `dynamicio_rule_refusals_total{reason="namespace"}`: "5",
	} {
		if !strings.Contains(string(body), "\n"+metric+" "+want+"\n") {
			t.Errorf("%s is not %s", metric, want)
		}
	}
}

// Two nodes read a new retirement time: what is empty everywhere is retired by
// it everywhere, what is occupied on the other node is not.
func TestConfig_ReloadInACluster(t *testing.T) {
	t.Parallel()
	dir := configDir(t, map[string]string{"f.yaml": "namespaces: [{match: '*', retirement: never}]"})
	name := filepath.Join(dir, "f.yaml")
	flags := []string{
		"--config", name, "--redis", redistest.Start(t).URL(), "--node-ttl", "1s", "--lease-ttl", "500ms", "--public-status",
	}
	nodes := []*server{startServer(t, flags...), startServer(t, flags...)}
	enter := func(s *server, nsp string) *socket {
		t.Helper()
		c, err := dialSocket(s.addr, nsp, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	live := func(s *server) string {
		t.Helper()
		resp, err := http.Get(s.url() + "/socket.io/status.json")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var r status.Report
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, ns := range r.Namespaces {
			names = append(names, ns.FullName)
		}
		return strings.Join(names, " ")
	}
	stays := enter(nodes[1], "/occupied")
	for _, s := range nodes {
		enter(s, "/empty").leave()
		enter(s, "/occupied").leave()
	}
	time.Sleep(2 * time.Second) // more than it takes to decide anything
	if got := live(nodes[0]); !strings.Contains(got, "/empty") {
		t.Fatalf("%q is there, and nothing was to retire", got)
	}
	if err := os.WriteFile(name, []byte("retirement: 200ms"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range nodes {
		s.signal(syscall.SIGHUP)
	}
	for _, s := range nodes {
		for deadline := time.Now().Add(patience); strings.Contains(live(s), "/empty"); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("it stays: %q", live(s))
			}
		}
	}
	if answer, err := stays.ask("echo", 1); err != nil || len(answer) != 1 {
		t.Errorf("the client that stayed: %s, %v", answer, err)
	}
	if got := live(nodes[0]); !strings.Contains(got, "/occupied") {
		t.Errorf("%q is there, and /occupied has a client", got)
	}
	stays.leave()
}

// Flags beat the environment, the environment beats the file.
func TestConfig_Precedence(t *testing.T) {
	dir := configDir(t, map[string]string{"f.yaml": "path: /file\nping-interval: 7s\nping-timeout: 6s\nmax-payload: 1234\nlisten: nonsense\n"})
	t.Setenv("DYNAMICIO_CONFIG", filepath.Join(dir, "f.yaml"))
	t.Setenv("DYNAMICIO_PING_INTERVAL", "8s")
	t.Setenv("DYNAMICIO_PING_TIMEOUT", "5s")
	s := startServer(t, "--ping-timeout", "4s")
	resp, err := http.Get(s.url() + "/file/?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var hello struct{ PingInterval, PingTimeout, MaxPayload int }
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("0")), &hello); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if hello.PingTimeout != 4000 || hello.PingInterval != 8000 || hello.MaxPayload != 1234 {
		t.Errorf("%+v, want the timeout of the flag, the interval of the environment, the payload of the file", hello)
	}
}

// A file with an error keeps the node from starting, with one line and status 2.
func TestConfig_WrongFile(t *testing.T) {
	t.Parallel()
	bin, err := dynamicio()
	if err != nil {
		t.Fatal(err)
	}
	dir := configDir(t, map[string]string{"f.yaml": "listen: 127.0.0.1:0\nnamespaces:\n  - match: /x\n    retirement: 10\n"})
	for name, want := range map[string]string{
		"f.yaml":  "dynamicio: f.yaml:4: namespaces[0].retirement is \"10\", want a duration such as \"10s\", or never\n",
		"no.yaml": "dynamicio: --config: open no.yaml: no such file or directory\n",
		"":        "dynamicio: --config is empty, want the name of a file\n",
	} {
		cmd := exec.CommandContext(t.Context(), bin, "serve", "--config", name)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 2 || string(out) != want {
			t.Errorf("%v, %q, want status 2 and %q", err, out, want)
		}
	}
}
