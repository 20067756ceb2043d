package node_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/dynamicio/dynamicio/e2e/leaktest"
	"github.com/dynamicio/dynamicio/node"
)

// patience is how long a test waits for what has to come. Within a synctest
// bubble it passes at once when nothing can come any more.
const patience = time.Minute

func TestMain(m *testing.M) { leaktest.Main(m) }

// testServer is a node that listens: on a loopback port, or within a synctest
// bubble on pipes, so that all its time is fake.
type testServer struct {
	*node.Server
	t    testing.TB
	addr string // host:port, and the Host header of clients that set none
	dial func() (net.Conn, error)
}

// start runs a node on a free loopback port until the test ends.
func start(t testing.TB, opts node.Options) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	return serve(t, opts, l, addr, func() (net.Conn, error) { return net.Dial("tcp", addr) })
}

// startInBubble runs a node without a network, for tests with fake time.
func startInBubble(t testing.TB, opts node.Options) *testServer {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	return serve(t, opts, l, "127.0.0.1:1", l.dial)
}

func serve(t testing.TB, opts node.Options, l net.Listener, addr string, dial func() (net.Conn, error)) *testServer {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	srv, err := node.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: srv, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	served := make(chan struct{})
	go func() { // ends with h.Close
		defer close(served)
		_ = h.Serve(l)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		_ = h.Close()
		<-served
	})
	return &testServer{Server: srv, t: t, addr: addr, dial: dial}
}

// pipeListener accepts in-memory connections.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// how says how a test client connects. The zero value is a WebSocket client of
// protocol 4 that answers heartbeats.
type how struct {
	host    string // Host header; empty: the server's address
	header  http.Header
	query   url.Values
	eio     string // default "4"
	polling bool
	silent  bool // does not answer heartbeats
}

func (h how) url(s *testServer, transport string) *url.URL {
	q := url.Values{"EIO": {"4"}, "transport": {transport}}
	if h.eio != "" {
		q.Set("EIO", h.eio)
	}
	for k, v := range h.query {
		q[k] = v
	}
	return &url.URL{Scheme: "http", Host: s.addr, Path: "/socket.io/", RawQuery: q.Encode()}
}

// client is one raw Socket.IO client. What it receives are Socket.IO packets
// as they stand on the wire, without Engine.IO's "4"; a binary attachment is
// its bytes behind a NUL.
type client struct {
	*link
	t    testing.TB
	srv  *testServer
	how  how
	sid  string      // of the Engine.IO session
	in   chan string // received
	mu   sync.Mutex  // guards writes
	http *http.Client
}

// link is what has to be ended of a client. It stands apart so that the test,
// which ends it, does not hold what the client has received.
type link struct {
	closed chan struct{} // the server ended the connection, or close was called
	conn   net.Conn      // nil over polling
	once   sync.Once
}

// connect opens a connection; it joins no namespace.
func (s *testServer) connect(h how) *client {
	s.t.Helper()
	l := &link{closed: make(chan struct{})}
	c := &client{link: l, t: s.t, srv: s, how: h, in: make(chan string, 4096)}
	var open string
	var loop func()
	if h.polling {
		open, loop = c.dialPolling()
	} else {
		open, loop = c.dialWebSocket()
	}
	_, c.sid, _ = strings.Cut(open, `"sid":"`)
	c.sid, _, _ = strings.Cut(c.sid, `"`)
	if open == "" || open[0] != '0' || c.sid == "" {
		s.t.Fatalf("open packet is %q", open)
	}
	done := make(chan struct{})
	go func() { // ends with the connection
		defer close(done)
		loop()
		c.end()
	}()
	s.t.Cleanup(func() { l.close(); <-done })
	return c
}

func (c *client) dialWebSocket() (open string, loop func()) {
	c.t.Helper()
	conn, r := c.upgrade(c.how.url(c.srv, "websocket"))
	c.conn = conn
	rw := struct {
		io.Reader
		io.Writer
	}{r, conn}
	first, _, err := wsutil.ReadServerData(rw)
	if err != nil {
		c.t.Fatalf("open packet: %v", err)
	}
	return string(first), func() {
		for {
			data, op, err := wsutil.ReadServerData(rw)
			switch {
			case err != nil:
				_ = conn.Close()
				return
			case op == ws.OpText:
				c.packet(string(data))
			case op == ws.OpBinary:
				c.in <- "\x00" + string(data)
			}
		}
	}
}

// upgrade makes the WebSocket handshake.
func (c *client) upgrade(u *url.URL) (net.Conn, io.Reader) {
	c.t.Helper()
	d := ws.Dialer{
		Host:    c.how.host,
		Header:  ws.HandshakeHeaderHTTP(c.how.header),
		NetDial: func(context.Context, string, string) (net.Conn, error) { return c.srv.dial() },
	}
	ws := *u
	ws.Scheme = "ws"
	conn, br, _, err := d.Dial(context.Background(), ws.String())
	if err != nil {
		c.t.Fatalf("WebSocket handshake: %v", err)
	}
	if br == nil {
		br = bufio.NewReader(conn)
	}
	return conn, br
}

func (c *client) dialPolling() (open string, loop func()) {
	c.t.Helper()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c.srv.dial() }}
	c.http = &http.Client{Transport: tr}
	code, open := c.request(http.MethodGet, "")
	if code != http.StatusOK {
		c.t.Fatalf("handshake: %d %s", code, open)
	}
	return open, func() {
		defer tr.CloseIdleConnections()
		for {
			code, body := c.request(http.MethodGet, "")
			if code != http.StatusOK {
				return
			}
			for p := range strings.SplitSeq(body, "\x1e") {
				if p == "1" {
					return
				}
				c.packet(p)
			}
		}
	}
}

// request is one request of the polling transport; its code is 0 if it failed.
func (c *client) request(method, body string) (code int, answer string) {
	u := c.how.url(c.srv, "polling")
	if c.sid != "" {
		u.RawQuery += "&sid=" + c.sid
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the request
		select {
		case <-c.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	r.Host = c.how.host
	for k, v := range c.how.header {
		r.Header[k] = v
	}
	res, err := c.http.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// packet takes an Engine.IO packet.
func (c *client) packet(p string) {
	switch {
	case p == "2":
		if !c.how.silent {
			_ = c.write("3")
		}
	case strings.HasPrefix(p, "4"):
		c.in <- p[1:]
	case strings.HasPrefix(p, "b"):
		b, err := base64.StdEncoding.DecodeString(p[1:])
		if err != nil {
			b = []byte(err.Error())
		}
		c.in <- "\x00" + string(b)
	}
}

var errGone = errors.New("connection is closed")

// write sends Engine.IO packets, in one piece.
func (c *client) write(packets ...string) error {
	if c.how.polling {
		packets = slices.Clone(packets)
		for i, p := range packets {
			if b, ok := strings.CutPrefix(p, "\x00"); ok {
				packets[i] = "b" + base64.StdEncoding.EncodeToString([]byte(b))
			}
		}
		code, answer := c.request(http.MethodPost, strings.Join(packets, "\x1e"))
		if code != http.StatusOK {
			return fmt.Errorf("%w: POST: %d %s", errGone, code, answer)
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var b []byte
	for _, p := range packets {
		f := ws.NewTextFrame([]byte(p))
		if strings.HasPrefix(p, "\x00") {
			f = ws.NewBinaryFrame([]byte(p[1:]))
		}
		b = append(b, ws.MustCompileFrame(ws.MaskFrameInPlace(f))...)
	}
	_, err := c.conn.Write(b)
	return err
}

// send sends Socket.IO packets, and attachments as they are received.
func (c *client) send(packets ...string) {
	c.t.Helper()
	if err := c.write(engine(packets)...); err != nil {
		c.t.Fatalf("send %q: %v", packets, err)
	}
}

// engine makes Engine.IO packets of Socket.IO packets and attachments.
func engine(packets []string) []string {
	all := make([]string, len(packets))
	for i, p := range packets {
		if all[i] = p; !strings.HasPrefix(p, "\x00") {
			all[i] = "4" + p
		}
	}
	return all
}

// next returns what is received next.
func (c *client) next() string {
	c.t.Helper()
	p, ok := c.receive()
	if !ok {
		c.t.Fatal(p)
	}
	return p
}

// receive is next for goroutines other than the test's own: it says what went
// wrong instead of ending the test.
func (c *client) receive() (p string, ok bool) {
	select {
	case p := <-c.in:
		return p, true
	case <-c.closed:
		select {
		case p := <-c.in: // it came just before
			return p, true
		default:
			return "connection closed while waiting for a packet", false
		}
	case <-time.After(patience):
		return "nothing received", false
	}
}

// want receives packets and compares them.
func (c *client) want(packets ...string) {
	c.t.Helper()
	for _, want := range packets {
		if got := c.next(); got != want {
			c.t.Fatalf("received %q, want %q", got, want)
		}
	}
}

// rest returns what has been sent to the client by now. It asks for what every
// server refuses at once; all that was queued before comes before the refusal.
func (c *client) rest() []string {
	c.t.Helper()
	c.send("0//fence,")
	var all []string
	for {
		p := c.next()
		if strings.HasPrefix(p, "4//fence,") {
			return all
		}
		all = append(all, p)
	}
}

// wantNothing fails if anything has been sent to the client.
func (c *client) wantNothing() {
	c.t.Helper()
	if got := c.rest(); len(got) > 0 {
		c.t.Fatalf("received %q, want nothing", got)
	}
}

// in returns what stands before the JSON of a packet: type, namespace.
func at(kind, namespace string) string {
	if namespace == "/" {
		return kind
	}
	return kind + namespace + ","
}

// join joins a namespace and returns the socket's id.
func (c *client) join(namespace string) string {
	c.t.Helper()
	return c.joinWith(namespace, "")
}

// joinWith is join with what the client presents.
func (c *client) joinWith(namespace, auth string) string {
	c.t.Helper()
	c.send(at("0", namespace) + auth)
	p := c.next()
	id, isAnswer := strings.CutPrefix(p, at("0", namespace)+`{"sid":"`)
	id, isWhole := strings.CutSuffix(id, `"}`)
	if !isAnswer || !isWhole || id == "" {
		c.t.Fatalf("CONNECT to %s was answered with %q", namespace, p)
	}
	return id
}

// refused asks for a namespace and returns the JSON of the refusal.
func (c *client) refused(namespace string) string {
	c.t.Helper()
	c.send(at("0", namespace))
	p := c.next()
	why, ok := strings.CutPrefix(p, at("4", namespace))
	if !ok {
		c.t.Fatalf("CONNECT to %s was answered with %q, want a refusal", namespace, p)
	}
	return why
}

// leave leaves a namespace.
func (c *client) leave(namespace string) {
	c.t.Helper()
	c.send(at("1", namespace))
}

func (l *link) end() { l.once.Do(func() { close(l.closed) }) }

// close cuts the connection, without a word.
func (l *link) close() {
	l.end()
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// wantClosed waits until the server ends the connection.
func (c *client) wantClosed() {
	c.t.Helper()
	select {
	case <-c.closed:
	case <-time.After(patience):
		c.t.Fatal("the connection is still open")
	}
}
