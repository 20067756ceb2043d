package engineio

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// The bodies are those of Node's engine.io.
func TestServer_RefusesBadRequests(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	c, w := h.socket()
	_ = c
	const unknownTransport = `400 {"code":0,"message":"Transport unknown"}`
	const unknownSID = `400 {"code":1,"message":"Session ID unknown"}`
	const badMethod = `400 {"code":2,"message":"Bad handshake method"}`
	const badRequest = `400 {"code":3,"message":"Bad request"}`
	const unsupported = `400 {"code":5,"message":"Unsupported protocol version"}`
	for _, c := range []struct{ method, query, want string }{
		{"GET", "EIO=4", unknownTransport},
		{"GET", "EIO=4&transport=abc", unknownTransport},
		{"GET", "EIO=4&transport=webtransport", unknownTransport},
		{"GET", "EIO=4&transport=polling&sid=nope", unknownSID},
		{"POST", "EIO=4&transport=polling&sid=nope", unknownSID},
		{"POST", "EIO=4&transport=polling", badMethod},
		{"PUT", "EIO=4&transport=polling", badMethod},
		{"OPTIONS", "EIO=4&transport=polling", badMethod},
		{"GET", "EIO=4&transport=websocket", badRequest},
		{"GET", "EIO=4&transport=websocket&sid=" + p.sid, badRequest},
		{"GET", "EIO=4&transport=polling&sid=" + w.ID(), badRequest},
		{"POST", "EIO=4&transport=polling&sid=" + w.ID(), badRequest},
		{"PUT", "EIO=4&transport=polling&sid=" + p.sid, badRequest},
		{"DELETE", "EIO=4&transport=polling&sid=" + p.sid, badRequest},
		{"GET", "EIO=3&transport=polling&sid=" + p.sid, badRequest},
		{"GET", "transport=polling&sid=" + p.sid, badRequest},
		{"GET", "transport=polling", unsupported},
		{"GET", "EIO=3&transport=polling", unsupported},
		{"GET", "EIO=5&transport=polling", unsupported},
		{"GET", "EIO=4.0&transport=polling", unsupported},
	} {
		a := h.do(c.method, c.query, "")
		check(t, c.method+" "+c.query, fmt.Sprint(a.status, " ", a.body), c.want)
		check(t, "content type", a.header.Get("Content-Type"), "application/json")
	}
	check(t, "the session goes on", p.post("4x").body, "ok")
	for _, query := range []string{"", "EIO=4&transport=x", "EIO=9&transport=websocket", "EIO=4&transport=websocket&sid=nope", "EIO=4&transport=polling"} {
		if _, err := dialWS(h.web.Listener.Addr().String(), "/socket.io/?"+query, nil); err == nil {
			t.Errorf("a WebSocket was opened with %q", query)
		}
	}
	check(t, "counted", h.Stats().Refused["bad method"], 3)
}

// A WebSocket request without its key is refused, and the handler told.
func TestServer_BrokenWebSocketHandshake(t *testing.T) {
	h := listen(t, Options{})
	conn, err := net.Dial("tcp", h.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n")
	b := make([]byte, 12)
	if _, err := conn.Read(b); err != nil || string(b) != "HTTP/1.1 400" {
		t.Errorf("answer %q, %v", b, err)
	}
	check(t, "reason", receive(t, h.peer().closed), ReasonTransportError)
}

func TestServer_Path(t *testing.T) {
	for path, o := range map[string]Options{"/socket.io": {}, "/socket.io/": {}, "/a/b": {Path: "a/b/"}, "/a/b/": {Path: "/a/b"}, "/": {Path: "/"}} {
		h := newHost(t, o)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path+"?EIO=4&transport=polling", nil))
		check(t, path, w.Code, 200)
		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", strings.TrimSuffix(path, "/")+"/other?EIO=4&transport=polling", nil))
		check(t, path+"/other", w.Code, 404)
		h.shut()
	}
}

func TestServer_Origins(t *testing.T) {
	for _, c := range []struct {
		allowed   []string
		origin    string
		status    int
		allow     string
		credental string
	}{
		{nil, "", 200, "", ""},
		{nil, "http://example.com", 200, "http://example.com", "true"}, // httptest's own host
		{nil, "https://EXAMPLE.com:443", 200, "https://EXAMPLE.com:443", "true"},
		{nil, "http://other.com", 403, "", ""},
		{nil, "null", 403, "", ""},
		{nil, "http://example.com.evil.com", 403, "", ""},
		{nil, "http://example.com@evil.com", 403, "", ""},
		{[]string{"https://other.com"}, "https://other.com", 200, "https://other.com", "true"},
		{[]string{"https://other.com"}, "http://other.com", 403, "", ""},
		{[]string{"https://other.com:443"}, "https://OTHER.com", 200, "https://OTHER.com", "true"},
		{[]string{"*"}, "http://any.com", 200, "*", ""},
		{[]string{"*"}, "null", 200, "*", ""},
		{nil, "http://a\x01b", 400, "", ""},
		{[]string{"*"}, "http://a\nb", 400, "*", ""},
	} {
		h := newHost(t, Options{Origins: c.allowed})
		r := httptest.NewRequest("GET", "/socket.io/?EIO=4&transport=polling", nil)
		if c.origin != "" {
			r.Header["Origin"] = []string{c.origin}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		check(t, fmt.Sprint(c), w.Code, c.status)
		check(t, "allow", w.Header().Get("Access-Control-Allow-Origin"), c.allow)
		check(t, "credentials", w.Header().Get("Access-Control-Allow-Credentials"), c.credental)
		if c.status == 403 {
			check(t, "body", w.Body.String(), `{"code":4,"message":"Forbidden"}`)
		}
		h.shut()
	}
}

// A page of another origin cannot open a WebSocket either: browsers ask nobody
// before they try.
func TestServer_WebSocketOrigin(t *testing.T) {
	h := listen(t, Options{Origins: []string{"https://ok.com"}})
	addr := h.web.Listener.Addr().String()
	for origin, want := range map[string]bool{"https://ok.com": true, "http://" + addr: true, "https://evil.com": false} {
		c, err := dialWS(addr, "/socket.io/?EIO=4&transport=websocket", http.Header{"Origin": {origin}})
		if (err == nil) != want {
			t.Errorf("%s: %v", origin, err)
		}
		if err == nil {
			c.conn.Close()
		}
	}
	check(t, "counted", h.Stats().Refused["forbidden origin"], 1)
}

func TestServer_Cookie(t *testing.T) {
	h := listen(t, Options{Cookie: &http.Cookie{Name: "node", HttpOnly: true, SameSite: http.SameSiteLaxMode}})
	a := h.do("GET", "EIO=4&transport=polling", "")
	p := h.peer()
	want := "node=" + p.ID() + "; Path=/; HttpOnly; SameSite=Lax"
	check(t, "polling", a.header.Get("Set-Cookie"), want)
	later := h.do("POST", "EIO=4&transport=polling&sid="+p.ID(), "4x")
	check(t, "later", later.header.Get("Set-Cookie"), "")

	got := ""
	d := ws.Dialer{OnHeader: func(key, value []byte) error {
		if strings.EqualFold(string(key), "set-cookie") {
			got = string(value)
		}
		return nil
	}}
	conn, _, _, err := d.Dial(context.Background(), "ws"+strings.TrimPrefix(h.url("EIO=4&transport=websocket"), "http"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	check(t, "WebSocket", got, "node="+h.peer().ID()+"; Path=/; HttpOnly; SameSite=Lax")
}

func TestServer_AcceptRefuses(t *testing.T) {
	var answer error
	panics := false
	s, err := New(Options{}, func(*Conn, *http.Request) (Handler, error) {
		if panics {
			panic("oh")
		}
		return nil, answer
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &host{Server: s, t: t}
	q := "EIO=4&transport=polling"
	for _, c := range []struct {
		err    error
		panics bool
		want   string
	}{
		{fmt.Errorf("secret"), false, `403 {"code":4,"message":"Forbidden"}`},
		{nil, false, `403 {"code":4,"message":"Forbidden"}`},
		{nil, true, `403 {"code":4,"message":"Forbidden"}`},
		{fmt.Errorf("wrapped: %w", &RefuseError{Status: 400, Code: 3, Message: "bad \"host\""}), false, `400 {"code":3,"message":"bad \"host\""}`},
	} {
		answer, panics = c.err, c.panics
		a := h.serve("GET", q, "")
		check(t, "answer", fmt.Sprint(a.status, " ", a.body), c.want)
	}
	check(t, "counted", s.Stats().Refused["not accepted"], 4)
	check(t, "active", s.active, 0)
	h.shut()
}

// Close and panics within Accept and Closed cost that session only.
func TestServer_EndedWithinAccept(t *testing.T) {
	h := newHost(t, Options{})
	h.setup = func(p *peer) { p.Close("early") }
	for _, query := range []string{"EIO=4&transport=polling"} {
		check(t, "answer", h.serve("GET", query, "").status, 503)
		p := h.peer()
		check(t, "reason", receive(t, p.closed), "early")
	}
	check(t, "active", h.active, 0)
	h.shut()
}

func TestServer_Drain(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	h.Drain()
	a := h.do("GET", "EIO=4&transport=polling", "")
	check(t, "handshake", fmt.Sprint(a.status, a.header.Get("Retry-After")), "5031")
	check(t, "counted", h.Stats().Refused["draining"], 1)
	c := p.probeWith()
	c.write("5")
	p.text("m")
	check(t, "the session goes on", c.read(), "4m")
}

func TestServer_Close(t *testing.T) {
	h := listen(t, Options{})
	c, w := h.socket()
	p := h.polling()
	waiting := p.goGet()
	p.waitGet()
	lingering := h.polling()
	lingering.Close(ReasonForcedClose)
	probing := h.polling()
	probe := probing.probeWith()
	w.text("last words")

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- h.Close(ctx) }()
	}
	check(t, "WebSocket", c.read(), "4last words")
	check(t, "WebSocket", c.readClose(), ws.StatusGoingAway)
	c.conn.Close()
	check(t, "pending GET", receive(t, waiting).body, "1")
	probe.readClose()
	for range 2 {
		if err := receive(t, closed); err != nil {
			t.Error(err)
		}
	}
	for _, q := range []*peer{w, p.peer, probing.peer} {
		check(t, "reason", receive(t, q.closed), ReasonServerShutdown)
	}
	check(t, "sessions", len(h.conns), 0)
	check(t, "handshake", h.do("GET", "EIO=4&transport=polling", "").status, 503)
}

func TestServer_Limits(t *testing.T) {
	h := newHost(t, Options{MaxSessions: 2})
	h.open("EIO=4&transport=polling")
	_, p := h.open("EIO=4&transport=polling")
	a := h.serve("GET", "EIO=4&transport=polling", "")
	check(t, "third", fmt.Sprint(a.status, " ", a.body), `503 {"code":4,"message":"Too many sessions"}`)
	p.Close(ReasonForcedClose)
	h.eventually("room", func() bool { return h.serve("GET", "EIO=4&transport=polling", "").status == 200 })
	h.shut()

	h = newHost(t, Options{HandshakesPerSecond: 0.001})
	h.open("EIO=4&transport=polling")
	a = h.serve("GET", "EIO=4&transport=polling", "")
	check(t, "second", fmt.Sprint(a.status, " ", a.body), `429 {"code":4,"message":"Too many handshakes"}`)
	check(t, "counted", h.Stats().Refused["rate limit"], 1)
	h.shut()

	h = newHost(t, Options{HandshakesPerSecond: -1})
	for range 100 {
		h.open("EIO=4&transport=polling")
	}
	h.shut()
}

func TestLimiter_AddressesAreBoundedAndApart(t *testing.T) {
	l := newLimiter(1)
	now := time.Now()
	allow := func(remote string) bool { return l.allow(remote, now) }
	for _, c := range []struct {
		remote string
		want   bool
	}{
		{"10.0.0.1:1", true}, {"10.0.0.1:2", false}, {"[::ffff:10.0.0.1]:2", false}, {"10.0.0.2:1", true},
		{"[2001:db8::1]:1", true}, {"[2001:db8::ffff]:1", false}, {"[2001:db8:0:1::1]:1", true},
		{"pipe", true}, {"@", false},
	} {
		check(t, c.remote, allow(c.remote), c.want)
	}
	for i := range 3 * maxAddresses {
		allow(fmt.Sprintf("11.%d.%d.%d:1", i>>16, i>>8&255, i&255))
	}
	if n := len(l.buckets); n > maxAddresses {
		t.Errorf("%d buckets, bound is %d", n, maxAddresses)
	}
	now = now.Add(time.Hour)
	l.mu.Lock()
	l.shrinkLocked(now)
	l.mu.Unlock()
	check(t, "buckets after an hour", len(l.buckets), 0)
}

func TestOptions_SayWhatIsWrong(t *testing.T) {
	for name, o := range map[string]Options{
		"PingInterval": {PingInterval: -1}, "PingTimeout": {PingTimeout: time.Microsecond}, "UpgradeTimeout": {UpgradeTimeout: -1},
		"MaxPayload": {MaxPayload: -1}, "MaxQueue": {MaxQueue: -1}, "MaxSessions": {MaxSessions: -1},
		"Transports": {Transports: []string{"webtransport"}}, "Origins": {Origins: []string{"example.com"}},
		"Cookie": {Cookie: &http.Cookie{Name: "a b"}},
	} {
		if _, err := New(o, func(*Conn, *http.Request) (Handler, error) { return nil, nil }); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Options{}, nil); err == nil {
		t.Error("no Accept function, no error")
	}
}

// The sessions of one server do not see those of another, nor each other's ids.
func TestServer_Conns(t *testing.T) {
	h := newHost(t, Options{})
	want := map[string]bool{}
	for range 50 {
		sid, _ := h.open("EIO=4&transport=polling")
		want[sid] = true
	}
	for c := range h.Conns() {
		delete(want, c.ID())
	}
	check(t, "missing", len(want), 0)
	for range h.Conns() {
		break
	}
	h.shut()
}
