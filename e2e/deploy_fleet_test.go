package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fleet is what docker-compose.yml starts, without Docker: the replicas of the
// service "node", each with an address of its own and all on one port, the DNS
// that knows them, and HAProxy with the configuration that ships.
type fleet struct {
	t     *testing.T
	dns   *dockerDNS
	port  string // of every node
	nodes []*replica
	proxy *balancer
	flags []string // of every node, beside nodeFlags
}

// replica is one node of a fleet. fake ones have no process.
type replica struct {
	addr netip.Addr
	id   string
	srv  *server
}

// startFleet starts n nodes and HAProxy, and waits until HAProxy has them all.
func startFleet(t *testing.T, n int) *fleet {
	t.Helper()
	f := newFleet(t)
	for range n {
		f.scaleUp()
	}
	f.startProxy()
	return f
}

// newFleet has no node yet, and HAProxy does not run.
func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, dns: startDNS(t), port: freePort(t)}
}

// nodeFlags is what every node of a fleet is started with; what is different
// from the compose file is said here.
func (f *fleet) nodeFlags(id string) []string {
	return append([]string{"serve", "--log-format", "json", "--node-id", id, "--public-status", "--drain-timeout", "10s"}, f.flags...)
}

// nextAddr is an address of the loopback network that no node of the fleet has.
func (f *fleet) nextAddr() netip.Addr {
	return netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + len(f.nodes))})
}

// scaleUp starts one node more, and enters it into the DNS when it is ready.
func (f *fleet) scaleUp() *replica {
	f.t.Helper()
	bin, err := dynamicio()
	if err != nil {
		f.t.Fatal(err)
	}
	r := &replica{addr: f.nextAddr(), id: fmt.Sprintf("replica-%d", len(f.nodes)+1)}
	r.srv = &server{t: f.t, bin: bin, args: f.nodeFlags(r.id), addr: net.JoinHostPort(r.addr.String(), f.port), log: &logBuffer{}}
	f.launch(r)
	f.t.Cleanup(r.srv.finish)
	f.nodes = append(f.nodes, r)
	f.dns.add(r.addr)
	return r
}

// launch starts a node's program, again if it ran before, and waits until it is ready.
func (f *fleet) launch(r *replica) {
	f.t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		f.t.Fatal(err)
	}
	r.srv.cmd = exec.Command(r.srv.bin, append(r.srv.args, "--listen", r.srv.addr)...)
	r.srv.cmd.Stdout, r.srv.cmd.Stderr = out, out
	err = r.srv.cmd.Start()
	out.Close() // the child has its own
	if err != nil {
		in.Close()
		f.t.Fatal(err)
	}
	r.srv.exited = make(chan struct{})
	// Its address is known; that it is ready says /readyz.
	go r.srv.watch(r.srv.cmd, in, nil, r.srv.exited)
	f.eventually("the node is ready", func() error { return wantStatus(r.srv.url()+"/readyz", http.StatusOK) })
}

// fake enters a node into the DNS that does what the test says.
func (f *fleet) fake(h http.Handler) *replica {
	f.t.Helper()
	r := &replica{addr: f.nextAddr()}
	l, err := net.Listen("tcp", net.JoinHostPort(r.addr.String(), f.port))
	if err != nil {
		f.t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: patience}
	done := make(chan struct{})
	go func() { // ends when srv is closed
		defer close(done)
		_ = srv.Serve(l)
	}()
	f.t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	f.nodes = append(f.nodes, r)
	f.dns.add(r.addr)
	return r
}

// holder returns the node on which a namespace has sockets. In a cluster that is
// known a second later.
func (f *fleet) holder(namespace string) *replica {
	f.t.Helper()
	var found *replica
	f.eventually("a node has sockets in "+namespace, func() error {
		for _, r := range f.nodes {
			if !r.srv.running() {
				continue
			}
			var status struct {
				Namespaces []struct {
					Fullname string
					Nodes    map[string]int
				}
			}
			body, err := fetch(r.srv.url() + "/socket.io/status.json?limit=1000")
			if err == nil {
				err = json.Unmarshal(body, &status)
			}
			if err != nil {
				return fmt.Errorf("status of %s: %w", r.id, err)
			}
			for _, ns := range status.Namespaces {
				if ns.Fullname == namespace && ns.Nodes[r.id] > 0 {
					found = r
					return nil
				}
			}
		}
		return fmt.Errorf("no node has")
	})
	return found
}

// balancer is a load balancer before the nodes of a fleet.
type balancer struct {
	url     string
	command []string
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process has ended
	log     *logBuffer
}

// shipped is the configuration under test, in the repository.
const shipped = "../deploy/haproxy.cfg"

// installed is the path of a program that is not in every user's PATH on Debian.
func installed(t *testing.T, name string) string {
	t.Helper()
	for _, name := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("these tests need %s: `make tools` installs it", name)
	return ""
}

// change is what a test replaces in a file that ships; a file that has it another
// number of times is not the file that the test knows.
type change struct {
	from, to string
	times    int
}

// render returns the text of a file that ships with these changes and no others:
// what the tests prove is what ships.
func render(t *testing.T, path string, changes ...change) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, c := range changes {
		if n := strings.Count(text, c.from); n != c.times {
			t.Fatalf("%s has %q %d times, want %d", path, c.from, n, c.times)
		}
		text = strings.ReplaceAll(text, c.from, c.to)
	}
	return text
}

// render writes the shipped configuration with other ports and another DNS
// server, and returns the path of it.
func (f *fleet) render(listen string) string {
	f.t.Helper()
	text := render(f.t, shipped,
		change{"    bind :8080\n", "    bind " + listen + "\n", 1},
		change{"nameserver dns 127.0.0.11:53\n", "nameserver dns " + f.dns.addr() + "\n", 1},
		change{" node:8080\n", " node:" + f.port + "\n", 2})
	path := filepath.Join(f.t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// startProxy starts HAProxy as its image does, and waits until it has found
// every node of the DNS.
func (f *fleet) startProxy() {
	f.t.Helper()
	listen := "127.0.0.1:" + freePort(f.t)
	f.proxy = startBalancer(f.t, listen, installed(f.t, "haproxy"), "-W", "-db", "-f", f.render(listen))
	f.found(len(f.nodes))
}

// runProxy starts HAProxy again: what it knew is then gone.
func (f *fleet) runProxy() {
	f.t.Helper()
	f.proxy.start(f.t)
	f.found(len(f.nodes))
}

// startBalancer starts a load balancer that listens there; the test's end stops it.
func startBalancer(t *testing.T, listen string, command ...string) *balancer {
	t.Helper()
	p := &balancer{url: "http://" + listen, command: command, log: &logBuffer{}}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", command[0], p.log.tail(100))
		}
	})
	p.start(t)
	return p
}

// start starts the process, again if it ran before.
func (p *balancer) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(p.command[0], p.command[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = writer(p.log.add), writer(p.log.add)
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, exited := p.cmd, make(chan struct{})
	p.exited = exited
	go func() { // ends with the process
		defer close(exited)
		_ = cmd.Wait()
	}()
}

// found waits until HAProxy sends new sessions to n different nodes, those
// without a real one behind included.
func (f *fleet) found(n int) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("haproxy has %d nodes", n), func() error {
		select {
		case <-f.proxy.exited:
			f.t.Fatal("haproxy ended")
		default:
		}
		cookies := map[string]bool{}
		for range 3 * n {
			resp, err := cookieless.Get(f.proxy.url + "/readyz")
			if err != nil {
				return err
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			for _, c := range resp.Cookies() {
				cookies[c.Value] = true
			}
		}
		if len(cookies) != n {
			return fmt.Errorf("new sessions go to %d nodes", len(cookies))
		}
		return nil
	})
}

func (p *balancer) stop() {
	if p.cmd.Process == nil {
		return // it could not be started
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// cookieless keeps no cookies, and no connection either: HAProxy prefers to send
// what comes over one connection to one node.
var cookieless = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

// fetch returns the body of a 200.
func fetch(url string) ([]byte, error) {
	resp, err := cookieless.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", url, resp.Status, body)
	}
	return body, err
}

// wantStatus asks for a URL and compares the status.
func wantStatus(url string, status int) error {
	resp, err := cookieless.Get(url)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != status {
		return fmt.Errorf("%s answers %s, want %d", url, resp.Status, status)
	}
	return nil
}

func (f *fleet) eventually(what string, try func() error) {
	f.t.Helper()
	eventually(f.t, what, try)
}

// eventually waits until try has no error.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("not after %v: %s: %v", patience, what, err)
}

// freePort is a port of no loopback address in use, so that each replica can have it, and load balancers,
// which cannot be told to listen anywhere and say where. No other run of these tests gets it meanwhile.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		// Below the ports that Linux takes for outgoing connections: one of those could
		// have it before it is used.
		port := 10_000 + rand.N(22_000)
		if _, given := portsGiven.LoadOrStore(port, true); given {
			continue
		}
		// A name, not a file, that one process has until it closes it or ends.
		taken, err := net.Listen("unix", fmt.Sprintf("@dynamicio-e2e-port-%d", port))
		if err != nil {
			continue
		}
		t.Cleanup(func() { taken.Close() })
		l, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port)) // free on all addresses
		if err != nil {
			continue
		}
		l.Close()
		return strconv.Itoa(port)
	}
	t.Fatal("no port is free")
	return ""
}

// portsGiven holds what freePort has returned: tests run in parallel.
var portsGiven sync.Map
