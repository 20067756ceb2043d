package namespace

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// patience is how long a test waits for what has to come. It is no part of
// any assertion: a test that passes does not use it up.
const patience = time.Minute

// fakeConn is a Conn that records what is sent to it. As a transport does, it
// calls Client.Closed from a goroutine of its own.
type fakeConn struct {
	id       string
	protocol int

	mu      sync.Mutex // guards what follows
	frames  []*frame.Frame
	flags   []frame.Flags
	deaf    bool // Send takes nothing, as when the queue is full or closed
	held    int  // reserved and not released
	budget  int  // how much may be; 0: any number
	reason  string
	client  *Client
	changed chan struct{} // closed and made anew whenever something above changes
	ending  sync.WaitGroup
}

var connIDs atomic.Int64

func newFakeConn(protocol int) *fakeConn {
	return &fakeConn{
		id:       fmt.Sprintf("conn-%d", connIDs.Add(1)),
		protocol: protocol,
		changed:  make(chan struct{}),
	}
}

func (c *fakeConn) ID() string        { return c.id }
func (c *fakeConn) Protocol() int     { return c.protocol }
func (c *fakeConn) Transport() string { return "websocket" }

func (c *fakeConn) Send(f *frame.Frame, flags frame.Flags) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deaf || c.reason != "" {
		return false
	}
	c.frames = append(c.frames, f)
	c.flags = append(c.flags, flags)
	c.changeLocked()
	return true
}

func (c *fakeConn) Reserve(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != "" || c.budget > 0 && c.held+n > c.budget {
		return false
	}
	c.held += n
	c.changeLocked()
	return true
}

func (c *fakeConn) Release(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held -= n
	c.changeLocked()
}

func (c *fakeConn) changeLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *fakeConn) Close(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != "" {
		return
	}
	c.reason = reason
	c.changeLocked()
	if client := c.client; client != nil {
		c.ending.Go(func() { client.Closed(reason) })
	}
}

func (c *fakeConn) attach(client *Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.client = client
	if reason := c.reason; reason != "" {
		c.ending.Go(func() { client.Closed(reason) })
	}
}

// closed returns why the connection was closed, if it was.
func (c *fakeConn) closed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

// kept is what is reserved beside the handshake.
func (p *peer) kept() int {
	p.conn.mu.Lock()
	defer p.conn.mu.Unlock()
	return p.conn.held - p.client.handshake.cost()
}

func (c *fakeConn) setDeaf(deaf bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = deaf
}

// peer is a client as seen from the other side of its connection.
type peer struct {
	t      testing.TB
	conn   *fakeConn
	client *Client
	read   int // frames already looked at by next
}

type dial struct {
	protocol int
	host     string
	address  string
	budget   int // of the connection, beside what the handshake takes; 0: none
}

func newPeer(t testing.TB, r *Registry, d dial) *peer {
	t.Helper()
	if d.protocol == 0 {
		d.protocol = 4
	}
	conn := newFakeConn(d.protocol)
	h := &Handshake{
		Header: http.Header{"User-Agent": {"test"}, "Accept": {"a", "b"}, "Cookie": {"a=1", "b=2"}},
		URL:    &url.URL{Path: "/socket.io/", RawQuery: "EIO=4&x=1"},
		Host:   d.host, Address: cmp.Or(d.address, "192.0.2.1"), Time: time.Now(),
	}
	if d.budget > 0 {
		conn.budget = d.budget + h.cost()
	}
	client, err := r.Accept(conn, h)
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	conn.attach(client)
	return &peer{t: t, conn: conn, client: client}
}

// send passes text messages to the client's connection.
func (p *peer) send(messages ...string) {
	p.t.Helper()
	for _, m := range messages {
		if err := p.client.Receive([]byte(m), false); err != nil {
			p.t.Fatalf("Receive(%.80q): %v", m, err)
		}
	}
}

// text is a frame's first part, with the number of attachments that follow.
func text(f *frame.Frame) string { return string(f.Part(0).Data) }

// next returns the next frame that was sent to the client, once there is one.
func (p *peer) next() string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.conn.mu.Lock()
		if p.read < len(p.conn.frames) {
			f := p.conn.frames[p.read]
			p.read++
			p.conn.mu.Unlock()
			return text(f)
		}
		changed, reason := p.conn.changed, p.conn.reason
		p.conn.mu.Unlock()
		if reason != "" {
			p.t.Fatalf("connection closed (%s) while a frame was expected", reason)
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatal("no frame came")
		}
	}
}

func (p *peer) want(frames ...string) {
	p.t.Helper()
	for _, want := range frames {
		if got := p.next(); got != want {
			p.t.Fatalf("got frame %q, want %q", got, want)
		}
	}
}

// unread returns the frames that next has not returned yet.
func (p *peer) unread() []string {
	p.conn.mu.Lock()
	defer p.conn.mu.Unlock()
	var all []string
	for _, f := range p.conn.frames[p.read:] {
		all = append(all, text(f))
	}
	return all
}

func (p *peer) wantNothing() {
	p.t.Helper()
	if got := p.unread(); len(got) > 0 {
		p.t.Fatalf("got frames %q, want none", got)
	}
}

// prefix is how packets of a namespace begin after their type.
func prefix(name string) string {
	if name == "/" {
		return ""
	}
	return name + ","
}

// ask sends a CONNECT, and does not wait for the answer.
func (p *peer) ask(name string) { p.t.Helper(); p.send("0" + prefix(name)) }

// admitted waits for the answer to a CONNECT, skipping events, and returns the
// socket's id.
func (p *peer) admitted(name string) string {
	p.t.Helper()
	got := p.next()
	for strings.HasPrefix(got, "2") {
		got = p.next()
	}
	rest, ok := strings.CutPrefix(got, "0"+prefix(name))
	if !ok {
		p.t.Fatalf("got %q, want to be admitted to %s", got, name)
	}
	var answer struct{ SID string }
	if err := json.Unmarshal([]byte(rest), &answer); err != nil {
		p.t.Fatalf("answer to CONNECT %q: %v", got, err)
	}
	return answer.SID
}

// join is ask and admitted; it returns the server's socket.
func (p *peer) join(name string) *Socket {
	p.t.Helper()
	p.ask(name)
	sid := p.admitted(name)
	for _, s := range p.client.Sockets() {
		if s.ID() == sid {
			return s
		}
	}
	p.t.Fatalf("socket %s of %s is not on the connection", sid, name)
	return nil
}

func (p *peer) leave(name string) { p.t.Helper(); p.send("1" + prefix(name)) }

// event sends an EVENT whose arguments, the name first, are given as JSON.
func (p *peer) event(name, array string) { p.t.Helper(); p.send("2" + prefix(name) + array) }

// close ends the connection from the client's side, and waits until the
// registry knows.
func (p *peer) close() {
	p.conn.Close(ReasonTransportClose)
	p.conn.ending.Wait()
}

// wantClosed waits until the server has closed the connection.
func (p *peer) wantClosed(reason string) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.conn.mu.Lock()
		got, changed := p.conn.reason, p.conn.changed
		p.conn.mu.Unlock()
		if got == reason {
			return
		}
		if got != "" {
			p.t.Fatalf("closed with %q, want %q", got, reason)
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatal("the connection is still open")
		}
	}
}

// newRegistry returns a registry that the test closes at its end, and that
// must then be able to end.
func newRegistry(t testing.TB, opts Options) *Registry {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRegistry(t, r) })
	return r
}

func closeRegistry(t testing.TB, r *Registry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// accept is a setup that accepts everything.
func accept(*Namespace, Match) error { return nil }

// eventually waits for something that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not come about: %s", what)
		}
	}
}

// uses returns how many pins and sockets a namespace has.
func uses(ns *Namespace) int {
	ns.reg.mu.Lock()
	defer ns.reg.mu.Unlock()
	return ns.uses
}

// receive takes a value that has to come.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// testContext is the context of a test's calls that have to end by themselves.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// logBuffer keeps what is logged, from debug level on.
type logBuffer struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
