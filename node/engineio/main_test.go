package engineio

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/dynamicio/dynamicio/e2e/leaktest"
	"github.com/dynamicio/dynamicio/namespace/frame"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience is how long a test waits for what must happen. What must not
// happen is shown by order, or in a synctest bubble.
const patience = time.Minute

// message is what a handler received.
type message struct {
	data   string
	binary bool
}

// peer is the server's side of a session in a test.
type peer struct {
	*Conn
	got     chan message
	closed  chan string
	receive func(data []byte, binary bool) error // instead of got
}

func (p *peer) Receive(data []byte, binary bool) error {
	if p.receive != nil {
		return p.receive(data, binary)
	}
	p.got <- message{string(data), binary}
	return nil
}

func (p *peer) Closed(reason string) { p.closed <- reason }

func (p *peer) text(s string) bool { return p.Send(frame.Text([]byte(s)), frame.Flags{}) }

// host is a server in a test, with the sessions it accepted.
type host struct {
	*Server
	t     *testing.T
	web   *httptest.Server
	peers chan *peer
	setup func(p *peer) // called within Accept
}

// newHost makes a server without a network.
func newHost(t *testing.T, o Options) *host {
	t.Helper()
	h := &host{t: t, peers: make(chan *peer, 10_000)}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := New(o, func(c *Conn, r *http.Request) (Handler, error) {
		p := &peer{Conn: c, got: make(chan message, 10_000), closed: make(chan string, 2)}
		if h.setup != nil {
			h.setup(p)
		}
		h.peers <- p
		return p, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Server = s
	return h
}

// listen makes a server on a port of its own, ended with the test.
func listen(t *testing.T, o Options) *host {
	t.Helper()
	h := newHost(t, o)
	h.web = httptest.NewServer(h.Server)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Errorf("Close: %v, %d sessions still active", err, h.active)
		}
		http.DefaultClient.CloseIdleConnections()
		h.web.Close()
	})
	return h
}

func (h *host) peer() *peer { return receive(h.t, h.peers) }

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// url returns the address of a request, for "EIO=4&transport=polling" or so.
func (h *host) url(query string) string { return h.web.URL + "/socket.io/?" + query }

// answer is an HTTP answer, read to its end.
type answer struct {
	status int
	body   string
	header http.Header
}

func do(r *http.Request) (answer, error) {
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, string(body), res.Header}, err
}

func (h *host) do(method, query, body string) answer {
	h.t.Helper()
	r, err := http.NewRequest(method, h.url(query), strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	a, err := do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

// poller is a client on long polling.
type poller struct {
	h   *host
	eio string
	sid string
	*peer
}

type openData struct {
	SID          string
	Upgrades     []string
	PingInterval int64
	PingTimeout  int64
	MaxPayload   int64
}

// polling opens a session on polling.
func (h *host) polling() *poller {
	h.t.Helper()
	a := h.do("GET", "EIO=4&transport=polling", "")
	var open openData
	if a.status != 200 || !strings.HasPrefix(a.body, "0") || json.Unmarshal([]byte(a.body[1:]), &open) != nil {
		h.t.Fatalf("handshake: %d %s", a.status, a.body)
	}
	return &poller{h, "4", open.SID, h.peer()}
}

// polling3 opens one of protocol revision 3.
func (h *host) polling3(extra string) *poller {
	h.t.Helper()
	a := h.do("GET", "EIO=3&transport=polling"+extra, "")
	_, packet, _ := strings.Cut(a.body, ":")
	var open openData
	if a.status != 200 || json.Unmarshal([]byte(packet[1:]), &open) != nil {
		h.t.Fatalf("handshake: %d %s", a.status, a.body)
	}
	return &poller{h, "3", open.SID, h.peer()}
}

func (p *poller) query() string                 { return "EIO=" + p.eio + "&transport=polling&sid=" + p.sid }
func (p *poller) get() answer                   { p.h.t.Helper(); return p.h.do("GET", p.query(), "") }
func (p *poller) post(body string) answer       { p.h.t.Helper(); return p.h.do("POST", p.query(), body) }
func (p *poller) goGet() <-chan answer          { return p.async("GET", "") }
func (p *poller) goPost(b string) <-chan answer { return p.async("POST", b) }

func (p *poller) async(method, body string) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		r, _ := http.NewRequest(method, p.h.url(p.query()), strings.NewReader(body))
		a, err := do(r)
		if err != nil {
			a.body = err.Error()
		}
		c <- a
	}()
	return c
}

// waitGet waits until the server holds a GET of the session.
func (p *poller) waitGet() {
	p.h.t.Helper()
	p.h.eventually("a pending GET", func() bool {
		p.Conn.mu.Lock()
		defer p.Conn.mu.Unlock()
		return p.Conn.poll != nil && p.Conn.poll.get != nil
	})
}

func (h *host) eventually(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("never came: %s", what)
		}
	}
}

// wsClient is a client's side of a WebSocket.
type wsClient struct {
	t    *testing.T
	conn net.Conn
	br   io.Reader
}

// dial opens a WebSocket; the query names the session, if any.
func (h *host) dial(query string) *wsClient {
	h.t.Helper()
	c, err := dialWS(h.web.Listener.Addr().String(), "/socket.io/?"+query, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	c.t = h.t
	h.t.Cleanup(func() { c.conn.Close() })
	return c
}

func dialWS(addr, path string, header http.Header) (*wsClient, error) {
	d := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header), Timeout: patience}
	conn, br, _, err := d.Dial(context.Background(), "ws://"+addr+path)
	if err != nil {
		return nil, err
	}
	c := &wsClient{conn: conn, br: conn}
	if br != nil {
		c.br = br
	}
	return c, nil
}

// socket opens a session on WebSocket, and reads its open packet.
func (h *host) socket() (*wsClient, *peer) {
	h.t.Helper()
	c := h.dial("EIO=4&transport=websocket")
	if m := c.read(); !strings.HasPrefix(m, `0{"sid":"`) {
		h.t.Fatalf("open packet: %q", m)
	}
	return c, h.peer()
}

func (c *wsClient) write(text string) { c.frame(ws.NewTextFrame([]byte(text))) }

func (c *wsClient) frame(f ws.Frame) {
	c.t.Helper()
	if err := ws.WriteFrame(c.conn, ws.MaskFrame(f)); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next frame.
func (c *wsClient) next() (ws.Frame, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	return readFrame(c.br)
}

func readFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return ws.Frame{}, err
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// read returns the payload of the next frame.
func (c *wsClient) read() string {
	c.t.Helper()
	f, err := c.next()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return string(f.Payload)
}

// readClose reads up to the close frame and returns its status, or 0 if the
// connection ends without one.
func (c *wsClient) readClose() ws.StatusCode {
	c.t.Helper()
	for {
		f, err := c.next()
		if err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				c.t.Fatal("the connection was not closed")
			}
			return 0
		}
		if f.Header.OpCode == ws.OpClose {
			status, _ := ws.ParseCloseFrameData(f.Payload)
			return status
		}
	}
}

// hijackable is a ResponseWriter over one end of a pipe, for handshakes without
// a network.
type hijackable struct {
	http.ResponseWriter
	conn net.Conn
}

func (w hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// pipeSocket opens a WebSocket session over a pipe, so that synctest's clock
// runs.
func (h *host) pipeSocket(query string) (*wsClient, *peer) {
	h.t.Helper()
	c := h.pipeProbe(query)
	f, err := readFrame(c.br) // without a deadline, which would be a timer
	if err != nil || f.Payload[0] != '0' {
		h.t.Fatalf("open packet: %q, %v", f.Payload, err)
	}
	return c, h.peer()
}

// pipeProbe completes a WebSocket handshake over a pipe.
func (h *host) pipeProbe(query string) *wsClient {
	h.t.Helper()
	server, client := net.Pipe()
	r := httptest.NewRequest("GET", "/socket.io/?"+query, nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-Websocket-Version", "13")
	r.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	done := make(chan struct{})
	go func() { defer close(done); h.ServeHTTP(hijackable{httptest.NewRecorder(), server}, r) }()
	br := bufio.NewReader(client)
	res, err := http.ReadResponse(br, r)
	if err != nil || res.StatusCode != 101 {
		h.t.Fatalf("handshake: %v %v", res, err)
	}
	<-done
	return &wsClient{t: h.t, conn: client, br: br}
}

// serve passes a request to the server without a network.
func (h *host) serve(method, query, body string) answer {
	return h.serveContext(context.Background(), method, query, body)
}

func (h *host) serveContext(ctx context.Context, method, query, body string) answer {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "/socket.io/?"+query, bytes.NewReader([]byte(body))).WithContext(ctx)
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Body.String(), w.Header()}
}

// serveFrom passes a GET to the server as one from that address.
func (h *host) serveFrom(addr, query string) answer {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/socket.io/?"+query, nil)
	r.RemoteAddr = addr
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Body.String(), w.Header()}
}

// open opens a polling session without a network.
func (h *host) open(query string) (sid string, p *peer) {
	h.t.Helper()
	a := h.serve("GET", query, "")
	_, rest, ok := strings.Cut(a.body, `"sid":"`)
	if a.status != 200 || !ok {
		h.t.Fatalf("handshake: %d %s", a.status, a.body)
	}
	sid, _, _ = strings.Cut(rest, `"`)
	return sid, h.peer()
}

func (h *host) shut() {
	h.t.Helper()
	if err := h.Close(context.Background()); err != nil {
		h.t.Error(err)
	}
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
