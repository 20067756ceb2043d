package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/node/client"
)

// privatePaths are spellings, as they stand in a request, of paths that are not for
// the public, or that are another path to the next reader.
var privatePaths = []string{
	"/metrics", "/metrics/", "/%6detrics", "/metric%73", "/%6D%65%74%72%69%63%73", "//metrics", "/./metrics", "/%2e/metrics",
	"/%2fmetrics", "/x/../metrics", "/metrics?x=/socket.io/", "/metrics;/socket.io/", "/metrics/../socket.io/",
	"/metrics/..%2fsocket.io/", "/metrics/%2e%2e/socket.io/", "/metrics#/../socket.io/", "/METRICS",
	"/socket.io/../metrics", "/socket.io/%2e%2e/metrics", "/socket.io/.%2e/metrics", "/socket.io/..%2fmetrics",
	"/socket.io/%2e%2e%2fmetrics", "/socket.io/..%5cmetrics", `/socket.io/..\metrics`, "/socket.io//../metrics", "/socket.io/./../metrics",
	"/socket.io/status/../../metrics", "/socket.io/..;/metrics", "/socket.io%2f..%2fmetrics", "/socket.io/%252e%252e/metrics",
	"/readyz/../metrics", "/readyz%2f..%2fmetrics", "/readyz/", "/%72eadyz", "/%73ocket.io/",
	"http://any.example/metrics", "http://any.example/%6detrics", "http://any.example/socket.io/../metrics",
	"/debug/pprof/", "/debug/%70prof/", "/debug/pprof/cmdline", "/socket.io/../debug/pprof/heap", "/socket.iox", "/.env", "*",
}

// publicPaths are what clients, browsers and operators ask for.
func publicPaths() []string {
	all := []string{
		"/socket.io/?EIO=4&transport=websocket", "/socket.io/?EIO=4&transport=websocket&sid=a-b_C9&t=%2F..%2F", "/socket.io/status",
		"/socket.io/status?q=%2Fchat", "/socket.io/status.json?namespace=//a.example/chat", "/socket.io/status/actions", "/readyz",
		"http://any.example/socket.io/status",
	}
	for _, name := range client.Names() {
		all = append(all, "/socket.io/"+name)
	}
	return all
}

// witness is a node that notes what it is asked, health checks aside.
type witness struct {
	mu    sync.Mutex // guards asked; a leaf
	asked []string
}

func (n *witness) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	if r.RequestURI == "/readyz" || r.RequestURI == "/healthz" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, r.RequestURI)
}

// take returns what was asked since the last call.
func (n *witness) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	asked := n.asked
	n.asked = nil
	return asked
}

// rawStatus sends a request whose target no library has touched.
func rawStatus(t *testing.T, p *balancer, target string) int {
	t.Helper()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(p.url, "http://"), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	method := http.MethodGet
	if target == "*" {
		method = http.MethodOptions
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n", method, target)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// wantPaths holds a load balancer before nodes that are all this witness against the two lists.
func wantPaths(t *testing.T, p *balancer, n *witness) {
	t.Helper()
	for _, target := range privatePaths {
		status := rawStatus(t, p, target)
		if asked := n.take(); len(asked) > 0 || status < 400 || status >= 500 {
			t.Errorf("%s is answered with %d, a node was asked for %q", target, status, asked)
		}
	}
	for _, target := range publicPaths() {
		status := rawStatus(t, p, target)
		if asked := n.take(); status != http.StatusOK || len(asked) != 1 && target != "/readyz" {
			t.Errorf("%s is answered with %d, a node was asked for %q", target, status, asked)
		}
	}
}

// However it is spelled, what is not for the public does not reach a node.
func TestProxy_PassesOnlyPublicPaths(t *testing.T) {
	t.Parallel()
	eachRecipe(t, func(t *testing.T, r recipe) {
		n := &witness{}
		wantPaths(t, r.startFakes(t, n).proxy, n)
	})
}

// The same of the file that docker-compose.yml uses, which has the playground, too.
func TestHAProxy_PassesOnlyPublicPaths(t *testing.T) {
	t.Parallel()
	n := &witness{}
	f := newFleet(t)
	f.fake(n)
	f.startProxy()
	wantPaths(t, f.proxy, n)
	if status := rawStatus(t, f.proxy, "/"); status != http.StatusOK || len(n.take()) != 1 {
		t.Errorf("the playground is answered with %d", status)
	}
}

// Traefik does not run here; its rule is a regular expression of Go's, as Traefik is written in it.
func TestTraefik_RuleIsOfPublicPathsOnly(t *testing.T) {
	t.Parallel()
	for _, sticky := range []string{"cookie", "ip-hash", "websocket-only"} {
		var c traefikDynamic
		decodeYAML(t, "../deploy/traefik/"+sticky+".yml", &c)
		rule := c.HTTP.Routers["dynamicio"].Rule
		m := regexp.MustCompile("^PathRegexp\\(`([^`]+)`\\)").FindStringSubmatch(rule)
		if m == nil {
			t.Fatalf("%s: the rule is %s", sticky, rule)
		}
		public := regexp.MustCompile(m[1])
		for _, target := range privatePaths {
			path, _, _ := strings.Cut(strings.TrimPrefix(target, "http://any.example"), "?")
			if public.MatchString(path) {
				t.Errorf("%s: %s passes", sticky, target)
			}
		}
		for _, target := range publicPaths() {
			path, _, _ := strings.Cut(strings.TrimPrefix(target, "http://any.example"), "?")
			if strings.HasPrefix(path, "/socket.io") && !public.MatchString(path) {
				t.Errorf("%s: %s does not pass", sticky, target)
			}
		}
	}
}
