package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// The examples of node/example, as somebody who reads their comments would use them.
var (
	chatExample    = program("../node/example/chat")
	typedExample   = program("../node/example/typed")
	hostsExample   = program("../node/example/hosts")
	publishExample = program("../node/example/publish")
)

func TestExample_Chat(t *testing.T) {
	t.Parallel()
	s := startProgram(t, chatExample, "--retirement", "500ms")
	runScript(t, "example-chat.mjs", logged(s), "--peers", urls(t, map[string]string{"a": s.url(), "b": s.url()}))
}

func TestExample_ChatOnTwoNodes(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	a := startProgram(t, chatExample, "--redis", redis.URL(), "--retirement", "500ms")
	b := startProgram(t, chatExample, "--redis", redis.URL(), "--retirement", "500ms")
	runScript(t, "example-chat.mjs", logged(a), "--peers", urls(t, map[string]string{"a": a.url(), "b": b.url()}))
}

func TestExample_Typed(t *testing.T) {
	t.Parallel()
	s := startProgram(t, typedExample, "--token", "secret", "--patience", "500ms")
	runScript(t, "example-typed.mjs", logged(s), "--url", s.url())
}

func TestExample_Hosts(t *testing.T) {
	t.Parallel()
	s := startProgram(t, hostsExample)
	runScript(t, "example-hosts.mjs", logged(s), "--url", s.url())
}

func TestExample_Publish(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	s := startServer(t, "--redis", redis.URL())
	bin, err := publishExample()
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{t: t, cmd: exec.Command(bin, "--redis", redis.URL(), "--namespace", "/clock", "--every", "20ms")}
	can := logged(s)
	can["publish"] = func([]json.RawMessage) { p.start() }
	can["interrupt"] = func([]json.RawMessage) { p.interrupt() }
	runScript(t, "example-publish.mjs", can, "--url", s.url())
}

// logged lets a script wait until the server's log has a text, or see that it has not.
func logged(s *server) asks {
	has := func(args []json.RawMessage) (text string, yes bool) {
		if err := json.Unmarshal(args[0], &text); err != nil {
			s.t.Fatal(err)
		}
		return text, strings.Contains(s.log.String(), text)
	}
	return asks{
		"log": func(args []json.RawMessage) {
			end := time.Now().Add(patience)
			for text, yes := has(args); !yes; _, yes = has(args) {
				if time.Now().After(end) {
					s.t.Fatalf("the log does not say %q", text)
				}
				time.Sleep(10 * time.Millisecond)
			}
		},
		"log does not say": func(args []json.RawMessage) {
			if text, yes := has(args); yes {
				s.t.Errorf("the log says %q", text)
			}
		},
	}
}

// urls encodes the servers that a script should know by name.
func urls(t *testing.T, byName map[string]string) string {
	t.Helper()
	b, err := json.Marshal(byName)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// publisher is a process of the publish example. Its methods are for the goroutine of the test.
type publisher struct {
	t   *testing.T
	cmd *exec.Cmd
	log logBuffer
}

func (p *publisher) start() {
	p.cmd.Stderr = writer(p.log.add)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.cmd.Process.Kill() })
}

// interrupt is Ctrl-C: the publisher must end by itself, in good order.
func (p *publisher) interrupt() {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("after SIGINT: %v\n%s", err, &p.log)
	}
	if text := p.log.String(); strings.Contains(text, "panic:") || strings.Contains(text, "DATA RACE") {
		p.t.Errorf("the publisher complains:\n%s", text)
	}
}
