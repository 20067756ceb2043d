package namespace

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"testing/synctest"
)

// What the protocol has no place for ends the connection, with the reason that
// Node's server gives: a packet that the state of its namespace does not allow is
// a forced close, a text that is no packet is a parse error.
func TestClient_PacketsAtWrongMoments(t *testing.T) {
	const (
		taken  = "taken"
		closed = "closed"
		broken = "broken"
	)
	for _, c := range []struct {
		name   string
		before []string // each is taken; the answer to a CONNECT is waited for
		last   string
		want   string
	}{
		{"event before CONNECT", nil, `2["e"]`, closed},
		{"ack before CONNECT", nil, `31[]`, closed},
		{"DISCONNECT before CONNECT", nil, `1`, closed},
		{"event for another namespace", []string{`0`}, `2/other,["e"]`, closed},
		{"ack for another namespace", []string{`0`}, `3/other,1[]`, closed},
		{"event for a refused namespace", []string{`0`, `0/refused,`}, `2/refused,["e"]`, closed},
		{"event while the middleware runs", []string{`0`, `0/slow,`}, `2/slow,["e"]`, closed},
		{"DISCONNECT while the middleware runs", []string{`0`, `0/slow,`}, `1/slow,`, closed},
		{"DISCONNECT of another namespace", []string{`0`}, `1/other,`, closed},
		{"CONNECT_ERROR from a client", []string{`0`}, `4{"message":"no"}`, closed},
		{"ack that nobody waits for", []string{`0`}, `3999["x"]`, taken},
		{"DISCONNECT twice", []string{`0`, `1`}, `1`, closed},
		{"event after DISCONNECT", []string{`0`, `1`}, `2["e"]`, closed},
		{"CONNECT twice", []string{`0`}, `0`, closed},
		{"CONNECT twice while the middleware runs", []string{`0/slow,`}, `0/slow,`, taken},
		{"CONNECT again after DISCONNECT", []string{`0`, `1`}, `0`, taken},
		{"CONNECT again after a refusal", []string{`0/refused,`}, `0/refused,`, taken},
		{"text while attachments are awaited", []string{`0`, `51-["e",{"_placeholder":true,"num":0}]`}, `2["e"]`, broken},
		{"no packet", nil, `abc`, broken},
		{"empty text", nil, ``, broken},
		{"reserved event", []string{`0`}, `2["disconnect"]`, broken},
		{"event name beyond the limit", []string{`0`}, `2["` + strings.Repeat("e", 513) + `"]`, broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(t, Options{})
				r.Setup("*", accept)
				r.Setup("/slow", func(ns *Namespace, _ Match) error {
					ns.Use(func(ctx context.Context, _ *Socket) error { <-ctx.Done(); return ctx.Err() })
					return nil
				})
				r.Setup("/refused", func(*Namespace, Match) error { return errors.New("no") })
				p := newPeer(t, r, dial{})
				for _, m := range c.before {
					p.send(m)
					synctest.Wait()
				}
				got := taken
				if err := p.client.Receive([]byte(c.last), false); err != nil {
					got = broken
				}
				synctest.Wait()
				if p.conn.closed() == ReasonForcedClose {
					got = closed
				}
				if got != c.want {
					t.Errorf("%.40q: %s, want %s", c.last, got, c.want)
				}
				p.close()
			})
		})
	}
	t.Run("binary without header", func(t *testing.T) {
		r := newRegistry(t, Options{})
		p := newPeer(t, r, dial{})
		if err := p.client.Receive([]byte{1}, true); err == nil {
			t.Error("a binary message that nothing announced was accepted")
		}
	})
}

func TestClient_ConnectTimeout(t *testing.T) {
	t.Run("joins nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRegistry(t, Options{ConnectTimeout: 3 * time.Second})
			start := time.Now()
			p := newPeer(t, r, dial{})
			p.wantClosed(ReasonForcedClose)
			if got := time.Since(start); got != 3*time.Second {
				t.Errorf("closed after %v", got)
			}
			p.conn.ending.Wait()
		})
	})
	t.Run("refused only", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRegistry(t, Options{ConnectTimeout: 3 * time.Second})
			p := newPeer(t, r, dial{})
			p.ask("/nobody")
			p.want(`4/nobody,{"message":"Invalid namespace"}`)
			p.wantClosed(ReasonForcedClose)
			p.conn.ending.Wait()
		})
	})
	t.Run("in and out again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRegistry(t, Options{ConnectTimeout: 3 * time.Second})
			r.Setup("/", accept)
			p := newPeer(t, r, dial{})
			p.join("/")
			p.leave("/")
			time.Sleep(time.Minute)
			p.ask("/")
			p.admitted("/")
			p.close()
		})
	})
	// One on its way in gets the time again, and is closed if that fails.
	t.Run("still on its way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRegistry(t, Options{ConnectTimeout: 3 * time.Second})
			r.Setup("/slow", func(ns *Namespace, _ Match) error {
				ns.Use(func(context.Context, *Socket) error { time.Sleep(4 * time.Second); return errors.New("no") })
				return nil
			})
			start := time.Now()
			p := newPeer(t, r, dial{})
			p.ask("/slow")
			p.want(`4/slow,{"message":"Forbidden"}`)
			p.wantClosed(ReasonForcedClose)
			if got := time.Since(start); got != 6*time.Second {
				t.Errorf("closed after %v, want 6s", got)
			}
			p.conn.ending.Wait()
		})
	})
}

func TestClient_LimitOfNamespaces(t *testing.T) {
	r := newRegistry(t, Options{MaxConnectionNamespaces: 3})
	r.Setup("*", accept)
	p := newPeer(t, r, dial{})
	for _, name := range []string{"/1", "/2", "/3"} {
		p.join(name)
	}
	p.ask("/4")
	p.want(`4/4,{"message":"Too many namespaces"}`)
	p.leave("/1")
	p.join("/4")
	if r.Lookup("/5") != nil {
		t.Error("a refused namespace was made")
	}
}

// A connection cannot make namespaces as fast as it can name them.
func TestClient_LimitOfConnectRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{MaxConnectionNamespaces: 10})
		r.Setup("*", accept)
		p := newPeer(t, r, dial{})
		admitted := func(names string, n int) (in int) {
			for i := range n {
				name := fmt.Sprintf("/%s-%d", names, i)
				p.ask(name)
				if strings.HasPrefix(p.next(), "0") {
					in++
					p.leave(name)
				}
				synctest.Wait()
			}
			return in
		}
		if n := admitted("flood", 500); n != 18 { // 8 free, then the bucket of 10
			t.Errorf("%d of 500 random names were let in at once, want 18", n)
		}
		time.Sleep(3 * time.Second)
		if n := admitted("later", 100); n != 3 {
			t.Errorf("%d more after three seconds, want 3", n)
		}
		p.close()
		time.Sleep(time.Minute)
		if n := len(r.Namespaces()); n != 1 {
			t.Errorf("%d namespaces are left, want 1", n)
		}
	})
}

func TestClient_LimitOfNameLength(t *testing.T) {
	r := newRegistry(t, Options{MaxNameLength: 2000}) // more than the decoder's default
	r.Setup("*", accept)
	newPeer(t, r, dial{}).join("/" + strings.Repeat("n", 1999))

	r = newRegistry(t, Options{})
	r.Setup("*", accept)
	p := newPeer(t, r, dial{})
	p.join("/" + strings.Repeat("n", 511))
	long := "/" + strings.Repeat("n", 512)
	p.ask(long)
	p.want(`4` + long + `,{"message":"Invalid namespace"}`)
	if got := r.Stats().Refused["invalid_name"]; got != 1 {
		t.Errorf("%d refusals counted, want 1", got)
	}
}

func TestRegistry_LimitOfNamespaces(t *testing.T) {
	r := newRegistry(t, Options{MaxNamespaces: 3}) // "/" is one
	r.Setup("*", accept)
	p := newPeer(t, r, dial{})
	p.join("/1")
	p.join("/2")
	p.ask("/3")
	p.want(`4/3,{"message":"Namespace unavailable"}`)
	p.join("/")
}

// A name that begins with two slashes would reach into another host's
// namespaces (SEMANTICS 1.11).
func TestClient_FullNameIsRefused(t *testing.T) {
	r := newRegistry(t, Options{Host: Exact("main.com")})
	r.Setup("*", accept)
	victim := newPeer(t, r, dial{host: "other.com"})
	victim.join("/secret")
	for _, host := range []string{"main.com", "third.com"} {
		p := newPeer(t, r, dial{host: host})
		p.ask("//other.com/secret")
		p.want(`4//other.com/secret,{"message":"Invalid namespace"}`)
	}
	if n := r.Lookup("//other.com/secret").SocketCount(); n != 1 {
		t.Errorf("%d sockets in the namespace, want 1", n)
	}
}

// Clients of a host share no namespace with those of another (SEMANTICS 1.9).
func TestClient_HostsAreIsolated(t *testing.T) {
	r := newRegistry(t, Options{Host: Exact("main.com")})
	r.Setup("*", accept)
	names := map[string]string{"main.com": "/chat", "a.com": "//a.com/chat", "b.com:8080": "//b.com:8080/chat"}
	for _, host := range []string{"main.com", "a.com", "b.com:8080"} {
		p := newPeer(t, r, dial{host: host})
		s := p.join("/chat")
		if got := s.Namespace().FullName(); got != names[host] {
			t.Errorf("host %q: full name %q, want %q", host, got, names[host])
		}
		if got := s.Namespace().Name(); got != "/chat" {
			t.Errorf("host %q: name %q", host, got)
		}
		if err := s.Namespace().Emit("hi"); err != nil {
			t.Fatal(err)
		}
		p.want(`2/chat,["hi"]`)
		p.wantNothing()
	}
}

// A v2 client is in "/" without asking, and knows its id by itself.
func TestClient_Protocol3(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	p := newPeer(t, r, dial{protocol: 3})
	p.want("0")
	p.send("0/chat?token=1,")
	p.want("0/chat,")
	eventually(t, "both sockets", func() bool { return len(p.client.Sockets()) == 2 })
	for _, s := range p.client.Sockets() {
		want := p.conn.id
		if s.Namespace().Name() != "/" {
			want = "/chat#" + want
			if got := s.Query().Get("token"); got != "1" {
				t.Errorf("token = %q", got)
			}
		}
		if s.ID() != want {
			t.Errorf("id = %q, want %q", s.ID(), want)
		}
	}
}
