package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// recipe is one of the configurations in deploy/nginx and deploy/haproxy.
type recipe struct {
	proxy  string // "nginx" or "haproxy"
	sticky string // "cookie", "ip-hash" or "websocket-only"
}

func (r recipe) String() string { return r.proxy + "/" + r.sticky }

var recipes = []recipe{
	{"nginx", "cookie"}, {"nginx", "ip-hash"}, {"nginx", "websocket-only"},
	{"haproxy", "cookie"}, {"haproxy", "ip-hash"}, {"haproxy", "websocket-only"},
}

// eachRecipe runs a test of all recipes, each in a subtest of its own.
func eachRecipe(t *testing.T, test func(t *testing.T, r recipe)) {
	t.Helper()
	for _, r := range recipes {
		t.Run(r.String(), func(t *testing.T) {
			t.Parallel()
			test(t, r)
		})
	}
}

// command writes the recipe for the three nodes of a fleet and returns the command
// line that starts it. Other changes than the addresses are the test's own.
func (r recipe) command(f *fleet, listen string, changes ...change) []string {
	f.t.Helper()
	if r.proxy == "nginx" {
		return []string{installed(f.t, "nginx"), "-c", r.renderNginx(f, listen, changes), "-g", "daemon off;"}
	}
	servers := 2 // the backends "ready" and "alive"
	changes = append(changes, change{"bind :8080\n", "bind " + listen + "\n", 1})
	text := render(f.t, "../deploy/haproxy/"+r.sticky+".cfg", append(changes, f.addresses(servers)...)...)
	path := filepath.Join(f.t.TempDir(), r.sticky+".cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return []string{installed(f.t, "haproxy"), "-W", "-db", "-f", "../deploy/haproxy/common.cfg", "-f", path}
}

// renderNginx lays the files out as deploy/nginx/nginx.conf says.
func (r recipe) renderNginx(f *fleet, listen string, changes []change) string {
	f.t.Helper()
	dir := f.t.TempDir()
	main := filepath.Join(dir, "nginx.conf")
	files := map[string]string{
		main: render(f.t, "../deploy/nginx/nginx.conf",
			change{"include dynamicio/cookie.conf;", "include dynamicio/" + r.sticky + ".conf;", 1},
			change{" /tmp/nginx", " " + dir + "/nginx", 6}),
		filepath.Join(dir, "dynamicio", r.sticky+".conf"): render(f.t, "../deploy/nginx/"+r.sticky+".conf",
			append(f.addresses(1), change{"listen 8080;", "listen " + listen + ";", 1})...),
		filepath.Join(dir, "dynamicio", "server.conf"): render(f.t, "../deploy/nginx/server.conf", changes...),
	}
	if err := os.Mkdir(filepath.Join(dir, "dynamicio"), 0o755); err != nil {
		f.t.Fatal(err)
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
	return main
}

// addresses puts the nodes of a fleet where the recipes have 10.0.0.1 to 10.0.0.3.
func (f *fleet) addresses(times int) []change {
	f.t.Helper()
	if len(f.nodes) != 3 {
		f.t.Fatalf("the recipes are for 3 nodes, not for %d", len(f.nodes))
	}
	var changes []change
	for i, node := range f.nodes {
		changes = append(changes, change{fmt.Sprintf(" 10.0.0.%d:8080", i+1), fmt.Sprintf(" %s:%s", node.addr, f.port), times})
	}
	return changes
}

// start starts the load balancer and waits until it reaches a node.
func (r recipe) start(f *fleet, changes ...change) {
	f.t.Helper()
	listen := "127.0.0.1:" + freePort(f.t)
	f.proxy = startBalancer(f.t, listen, r.command(f, listen, changes...)...)
	f.eventually(r.proxy+" reaches a node", func() error { return wantStatus(f.proxy.url+"/readyz", http.StatusOK) })
}

// mainHosts are the names that the tests themselves reach the nodes by; all others
// are virtual hosts.
const mainHosts = `/^127\./`

// startBehind starts three nodes that are one cluster, and the load balancer before them.
func (r recipe) startBehind(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(t)
	f.flags = []string{"--redis", redistest.Start(t).URL(), "--host", mainHosts, "--trust-proxy", "--node-ttl", nodeTTL.String(), "--lease-ttl", leaseTTL.String()}
	for range 3 {
		f.scaleUp()
	}
	r.start(f)
	return f
}

// startFakes is startBehind with nodes that are all this handler.
func (r recipe) startFakes(t *testing.T, h http.Handler, changes ...change) *fleet {
	t.Helper()
	f := newFleet(t)
	for range 3 {
		f.fake(h)
	}
	r.start(f, changes...)
	return f
}
