package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// caller is a client with an address and a cookie jar of its own, as far as these tests need one.
type caller struct {
	http   *http.Client
	p      *balancer
	cookie *http.Cookie
}

// atOnce has many clients do something at the same time, each from its own address.
func (p *balancer) atOnce(t *testing.T, do func(c *caller) error) {
	t.Helper()
	var work sync.WaitGroup
	for i := range 40 {
		from := &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 2, 0, byte(i+1))}}
		c := &caller{p: p, http: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: from.DialContext}}}
		work.Go(func() {
			if err := do(c); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	work.Wait()
}

// do is send without a body.
func (c *caller) do(method, path string) (status int, body string, err error) {
	return c.send(method, path, "")
}

// send makes one request and keeps the cookie of the answer, if one is set.
func (c *caller) send(method, path, text string) (status int, body string, err error) {
	req, err := http.NewRequest(method, c.p.url+path, strings.NewReader(text))
	if err != nil {
		return 0, "", err
	}
	if c.cookie != nil {
		req.AddCookie(c.cookie)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	for _, cookie := range resp.Cookies() {
		c.cookie = cookie
	}
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// connect joins the main namespace in a session over polling.
func (c *caller) connect(sid string) error {
	path := engine + "&sid=" + sid
	status, body, err := c.send(http.MethodPost, path, "40")
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("POST: %d %s %v", status, body, err)
	}
	status, body, err = c.do(http.MethodGet, path)
	if err != nil || status != http.StatusOK || !strings.HasPrefix(body, "40{") {
		return fmt.Errorf("GET: %d %s %v", status, body, err)
	}
	return nil
}

// open makes a session and returns its id.
func (c *caller) open(transport string) (sid string, err error) {
	status, body, err := c.do(http.MethodGet, "/socket.io/?EIO=4&transport="+transport)
	_, sid, found := strings.Cut(body, `0{"sid":"`)
	if err != nil || status != http.StatusOK || !found {
		return "", fmt.Errorf("handshake: %d %q %v", status, body, err)
	}
	sid, _, _ = strings.Cut(sid, `"`)
	return sid, nil
}

// A node that drains says 503 to a handshake. The client is given to another one, and
// hears nothing of it; what it asks next goes there, too.
func TestProxy_LeavesANodeThatDrains(t *testing.T) {
	t.Parallel()
	eachRecipe(t, func(t *testing.T, r recipe) {
		f := newFleet(t)
		nodes := map[string]*standIn{}
		for _, sid := range []string{"A", "B", "C"} {
			nodes[sid] = newStandIn(sid)
			f.fake(nodes[sid])
		}
		r.start(f)
		leaving := nodes["A"]
		leaving.onHandshake(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		if r == (recipe{"haproxy", "ip-hash"}) {
			// It goes by the health check alone: a handshake that another node answered
			// would not tell where the session's next request belongs.
			leaving.ready.Store(false)
			f.down(1)
		}
		var (
			mu       sync.Mutex // guards sessions
			sessions = map[string]int32{}
		)
		f.proxy.atOnce(t, func(c *caller) error {
			sid, err := c.open("websocket")
			if err != nil || r.sticky == "websocket-only" {
				return err
			}
			mu.Lock()
			sessions[sid]++
			mu.Unlock()
			status, body, err := c.do(http.MethodPost, engine+"&sid="+sid)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("the next request: %d %s", status, body)
			}
			return err
		})
		for sid, n := range nodes {
			if got, want := n.requests.Load(), sessions[sid]; got != want {
				t.Errorf("%d requests of sessions reached %s, which has %d", got, sid, want)
			}
		}
		if asked := leaving.handshakes.Load(); asked == 0 && r != (recipe{"haproxy", "ip-hash"}) {
			t.Error("the node that drains was not asked: the test shows nothing")
		}
	})
}

// A node is gone of which the load balancer does not know yet: whoever is given to
// another one stays there. All that a client would see of a mistake is 400.
func TestProxy_AgreesOnWhereClientsOfADeadNodeGo(t *testing.T) {
	t.Parallel()
	eachRecipe(t, func(t *testing.T, r recipe) {
		if r.sticky == "websocket-only" {
			return // there is nothing to agree on
		}
		f := r.startBehind(t)
		f.nodes[1].srv.kill()
		f.proxy.atOnce(t, func(c *caller) error {
			sid, err := c.open("polling")
			if err != nil {
				return err
			}
			return c.connect(sid)
		})
	})
}
