package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// polled is one session over long polling, seen from a client that may keep the
// cookie of the load balancer or not.
type polled struct {
	sid    string
	cookie *http.Cookie // as the handshake set it
	nsp    string
}

// do makes one request with the given cookie, nil for none.
func do(method, url, body string, cookie *http.Cookie) (status int, answer string, set *http.Cookie, err error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	if cookie != nil {
		req.AddCookie(cookie)
	}
	resp, err := cookieless.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	for _, c := range resp.Cookies() {
		set = c
	}
	return resp.StatusCode, string(b), set, err
}

const engine = "/socket.io/?EIO=4&transport=polling"

// open makes a session and joins the namespace.
func (p *balancer) open(t *testing.T, nsp string) polled {
	t.Helper()
	status, body, cookie, err := do(http.MethodGet, p.url+engine, "", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("handshake: %d %s %v", status, body, err)
	}
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &open); err != nil || cookie == nil {
		t.Fatalf("handshake: %s, cookie %v, %v", body, cookie, err)
	}
	s := polled{sid: open.SID, cookie: cookie, nsp: nsp}
	p.mustSay(t, s, nil, "40"+nsp+",", "40"+nsp+",{")
	return s
}

// say posts a packet and polls until the answer has come that begins with want.
func (p *balancer) say(s polled, cookie *http.Cookie, packet, want string) error {
	url := p.url + engine + "&sid=" + s.sid
	if status, body, _, err := do(http.MethodPost, url, packet, cookie); err != nil || status != http.StatusOK {
		return fmt.Errorf("POST: %d %s %w", status, body, err)
	}
	status, body, _, err := do(http.MethodGet, url, "", cookie)
	if err != nil || status != http.StatusOK || !strings.HasPrefix(body, want) {
		return fmt.Errorf("GET: %d %q, want %q: %w", status, body, want, err)
	}
	return nil
}

func (p *balancer) mustSay(t *testing.T, s polled, cookie *http.Cookie, packet, want string) {
	t.Helper()
	if err := p.say(s, cookie, packet, want); err != nil {
		t.Fatal(err)
	}
}

// echo has the session say something n times, over connections of their own.
func (p *balancer) echo(t *testing.T, s polled, cookie *http.Cookie, n int) {
	t.Helper()
	for i := range n {
		p.mustSay(t, s, cookie, fmt.Sprintf(`42%s,%d["echo","%s"]`, s.nsp, i, s.sid), fmt.Sprintf(`43%s,%d["%s"]`, s.nsp, i, s.sid))
	}
}

// The file as it ships, DNS server included, is a configuration without a warning.
func TestHAProxy_ConfigIsValid(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), installed(t, "haproxy"), "-c", "-f", shipped).CombinedOutput()
	if err != nil || strings.Contains(string(out), "WARNING") {
		t.Errorf("haproxy -c: %v\n%s", err, out)
	}
}

// Real clients, over each transport, with and without a cookie jar.
func TestHAProxy_ServesClients(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 3)
	for _, transport := range transports {
		for _, jar := range []string{"jar", "no-jar"} {
			t.Run(transport+"/"+jar, func(t *testing.T) {
				runScript(t, "deploy-clients.mjs", f.asks(t), "--url", f.proxy.url, "--transport", transport, "--client", jar)
			})
		}
	}
}

// A node that gets SIGTERM is left by its clients without an error for anybody else.
func TestHAProxy_MovesClientsOfADrainingNode(t *testing.T) {
	t.Parallel()
	for _, transport := range transports {
		for _, jar := range []string{"jar", "no-jar"} {
			t.Run(transport+"/"+jar, func(t *testing.T) {
				t.Parallel()
				f := startFleet(t, 3)
				runScript(t, "deploy-drain.mjs", f.asks(t), "--url", f.proxy.url, "--transport", transport, "--client", jar)
			})
		}
	}
}

// asks is what the scripts have done, and found out, about the nodes.
func (f *fleet) asks(t *testing.T) asks {
	var before map[string]*replica // namespace -> node, when a node was told to end
	var leaving *replica           // that node
	return asks{
		// The namespaces are spread over all nodes.
		"spread": func(args []json.RawMessage) {
			used := map[string]int{}
			for _, ns := range names(t, args[0]) {
				used[f.holder(ns).id]++
			}
			if len(used) != len(f.nodes) {
				t.Errorf("sockets are on %v, want all %d nodes", used, len(f.nodes))
			}
		},
		// The node of the first namespace is told to end.
		"term": func(args []json.RawMessage) {
			before = map[string]*replica{}
			all := names(t, args[0])
			for _, ns := range all {
				before[ns] = f.holder(ns)
			}
			leaving = before[all[0]]
			leaving.srv.signal(syscall.SIGTERM)
		},
		// Its clients, and no others, were disconnected, once.
		"moved": func(args []json.RawMessage) {
			var disconnects map[string]int
			if err := json.Unmarshal(args[0], &disconnects); err != nil {
				t.Error(err)
			}
			for ns, n := range disconnects {
				left := before[ns] == leaving
				if left && n != 1 || !left && n != 0 {
					t.Errorf("%s was on %s, %s ended: %d disconnects", ns, before[ns].id, leaving.id, n)
				}
				if now := f.holder(ns); !left && now != before[ns] {
					t.Errorf("%s moved from %s to %s", ns, before[ns].id, now.id)
				}
			}
		},
		"ended": func([]json.RawMessage) {
			if code := leaving.srv.wait(); code != 0 {
				t.Errorf("exit code %d after SIGTERM, want 0", code)
			}
		},
	}
}

func names(t *testing.T, raw json.RawMessage) []string {
	var all []string
	if err := json.Unmarshal(raw, &all); err != nil || len(all) == 0 {
		t.Fatalf("a script named no namespaces: %s, %v", raw, err)
	}
	return all
}

// Whatever a client keeps, its session is found: by the id alone, by the id
// although the cookie says otherwise, and by the cookie alone.
func TestHAProxy_FindsTheNodeOfASession(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 3)
	sessions := make([]polled, 9)
	for i := range sessions {
		sessions[i] = f.proxy.open(t, fmt.Sprintf("/found-%d", i))
	}
	for i, s := range sessions {
		f.proxy.echo(t, s, nil, 10)
		f.proxy.echo(t, s, s.cookie, 2)
		for _, other := range sessions[:i] { // as of another tab that came later
			f.proxy.echo(t, s, other.cookie, 1)
		}
	}

	t.Run("after a restart", func(t *testing.T) {
		f.proxy.stop()
		f.runProxy()
		for _, s := range sessions {
			f.proxy.echo(t, s, s.cookie, 3)
		}
		// Without the cookie nobody knows: an answer at once, not a wait.
		lost := 0
		for _, s := range slices.Backward(sessions) { // they were handed out in turn; this way they do not match
			status, body, _, err := do(http.MethodPost, f.proxy.url+engine+"&sid="+s.sid, "42"+s.nsp+`,["echo"]`, nil)
			if err != nil || status != http.StatusOK && !(status == http.StatusBadRequest && strings.Contains(body, `"code":1`)) {
				t.Errorf("%d %s %v", status, body, err)
			}
			if status != http.StatusOK {
				lost++
			}
		}
		if lost == 0 {
			t.Error("no session was lost: the test shows nothing of the cookie")
		}
	})
}

// docker compose up --scale node=4, and back.
func TestHAProxy_FollowsTheNumberOfReplicas(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 2)
	s := f.proxy.open(t, "/stays")
	f.scaleUp()
	f.scaleUp()
	f.found(4)
	f.proxy.echo(t, s, nil, 5)

	holder := f.holder("/stays")
	for _, r := range f.nodes[:3] {
		if r != holder {
			r.srv.terminate()
			f.dns.remove(r.addr)
		}
	}
	// Without a pause: nothing fails while HAProxy finds out.
	for i := range 20 {
		f.proxy.echo(t, f.proxy.open(t, fmt.Sprintf("/after-%d", i)), nil, 1)
	}
	f.proxy.echo(t, s, nil, 5)
}

// noAddress is how HAProxy says that the DNS has nobody for a place any more.
var noAddress = regexp.MustCompile(`(?m)^Server (ready|alive)/.* for maintenance \(No IP for server`)

// A place in HAProxy's list (node1, node2, ...) is not a node: whoever comes
// after one that was gone from the DNS gets its place, not its sessions.
func TestHAProxy_KnowsNodesByAddress(t *testing.T) {
	t.Parallel()
	f, nodes := startStandIns(t, 2)
	a := f.nodes[0]
	for sid := ""; sid != "A"; {
		sid, _ = f.proxy.handshake(t, nil)
	}
	f.dns.remove(a.addr)
	f.eventually("A has no place any more", func() error {
		if n := len(noAddress.FindAllString(f.proxy.log.String(), -1)); n != 2 {
			return fmt.Errorf("it is out of %d lists", n)
		}
		return nil
	})
	f.fake(newStandIn("C"))
	f.found(2)
	f.dns.add(a.addr)
	f.found(3)
	for range 4 {
		if status, _, _, err := do(http.MethodPost, f.proxy.url+engine+"&sid=A", "3", nil); err != nil || status != http.StatusOK {
			t.Errorf("%d %v", status, err)
		}
	}
	if got := nodes[0].requests.Load(); got != 4 {
		t.Errorf("%d of 4 requests of A's session reached A", got)
	}
}

// A node that dies takes its sessions with it, and nothing else.
func TestHAProxy_SurvivesTheDeathOfANode(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 3)
	s := f.proxy.open(t, "/dies")
	holder := f.holder("/dies")
	holder.srv.kill()
	begin := time.Now()
	// With the cookie, which still names the dead node.
	status, body, set, err := do(http.MethodGet, f.proxy.url+engine, "", s.cookie)
	if err != nil || status != http.StatusOK || set == nil || set.Value == s.cookie.Value {
		t.Errorf("a new handshake: %d %s, cookie %v, %v", status, body, set, err)
	}
	status, body, _, err = do(http.MethodGet, f.proxy.url+engine+"&sid="+s.sid, "", s.cookie)
	if err != nil || status != http.StatusBadRequest || !strings.Contains(body, `"code":1`) {
		t.Errorf("the session that died with its node: %d %s %v, want that it is unknown", status, body, err)
	}
	if took := time.Since(begin); took > 20*time.Second { // socket.io-client's timeout
		t.Errorf("that took %v: a client has given up", took)
	}
}

// The sessions of a node that drains, or that has lost Redis, go on; new ones go elsewhere.
func TestHAProxy_NotReadyKeepsItsSessions(t *testing.T) {
	t.Parallel()
	f, nodes := startStandIns(t, 2)
	a := nodes[0]
	cookies := map[string]*http.Cookie{}
	for len(cookies) < 2 {
		sid, set := f.proxy.handshake(t, nil)
		cookies[sid] = set
	}
	a.ready.Store(false)
	f.down(1)
	before := a.handshakes.Load()
	for range 5 {
		if sid, set := f.proxy.handshake(t, cookies["A"]); sid != "B" || set == nil || set.Value != cookies["B"].Value {
			t.Errorf("a handshake with A's cookie: %s, cookie %v; want B and its cookie", sid, set)
		}
		for _, cookie := range []*http.Cookie{nil, cookies["A"], cookies["B"]} {
			if status, _, _, err := do(http.MethodPost, f.proxy.url+engine+"&sid=A", "3", cookie); err != nil || status != http.StatusOK {
				t.Errorf("a request of A's session: %d %v", status, err)
			}
		}
	}
	if got, want := a.requests.Load(), int32(15); got != want {
		t.Errorf("%d requests of A's session reached A, want %d", got, want)
	}
	if got := a.handshakes.Load() - before; got != 0 {
		t.Errorf("%d handshakes reached A, which is not ready", got)
	}
}

// Redis is away: no node is ready, but all are alive and decide for themselves.
func TestHAProxy_NobodyReadyStillServes(t *testing.T) {
	t.Parallel()
	f, nodes := startStandIns(t, 2)
	for _, n := range nodes {
		n.ready.Store(false)
	}
	f.down(2)
	for range 6 {
		sid, _ := f.proxy.handshake(t, nil)
		n := nodes[sid[0]-'A']
		before := n.requests.Load()
		if status, _, _, err := do(http.MethodPost, f.proxy.url+engine+"&sid="+sid, "3", nil); err != nil || status != http.StatusOK || n.requests.Load() != before+1 {
			t.Errorf("a request of %s's session: %d %v", sid, status, err)
		}
	}
}

// Between SIGTERM and the next health check a node refuses handshakes. The
// client is let in by another node, even one whose cookie says to come back.
func TestHAProxy_AsksTheNextNodeOnARefusal(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]http.HandlerFunc{
		"503": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"code":4,"message":"Server is draining"}`)
		},
		"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, nodes := startStandIns(t, 3)
			a := nodes[0]
			sid, cookie := "", (*http.Cookie)(nil)
			for sid != "A" {
				sid, cookie = f.proxy.handshake(t, nil)
			}
			a.onHandshake(refuse)
			for range 10 {
				if sid, set := f.proxy.handshake(t, cookie); sid == "A" || set == nil || set.Value == cookie.Value {
					t.Errorf("the handshake was answered by %s, cookie %v", sid, set)
				}
			}
			for _, transport := range []string{"polling", "websocket"} {
				req := httptest.NewRequest(http.MethodGet, f.proxy.url+"/socket.io/?EIO=4&transport="+transport, nil)
				req.RequestURI = ""
				req.AddCookie(cookie)
				if transport == "websocket" {
					req.Header.Set("Connection", "Upgrade")
					req.Header.Set("Upgrade", "websocket")
					req.Header.Set("Sec-WebSocket-Version", "13")
					req.Header.Set("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
				}
				resp, err := cookieless.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK { // the stand-ins do not upgrade
					t.Errorf("%s: %s", transport, resp.Status)
				}
			}
			if a.handshakes.Load() < 2 {
				t.Error("A was not asked: the test shows nothing")
			}
		})
	}
}

// What a node is told of a client comes from HAProxy, and nobody reads the
// metrics of a node through it.
func TestHAProxy_SaysWhoTheClientIs(t *testing.T) {
	t.Parallel()
	f, nodes := startStandIns(t, 1)
	headers := make(chan http.Header, 1)
	nodes[0].onHandshake(func(_ http.ResponseWriter, r *http.Request) { headers <- r.Header })
	req, err := http.NewRequest(http.MethodGet, f.proxy.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	resp, err := cookieless.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := (<-headers)["X-Forwarded-For"]; len(got) != 1 || got[0] != "127.0.0.1" {
		t.Errorf("X-Forwarded-For is %q, want what HAProxy saw", got)
	}
	if err := wantStatus(f.proxy.url+"/metrics", http.StatusNotFound); err != nil {
		t.Error(err)
	}
}
