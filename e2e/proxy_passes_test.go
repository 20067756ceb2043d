package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// event is one of the live stream of the status page.
const event = "data: {}\n\n"

// echoNode is a node that tells what it was asked, in the test's channel.
type echoNode struct {
	requests chan *http.Request // with the body read
	body     chan int           // its length
	more     chan struct{}      // each has /socket.io/status/events send an event; closed ends it
}

func newEchoNode() *echoNode {
	return &echoNode{requests: make(chan *http.Request, 1), body: make(chan int, 1), more: make(chan struct{})}
}

func (n *echoNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/readyz", "/healthz":
	case "/socket.io/status/events":
		for range n.more {
			fmt.Fprint(w, event)
			_ = http.NewResponseController(w).Flush()
		}
	default:
		body, _ := io.ReadAll(r.Body)
		n.requests <- r
		n.body <- len(body)
	}
}

// ask sends a request through the load balancer and returns what the node was asked.
func (n *echoNode) ask(t *testing.T, p *balancer, host string, body []byte, header http.Header) *http.Request {
	t.Helper()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, p.url+"/socket.io/?EIO=4&transport=websocket&sid=x", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := cookieless.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s is answered %s", req.URL, resp.Status)
	}
	asked := <-n.requests
	if got := <-n.body; got != len(body) {
		t.Errorf("%d of %d bytes reached the node", got, len(body))
	}
	return asked
}

// What a node must be told of a client, and what must come back at once.
func TestProxy_PassesOn(t *testing.T) {
	t.Parallel()
	eachRecipe(t, func(t *testing.T, r recipe) {
		n := newEchoNode()
		f := r.startFakes(t, n)
		t.Cleanup(func() { close(n.more) })

		for _, host := range []string{"b.example", "b.example:8443", strings.TrimPrefix(f.proxy.url, "http://")} {
			asked := n.ask(t, f.proxy, host, nil, http.Header{"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"gopher"}})
			if asked.Host != host {
				t.Errorf("the host is %q at the node, want %q", asked.Host, host)
			}
			if got := asked.Header.Values("X-Forwarded-For"); !slices.Equal(got, []string{"127.0.0.1"}) {
				t.Errorf("X-Forwarded-For is %q, want what the load balancer saw", got)
			}
			if got := asked.Header.Values("X-Forwarded-Proto"); !slices.Equal(got, []string{"http"}) {
				t.Errorf("X-Forwarded-Proto is %q", got)
			}
		}
		upgrade := http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
		}
		asked := n.ask(t, f.proxy, "b.example", nil, upgrade)
		if !strings.EqualFold(asked.Header.Get("Connection"), "upgrade") || asked.Header.Get("Upgrade") != "websocket" {
			t.Errorf("an upgrade is Connection: %q, Upgrade: %q at the node", asked.Header["Connection"], asked.Header["Upgrade"])
		}
		n.ask(t, f.proxy, "b.example", make([]byte, payload(t)), nil)

		if err := wantStatus(f.proxy.url+"/metrics", http.StatusNotFound); err != nil {
			t.Error(err)
		}
		n.streams(t, f.proxy)
	})
}

// streams wants each event of the status page's live stream before there is another one.
func (n *echoNode) streams(t *testing.T, p *balancer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience/3)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/socket.io/status/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() { // ends with the node's first event, or with the time
		defer close(sent)
		select {
		case n.more <- struct{}{}:
		case <-ctx.Done():
		}
	}()
	resp, err := cookieless.Do(req)
	<-sent
	if err != nil {
		t.Fatalf("the live stream: %v", err)
	}
	defer resp.Body.Close()
	got := make([]byte, len(event))
	for i := range 3 {
		if i > 0 { // the first may come with the header
			n.more <- struct{}{}
		}
		if _, err := io.ReadFull(resp.Body, got); err != nil {
			t.Fatalf("event %d of the live stream: %q, then %v", i, got, err)
		}
	}
}

// nginx's $host is not what the recipes want: to a node, //b.example:8443/chat would
// be //b.example/chat.
func TestProxy_NginxHostDropsThePort(t *testing.T) {
	t.Parallel()
	n := newEchoNode()
	f := recipe{"nginx", "ip-hash"}.startFakes(t, n, change{"proxy_set_header Host $http_host;", "proxy_set_header Host $host;", 1})
	if got := n.ask(t, f.proxy, "b.example:8443", nil, nil).Host; got != "b.example" {
		t.Errorf("with $host the node is told %q, want %q: what the recipes avoid", got, "b.example")
	}
}

// Each configuration is one without a warning.
func TestProxy_ConfigsAreValid(t *testing.T) {
	t.Parallel()
	eachRecipe(t, func(t *testing.T, r recipe) {
		f := newFleet(t)
		for range 3 {
			f.nodes = append(f.nodes, &replica{addr: f.nextAddr()})
		}
		command := r.command(f, "127.0.0.1:"+freePort(t))
		check := "-c" // HAProxy's; nginx has another
		if r.proxy == "nginx" {
			check = "-t"
		}
		out, err := exec.CommandContext(t.Context(), command[0], append(command[1:], check)...).CombinedOutput()
		if err != nil || strings.Contains(strings.ToLower(string(out)), "warn") {
			t.Errorf("%q %s: %v\n%s", command, check, err, out)
		}
	})
}

// serveDefault is the default of a flag of serve, as its help has it.
func serveDefault(t *testing.T, flag string) string {
	t.Helper()
	bin, err := dynamicio()
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.CommandContext(t.Context(), bin, "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("serve --help: %v\n%s", err, help)
	}
	// A description may go on in the lines that follow, up to the next flag.
	_, text, _ := strings.Cut(strings.Join(strings.Fields(string(help)), " "), " "+flag+" ")
	text, _, _ = strings.Cut(text, " --")
	m := regexp.MustCompile(`\(default "?([^)"]+)"?\)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("serve --help states no default of %s:\n%s", flag, help)
	}
	return m[1]
}

func serveDuration(t *testing.T, flag string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(serveDefault(t, flag))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// payload is the largest message of a client.
func payload(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(serveDefault(t, "--max-payload"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Nothing that a node takes its time for is cut off before.
func TestProxy_TimeoutsAreLongEnough(t *testing.T) {
	t.Parallel()
	heartbeat := serveDuration(t, "--ping-interval") + serveDuration(t, "--ping-timeout")
	drain := serveDuration(t, "--drain-timeout")
	for _, want := range []struct {
		files, setting string
		above          time.Duration
		times          int
	}{
		{"nginx/server.conf", `proxy_read_timeout (\S+);`, heartbeat, 1},
		{"nginx/server.conf", `proxy_send_timeout (\S+);`, heartbeat, 1},
		{"nginx/*.conf", `fail_timeout=(\d+s);`, drain, 9},
		{"haproxy/common.cfg", `timeout client (\S+)`, heartbeat, 1},
		{"haproxy/common.cfg", `timeout server (\S+)`, heartbeat, 1},
		{"haproxy/common.cfg", `timeout tunnel (\S+)`, heartbeat, 1},
		{"haproxy.cfg", `timeout client (\S+)`, heartbeat, 1},
		{"haproxy.cfg", `timeout server (\S+)`, heartbeat, 1},
		{"haproxy.cfg", `timeout tunnel (\S+)`, heartbeat, 1},
	} {
		found := 0
		paths, err := filepath.Glob("../deploy/" + want.files)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^[^#\n]*`+want.setting).FindAllSubmatch(text, -1) {
				found++
				if d, err := time.ParseDuration(string(m[1])); err != nil || d <= want.above {
					t.Errorf("%s: %s, want more than %v (%v)", path, m[0], want.above, err)
				}
			}
		}
		if found != want.times {
			t.Errorf("%s has %s %d times, want %d", want.files, want.setting, found, want.times)
		}
	}
}
