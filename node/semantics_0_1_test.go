package node_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// These tests go by the cases of SEMANTICS: what dynamic.io does, as a client
// of Socket.IO v4 should see it, with the decisions of its section 6. Each has
// the number of its case. What the JavaScript client makes of a packet (0.2:
// its event connect_error) is shown here on the wire.
//
// Not shown: 2.18, since Go's regular expressions keep no state between
// matches and there is nothing to tell apart; the handler argument of 2.15,
// since OnConnect takes its place.

// 0.1: a client joins what it asks for and nothing else; "/" of its host need not exist.
func TestSemantics_0_1_NoImplicitMainNamespace(t *testing.T) {
	for _, host := range []string{"main.com", "a.com"} {
		inBubble(t, node.Options{Host: namespace.Exact("main.com")}, func(t *testing.T, srv *testServer, _ *journal) {
			srv.SetupNamespaceRegexp(regexp.MustCompile(`first$`), accept)
			c := srv.connect(how{host: host})
			synctest.Wait() // all that a connection brings about by itself has happened
			c.wantNothing()
			c.join("/first")
			synctest.Wait()
			c.wantNothing()
			if srv.exists("//a.com/") || srv.Main().SocketCount() != 0 {
				t.Error("the client was joined to a namespace that it did not ask for")
			}
			if host != "main.com" {
				if got := c.refused("/"); got != invalid {
					t.Errorf("refusal of / = %s", got)
				}
			}
		})
	}
}

// 0.2: a refusal is a CONNECT_ERROR with a message; the connection and its other namespaces live on.
func TestSemantics_0_2_Refusal(t *testing.T) {
	srv := start(t, node.Options{})
	srv.SetupNamespace("/ok", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.On("ping", func(_ context.Context, e *namespace.Event) error { return e.Ack("pong") })
		return nil
	})
	for _, polling := range []bool{false, true} {
		c := srv.connect(how{polling: polling})
		c.join("/ok")
		c.send("0/name,")
		c.want(`4/name,{"message":"Invalid namespace"}`)
		c.send(`2/ok,7["ping"]`)
		c.want(`3/ok,7["pong"]`)
		if srv.exists("/name") {
			t.Error("a refused namespace is kept")
		}
	}
}

// 0.3: the host never travels; the server knows the namespace by its full name.
func TestSemantics_0_3_NamesOnTheWireAreShort(t *testing.T) {
	srv := start(t, node.Options{Host: namespace.None})
	srv.SetupNamespace("//b.com/chat", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.On("hi", func(_ context.Context, e *namespace.Event) error {
			_ = e.Ack("ack")
			_ = e.Socket().Emit("own")
			_ = ns.Emit("all")
			e.Socket().Disconnect(false)
			return nil
		})
		return nil
	})
	c := srv.connect(how{host: "b.com"})
	c.join("/chat")
	if ns := srv.live("//b.com/chat"); ns.Name() != "/chat" || ns.Host() != "b.com" || ns.FullName() != "//b.com/chat" {
		t.Errorf("name %q, host %q, full name %q", ns.Name(), ns.Host(), ns.FullName())
	}
	c.send(`2/chat,1["hi"]`)
	c.want(`3/chat,1["ack"]`, `2/chat,["own"]`, `2/chat,["all"]`, `1/chat,`)
	if got := c.refused("/other"); got != invalid {
		t.Errorf("refusal = %s", got)
	}
}

// 0.4: ids differ per namespace and from the session id.
func TestSemantics_0_4_IDsDifferPerNamespace(t *testing.T) {
	srv := start(t, node.Options{})
	srv.SetupNamespace("*", accept)
	c := srv.connect(how{})
	a, b := c.join("/"), c.join("/chat")
	if a == b || a == c.sid || b == c.sid {
		t.Errorf("ids: / %q, /chat %q, session %q", a, b, c.sid)
	}
	s := srv.live("/chat").Socket(b)
	if s == nil || s.ID() != b || s.Room() != b || s.ConnectionID() != c.sid {
		t.Errorf("the server does not know the socket by the id that the client got: %v", s)
	}
}

// 1.1: with no Host option all clients are on the main host, whatever they say.
func TestSemantics_1_1_OneHostByDefault(t *testing.T) {
	srv := start(t, node.Options{})
	srv.SetupNamespace("/chat", accept)
	a, b := srv.connect(how{host: "a.com"}), srv.connect(how{host: "b.com:8080"})
	a.join("/chat")
	b.join("/chat")
	ns := srv.live("/chat")
	if ns.Host() != "" || ns.SocketCount() != 2 {
		t.Errorf("host %q with %d sockets, want the main host with 2", ns.Host(), ns.SocketCount())
	}
	_ = ns.Emit("both")
	a.want(`2/chat,["both"]`)
	b.want(`2/chat,["both"]`)
}

// 1.2: with no main host, the full name has the Host header, port included.
func TestSemantics_1_2_NoMainHost(t *testing.T) {
	srv, j := start(t, node.Options{Host: namespace.None}), newJournal()
	srv.SetupNamespaceRegexp(regexp.MustCompile(`first$`), j.accept)
	srv.connect(how{}).join("/first")
	j.want(t, "setup //"+srv.addr+"/first")
}

// 1.3: an exact main host; case and trailing dot do not count, the port does.
func TestSemantics_1_3_ExactMainHost(t *testing.T) {
	for _, tc := range []struct {
		option, host, full string
		drop               bool
	}{
		{"main.com", "main.com", "/chat", false},
		{"main.com", "MAIN.com", "/chat", false},
		{"main.com", "main.com.", "/chat", false},
		{"main.com", "main.com:8080", "//main.com:8080/chat", false},
		{"main.com", "www.main.com", "//www.main.com/chat", false},
		{"main.com", "Other.COM.:81", "//other.com:81/chat", false},
		{"main.com", "main.com:8080", "/chat", true},
		{"main.com", "other.com:8080", "//other.com/chat", true},
		{"Main.COM.", "main.com", "/chat", false},
		{"Main.COM:80", "main.com:80", "/chat", false},
		{"main.com:80", "main.com:81", "/chat", true},
	} {
		t.Run(fmt.Sprintf("%s at %s", tc.host, tc.option), func(t *testing.T) {
			srv, j := start(t, node.Options{Host: namespace.Exact(tc.option), DropHostPort: tc.drop}), newJournal()
			srv.SetupNamespaceRegexp(regexp.MustCompile(`chat$`), j.accept)
			srv.connect(how{host: tc.host}).join("/chat")
			j.want(t, "setup "+tc.full)
		})
	}
}

// 1.3: a malformed Host is answered with 400, on every path.
func TestSemantics_1_3_MalformedHost(t *testing.T) {
	srv := start(t, node.Options{PublicStatus: true})
	for _, host := range []string{"a..b", ".", "a b", "<script>", "a_%41", "a:port", "[::1", "a'b", "ä.com", strings.Repeat("x", 300)} {
		for _, path := range []string{"/socket.io/?EIO=4&transport=polling", "/socket.io/status", "/healthz"} {
			got := srv.raw("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
				t.Errorf("Host %q on %s: %.60q, want 400", host, path, got)
			}
		}
	}
}

// 1.4: a regular expression is searched for, not anchored.
func TestSemantics_1_4_RegexpMainHost(t *testing.T) {
	srv, j := start(t, node.Options{Host: namespace.Regexp(regexp.MustCompile(`^\d`))}), newJournal()
	srv.SetupNamespaceRegexp(regexp.MustCompile(`(first|second)$`), j.accept)
	_, port, _ := net.SplitHostPort(srv.addr)
	srv.connect(how{}).join("/first")
	srv.connect(how{host: "localhost:" + port}).join("/second")
	j.want(t, "setup /first", "setup //localhost:"+port+"/second")
}

// 1.5: GetHost may decide otherwise; the main-host test applies to what it returns.
func TestSemantics_1_5_GetHost(t *testing.T) {
	cutPort := func(r *http.Request) string {
		if r.Header.Get("X-Tenant") != "" && r.URL.Query().Get("EIO") == "4" {
			return r.Header.Get("X-Tenant")
		}
		host, _, _ := net.SplitHostPort(r.Host)
		return host
	}
	for option, want := range map[string][]string{
		"true":      {"setup //127.0.0.1/first", "setup //localhost/second", "setup //tenant/third"},
		"localhost": {"setup //127.0.0.1/first", "setup /second", "setup //tenant/third"},
	} {
		host, err := namespace.ParsePattern(option)
		if err != nil {
			t.Fatal(err)
		}
		srv, j := start(t, node.Options{Host: host, GetHost: cutPort}), newJournal()
		srv.SetupNamespaceRegexp(regexp.MustCompile(`(first|second|third)$`), j.accept)
		_, port, _ := net.SplitHostPort(srv.addr)
		srv.connect(how{}).join("/first")
		srv.connect(how{host: "localhost:" + port}).join("/second")
		srv.connect(how{header: http.Header{"X-Tenant": {"tenant"}}}).join("/third")
		j.want(t, want...)
	}
}

// 1.6: no host at all is the main host, with any option.
func TestSemantics_1_6_NoHost(t *testing.T) {
	srv := start(t, node.Options{Host: namespace.None, GetHost: func(*http.Request) string { return "" }})
	srv.SetupNamespace("/chat", accept)
	srv.connect(how{}).join("/chat")
	srv.live("/chat")

	// Only HTTP/1.0 can leave the header out.
	srv = start(t, node.Options{Host: namespace.None})
	srv.SetupNamespace("/chat", accept)
	answer := srv.raw("GET /socket.io/?EIO=4&transport=polling HTTP/1.0\r\n\r\n")
	_, sid, _ := strings.Cut(answer, `"sid":"`)
	sid, _, _ = strings.Cut(sid, `"`)
	srv.raw("POST /socket.io/?EIO=4&transport=polling&sid=" + sid + " HTTP/1.0\r\nContent-Length: 8\r\n\r\n40/chat,")
	if answer = srv.raw("GET /socket.io/?EIO=4&transport=polling&sid=" + sid + " HTTP/1.0\r\n\r\n"); !strings.Contains(answer, "\r\n\r\n40/chat,{") {
		t.Errorf("answer %q, want a CONNECT", answer)
	}
	srv.live("/chat")
}

// 1.7: the host options "", "*" and false all mean every host.
func TestSemantics_1_7_FalsyHostOption(t *testing.T) {
	patterns := []namespace.Pattern{{}, namespace.Exact("")}
	for _, text := range []string{"", "*", "false"} {
		p, err := namespace.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	for i, p := range patterns {
		srv := start(t, node.Options{Host: p})
		srv.SetupNamespace("/chat", accept)
		srv.connect(how{host: "any.com"}).join("/chat")
		if !srv.exists("/chat") {
			t.Errorf("pattern %d, %v: any.com is not the main host", i, p)
		}
	}
}

// 1.8: the request that opened a session decides; later ones and the upgrade do not.
func TestSemantics_1_8_HostOncePerConnection(t *testing.T) {
	srv, j := start(t, node.Options{Host: namespace.None}), newJournal()
	srv.SetupNamespaceRegexp(regexp.MustCompile(`chat\d$`), j.accept)
	c := srv.connect(how{host: "a.com", polling: true})
	later := &client{link: c.link, t: t, srv: srv, sid: c.sid, how: how{host: "b.com", polling: true}, http: c.http, in: c.in}
	later.join("/chat1")

	up := &client{link: &link{}, t: t, srv: srv, how: how{host: "b.com", query: url.Values{"sid": {c.sid}}}}
	var r interface{ Read([]byte) (int, error) }
	up.conn, r = up.upgrade(up.how.url(srv, "websocket"))
	defer up.conn.Close()
	if err := up.write("2probe"); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, r); got != "3probe" {
		t.Fatalf("probe was answered with %q", got)
	}
	if err := up.write("5", "40/chat2,"); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, r); !strings.HasPrefix(got, "40/chat2,{") {
		t.Fatalf("CONNECT was answered with %q", got)
	}
	j.want(t, "setup //a.com/chat1", "setup //a.com/chat2")
}

// 1.9: the same name on two hosts is two namespaces: setup, rooms, broadcasts, retirement.
func TestSemantics_1_9_Isolation(t *testing.T) {
	srv, j := start(t, node.Options{Host: namespace.None, Retirement: 1}), newJournal()
	srv.SetupNamespaceRegexp(regexp.MustCompile(`chat$`), func(ns *namespace.Namespace, m namespace.Match) error {
		ns.OnConnect(func(s *namespace.Socket) { _ = s.Join("room") })
		ns.OnExpire(func() { j.add("expired %s", ns.FullName()) })
		return j.accept(ns, m)
	})
	a, b := srv.connect(how{host: "a.com"}), srv.connect(how{host: "b.com"})
	a.join("/chat")
	b.join("/chat")
	first, second := srv.live("//a.com/chat"), srv.live("//b.com/chat")
	for _, ns := range []*namespace.Namespace{first, second} {
		waitFor(t, "socket is in its room", func() bool { return ns.Rooms()["room"] == 1 })
	}
	_ = first.Emit("of a")
	_ = first.To("room").Emit("room of a")
	a.want(`2/chat,["of a"]`, `2/chat,["room of a"]`)
	b.wantNothing()

	a.leave("/chat")
	j.wait(t, "expired //a.com/chat")
	_ = second.Emit("still here")
	b.want(`2/chat,["still here"]`)
	j.want(t, "setup //a.com/chat", "setup //b.com/chat", "expired //a.com/chat")
}

// 1.10: "/" of another host is on demand; only the main host's always exists.
func TestSemantics_1_10_OtherHostsMainIsOnDemand(t *testing.T) {
	srv, j := start(t, node.Options{Host: namespace.Exact("main.com"), Retirement: 1}), newJournal()
	srv.connect(how{host: "main.com"}).join("/")
	c := srv.connect(how{host: "other.com"})
	if got := c.refused("/"); got != invalid {
		t.Errorf("refusal = %s", got)
	}
	srv.SetupNamespace("//other.com/", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.OnExpire(func() { j.add("expired") })
		return nil
	})
	c.join("/")
	if srv.live("//other.com/").Permanent() || !srv.Main().Permanent() {
		t.Error("only the main host's / is permanent")
	}
	c.leave("/")
	j.wait(t, "expired")
	waitFor(t, "//other.com/ is gone", func() bool { return !srv.exists("//other.com/") })
	if !srv.exists("/") {
		t.Error("the main / is gone")
	}
}

// 1.11 (decided): a name that begins with // is refused, on every host.
func TestSemantics_1_11_FullNamesAreRefused(t *testing.T) {
	srv, j := start(t, node.Options{Host: namespace.Exact("main.com")}), newJournal()
	srv.SetupNamespace("*", j.accept)
	tenant := srv.connect(how{host: "other.com"})
	tenant.join("/secret")
	for _, host := range []string{"main.com", "other.com", "third.com"} {
		c := srv.connect(how{host: host})
		for _, name := range []string{"//other.com/secret", "//other.com/made", "//", "//other.com"} {
			if got := c.refused(name); got != invalid {
				t.Errorf("%s from %s: %s", name, host, got)
			}
		}
		_ = srv.live("//other.com/secret").Emit("private")
		c.wantNothing()
		tenant.want(`2/secret,["private"]`)
	}
	j.want(t, "setup /", "setup //other.com/secret")
}
