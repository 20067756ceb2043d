package rules

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/e2e/leaktest"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/frame"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// fakeConn is a transport whose frames a test reads from a channel.
type fakeConn struct {
	id     string
	frames chan string
	closed sync.Once
	ended  chan string
}

func (c *fakeConn) ID() string        { return c.id }
func (c *fakeConn) Protocol() int     { return 4 }
func (c *fakeConn) Transport() string { return "websocket" }
func (c *fakeConn) Send(f *frame.Frame, _ frame.Flags) bool {
	c.frames <- string(f.Part(0).Data)
	return true
}
func (c *fakeConn) Reserve(int) bool    { return true }
func (c *fakeConn) Release(int)         {}
func (c *fakeConn) Close(reason string) { c.closed.Do(func() { c.ended <- reason }) }

// client is one connection to a registry, and the namespace that it uses.
type client struct {
	t      testing.TB
	conn   *fakeConn
	client *namespace.Client
	nsp    string
}

var ids atomic.Int64

// dial opens a connection and asks for a namespace; auth is JSON or nothing.
func dial(t testing.TB, reg *namespace.Registry, host, nsp, auth string) *client {
	t.Helper()
	c := &client{t: t, nsp: nsp, conn: &fakeConn{
		id: fmt.Sprint("conn-", ids.Add(1)), frames: make(chan string, 256), ended: make(chan string, 1),
	}}
	var err error
	if c.client, err = reg.Accept(c.conn, &namespace.Handshake{Host: host, Time: time.Now(), Header: http.Header{}}); err != nil {
		t.Fatal(err)
	}
	c.send("0" + nsp + "," + auth)
	return c
}

func (c *client) send(packet string) {
	c.t.Helper()
	if err := c.client.Receive([]byte(packet), false); err != nil {
		c.t.Errorf("%s: %v", packet, err)
	}
}

// next returns the next packet that the client gets.
func (c *client) next() string {
	c.t.Helper()
	select {
	case f := <-c.conn.frames:
		return f
	case <-time.After(time.Minute):
		c.t.Fatal("nothing comes")
		return ""
	}
}

// quiet fails if something has come that the test has not read.
func (c *client) quiet() {
	c.t.Helper()
	select {
	case f := <-c.conn.frames:
		c.t.Errorf("%s got %s", c.conn.id, f)
	default:
	}
}

// enter is dial for those who are let in.
func enter(t testing.TB, reg *namespace.Registry, host, nsp, auth string) *client {
	t.Helper()
	c := dial(t, reg, host, nsp, auth)
	if answer := c.next(); answer[0] != '0' {
		t.Fatalf("%s is answered %s", nsp, answer)
	}
	return c
}

// refused is dial for those who are not; it returns what they are told.
func refused(t testing.TB, reg *namespace.Registry, host, nsp, auth string) string {
	t.Helper()
	c := dial(t, reg, host, nsp, auth)
	defer c.leave()
	answer := c.next()
	if answer[0] != '4' {
		t.Errorf("%s is let in: %s", nsp, answer)
	}
	var e struct {
		Message string
		Data    struct{ Code string }
	}
	// The main namespace's name is left out on the wire.
	if err := json.Unmarshal([]byte(strings.TrimPrefix(answer[1:], nsp+",")), &e); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return strings.TrimSpace(e.Message + " " + e.Data.Code)
}

// call sends an event and returns its acknowledgement.
func (c *client) call(args string) string {
	c.t.Helper()
	c.send("2" + c.nsp + ",7[" + args + "]")
	return strings.TrimPrefix(c.next(), "3"+c.nsp+",7")
}

func (c *client) leave() { c.client.Closed(namespace.ReasonTransportClose) }

// guarded is a registry under a guard of these rules.
func guarded(t testing.TB, set *Set) (*namespace.Registry, *Guard) {
	t.Helper()
	reg, err := namespace.New(namespace.Options{Host: namespace.Exact("main.example")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reg.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	set.Retirement = cmp.Or(set.Retirement, 10*time.Second)
	g := NewGuard(set, slog.New(slog.DiscardHandler))
	g.Setup(reg)
	return reg, g
}

// everywhere is a rule for all namespaces that allows everything.
func everywhere(change func(*Rule)) *Rule {
	r := &Rule{AnyHost: true, Allow: AllowAll()}
	if change != nil {
		change(r)
	}
	return r
}

// match is a rule's pattern.
func match(t testing.TB, s string) namespace.Pattern {
	t.Helper()
	p, err := ParseMatch(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func rooms(t testing.TB, list ...string) (r Rooms) {
	t.Helper()
	for _, s := range list {
		if err := r.Add(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return r
}

const ok = `[{"ok":true}]`

func failed(text string) string {
	b, _ := json.Marshal([]result{{Error: text}})
	return string(b)
}
