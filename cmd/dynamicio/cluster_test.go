package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/embedded"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
	"github.com/dynamicio/dynamicio/node"
	"github.com/dynamicio/dynamicio/status"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// pollingClient is just enough of a Socket.IO client: it joins a namespace and
// reads what comes.
type pollingClient struct {
	t   *testing.T
	url string
}

func (c *pollingClient) request(method, body string) string {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %s, %v", method, resp.Status, err)
	}
	return string(b)
}

func join(t *testing.T, base, name string) *pollingClient {
	t.Helper()
	c := &pollingClient{t, base + "/socket.io/?EIO=4&transport=polling"}
	open := c.request(http.MethodGet, "")
	var hello struct{ SID string }
	if err := json.Unmarshal([]byte(open[1:]), &hello); err != nil {
		t.Fatal(err)
	}
	c.url += "&sid=" + hello.SID
	c.request(http.MethodPost, "40"+name+",")
	if answer := c.request(http.MethodGet, ""); !strings.HasPrefix(answer, "40"+name) {
		t.Fatalf("answer %q", answer)
	}
	return c
}

// serveNode runs a node on an embedded Redis until the test is over.
func serveNode(t *testing.T) (url, redisURL string) {
	t.Helper()
	redis, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := node.New(node.Options{Redis: redis.URL(), NodeID: "node-a", PublicStatus: true})
	if err != nil {
		t.Fatal(err)
	}
	rules.NewOpen(slog.Default()).Setup(srv.Registry())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- srv.Serve(ctx, l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		redis.Close()
	})
	return "http://" + l.Addr().String(), redis.URL()
}

// What emit publishes reaches the clients in the namespace, its arguments as
// JSON where they are JSON.
func TestEmit_ReachesClients(t *testing.T) {
	url, redis := serveNode(t)
	c := join(t, url, "/chat")
	code, stdout, stderr := command(t, "emit", "--redis", redis, "--namespace", "/chat", "news", `{"a":[1,"<"]}`, "plain words", "-2.5")
	if code != exitDone || stdout != "published to 1 server\n" {
		t.Fatalf("status %d, output %q, error %q", code, stdout, stderr)
	}
	if got, want := c.request(http.MethodGet, ""), `42/chat,["news",{"a":[1,"<"]},"plain words",-2.5]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, stdout, _ := command(t, "emit", "--redis", redis, "--namespace", "/nobody", "news"); stdout != "published to 0 servers\n" {
		t.Errorf("nobody is there, and emit says %q", stdout)
	}
}

func TestEmit_WrongUsage(t *testing.T) {
	for args, names := range map[string]string{
		"emit":                "event",
		"emit news":           "--redis",
		"emit --redis x news": "--redis",
		"emit --redis redis://h --namespace //h/n news": "--host",
		"emit --redis redis://h --bus-dialect x news":   "--bus-dialect",
		"emit --redis redis://h --bus-dialect go news":  "prefix",
		"emit --redis redis://h news --room kitchen":    "\"--room\" stands after the event",
		"status --json --watch":                         "--watch",
		"status --limit 0":                              "--limit",
		"status --interval 0s":                          "--interval",
		"status --url here":                             "--url",
	} {
		code, _, stderr := command(t, strings.Fields(args)...)
		if code != exitUsage || !strings.Contains(stderr, names) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d, error %q; want status 2 and one line with %q", args, code, stderr, names)
		}
	}
	if code, _, stderr := command(t, "emit", "--redis", "redis://127.0.0.1:1", "connect"); code != exitFailed || !strings.Contains(stderr, "reserved") {
		t.Errorf("reserved name: status %d, error %q", code, stderr)
	}
}

func TestStatus_PrintsTheCluster(t *testing.T) {
	url, _ := serveNode(t)
	join(t, url, "/chat")
	deadline := time.Now().Add(patience)
	for { // counts travel once a second
		code, stdout, stderr := command(t, "status", "--url", url)
		if code != exitDone {
			t.Fatalf("status %d, error %q", code, stderr)
		}
		if strings.Contains(stdout, "node-a:1") && strings.Contains(stdout, "/chat") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the socket does not show:\n%s", stdout)
		}
		time.Sleep(50 * time.Millisecond)
	}
	_, stdout, _ := command(t, "status", "--url", url, "--namespace", "/chat")
	if !strings.Contains(stdout, "SOCKET") || !strings.Contains(stdout, "websocket") && !strings.Contains(stdout, "polling") || strings.Contains(stdout, "HEARTBEAT") {
		t.Errorf("the namespace alone, with its socket, should be shown:\n%s", stdout)
	}
	if _, stdout, _ = command(t, "status", "--url", url, "--namespace", "/nowhere"); !strings.Contains(stdout, "/nowhere is not live") {
		t.Errorf("a namespace that is not there:\n%s", stdout)
	}
	_, stdout, _ = command(t, "status", "--url", url, "--json")
	var r status.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Node != "node-a" {
		t.Errorf("JSON %q: %v", stdout, err)
	}
}

// A name that a client chose must not move the cursor of an operator's terminal.
func TestStatus_EscapesNames(t *testing.T) {
	var out bytes.Buffer
	const evil = "/a\x1b[2Jb\u202e"
	printReport(&out, &status.Report{
		Cluster: evil, Node: evil, Lease: status.Lease{Holder: evil}, Problems: []string{evil}, Missing: []string{evil},
		Nodes: []status.Node{{ID: evil, Address: evil}},
		Namespaces: []status.Namespace{{
			FullName: evil, Nodes: map[string]int{evil: 1}, Rooms: []status.Room{{Name: evil}},
			Clients: []status.Client{{ID: evil, Node: evil, Address: evil, Transport: evil, Rooms: []string{evil}}},
		}},
	}, "")
	printReport(&out, &status.Report{}, evil)
	if strings.ContainsAny(out.String(), "\x1b\u202e") || !strings.Contains(out.String(), `\x1b`) {
		t.Errorf("%q", out.String())
	}
}

// What silent nodes had is not in the sums, and a note is no problem.
func TestStatus_CountsSilentNodesApart(t *testing.T) {
	var out bytes.Buffer
	printReport(&out, &status.Report{
		Cluster: "c", Node: "a", Notes: []string{"It is new."}, Totals: status.Totals{Nodes: 2, Namespaces: 1, Sockets: 100, SilentSockets: 33},
		Nodes:      []status.Node{{ID: "a", Sockets: 100}, {ID: "b", Sockets: 33, HeartbeatAgeMS: 3000, Silent: true}},
		Namespaces: []status.Namespace{{FullName: "/x", Sockets: 100, Silent: 33, Nodes: map[string]int{"a": 100, "b": 33}}},
	}, "")
	for _, want := range []string{"100 sockets (and 33 on silent nodes)", "a:100 b:33 (silent)", "note: It is new."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s\nlacks %q", out.String(), want)
		}
	}
	if strings.Contains(out.String(), "PROBLEM") {
		t.Errorf("a note is told as a problem:\n%s", out.String())
	}
}

func TestStatus_SaysWhatIsMissing(t *testing.T) {
	code := http.StatusNotFound
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }))
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	for status, want := range map[int]string{
		http.StatusNotFound: "--public-status", http.StatusUnauthorized: "--status-token", http.StatusTeapot: "418",
	} {
		code = status
		if got, _, stderr := command(t, "status", "--url", srv.URL); got != exitFailed || !strings.Contains(stderr, want) {
			t.Errorf("%d: status %d, error %q", status, got, stderr)
		}
	}
}

// Watching ends with the context, as a matter of course.
func TestStatus_WatchEnds(t *testing.T) {
	url, _ := serveNode(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs bytes.Buffer
	drawn := 0
	out := writerFunc(func(b []byte) (int, error) {
		if drawn += bytes.Count(b, []byte(clearScreen)); drawn == 2 {
			cancel()
		}
		return len(b), nil
	})
	if code := run(ctx, []string{"status", "--url", url, "--watch", "--interval", "10ms"}, out, &errs); code != exitDone {
		t.Errorf("status %d, error %q", code, errs.String())
	}
	if drawn < 2 {
		t.Errorf("drawn %d times", drawn)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
