package engineio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

func TestWebSocket_Messages(t *testing.T) {
	h := listen(t, Options{AllowEIO3: true})
	c, p := h.socket()
	check(t, "transport", p.Transport(), "websocket")
	c.write("4hello")
	c.frame(ws.NewBinaryFrame([]byte{1, 2}))
	c.write("bAQI=")
	for _, want := range []message{{"hello", false}, {"\x01\x02", true}, {"\x01\x02", true}} {
		check(t, "received", receive(t, p.got), want)
	}
	parts := frame.New(frame.Part{Data: []byte("x")}, frame.Part{Data: []byte{4, 5}, Binary: true})
	p.Send(parts, frame.Flags{})
	check(t, "text", c.read(), "4x")
	check(t, "binary", c.read(), "\x04\x05")

	for query, want := range map[string]string{"": "\x04\x04\x05", "&b64=1": "b4BAU="} {
		c = h.dial("EIO=3&transport=websocket" + query)
		c.read()
		p = h.peer()
		p.Send(parts, frame.Flags{})
		check(t, "text", c.read(), "4x")
		check(t, "revision 3 binary", c.read(), want)
		c.frame(ws.NewBinaryFrame([]byte{4, 9}))
		check(t, "received", receive(t, p.got), message{"\x09", true})
		c.write("2")
		check(t, "pong", c.read(), "3")
	}
}

// What a client sends in the same segment as its handshake is not lost.
func TestWebSocket_EarlyFrames(t *testing.T) {
	h := listen(t, Options{})
	conn, err := net.Dial("tcp", h.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var b bytes.Buffer
	b.WriteString("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	for i := range 100 { // more than a pooled buffer holds of this size
		_ = ws.WriteFrame(&b, ws.MaskFrame(ws.NewTextFrame([]byte(fmt.Sprint("4", i)))))
	}
	if _, err := conn.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	p := h.peer()
	for i := range 100 {
		check(t, "received", receive(t, p.got).data, fmt.Sprint(i))
	}
}

func TestWebSocket_FragmentsAndControl(t *testing.T) {
	h := listen(t, Options{MaxPayload: 20})
	c, p := h.socket()
	c.frame(ws.NewFrame(ws.OpText, false, []byte("4he")))
	c.frame(ws.NewPingFrame([]byte("are you there")))
	c.frame(ws.NewFrame(ws.OpContinuation, false, []byte("llo ")))
	c.frame(ws.NewPongFrame(nil))
	c.frame(ws.NewFrame(ws.OpContinuation, true, []byte("world")))
	check(t, "received", receive(t, p.got).data, "hello world")
	f, err := c.next()
	if err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "are you there" {
		t.Errorf("answer to the ping: %+v, %v", f, err)
	}
	c.frame(ws.NewFrame(ws.OpText, false, []byte("4")))
	c.frame(ws.NewFrame(ws.OpContinuation, false, bytes.Repeat([]byte("x"), 15)))
	c.frame(ws.NewFrame(ws.OpContinuation, true, bytes.Repeat([]byte("x"), 5)))
	check(t, "fragments beyond the bound", c.readClose(), ws.StatusMessageTooBig)
	check(t, "reason", receive(t, p.closed), ReasonTransportError)
}

// Each violation costs the client its connection, with the status of RFC 6455.
func TestWebSocket_Violations(t *testing.T) {
	h := listen(t, Options{MaxPayload: 1000})
	text := func(s string) ws.Frame { return ws.MaskFrame(ws.NewTextFrame([]byte(s))) }
	with := func(f ws.Frame, change func(*ws.Header)) ws.Frame { change(&f.Header); return f }
	for name, c := range map[string]struct {
		frame  ws.Frame
		status ws.StatusCode
		reason string
	}{
		"not masked":           {ws.NewTextFrame([]byte("4x")), ws.StatusProtocolError, ReasonTransportError},
		"reserved bit":         {with(text("4x"), func(h *ws.Header) { h.Rsv = ws.Rsv(true, false, false) }), ws.StatusProtocolError, ReasonTransportError},
		"reserved opcode":      {with(text("4x"), func(h *ws.Header) { h.OpCode = 3 }), ws.StatusProtocolError, ReasonTransportError},
		"stray continuation":   {with(text("4x"), func(h *ws.Header) { h.OpCode = ws.OpContinuation }), ws.StatusProtocolError, ReasonTransportError},
		"fragmented ping":      {with(text("4x"), func(h *ws.Header) { h.OpCode, h.Fin = ws.OpPing, false }), ws.StatusProtocolError, ReasonTransportError},
		"large ping":           {ws.MaskFrame(ws.NewPingFrame(make([]byte, 126))), ws.StatusProtocolError, ReasonTransportError},
		"announced too large":  {with(text(""), func(h *ws.Header) { h.Length = 1 << 40 }), ws.StatusMessageTooBig, ReasonTransportError},
		"text not UTF-8":       {text("4\xff"), ws.StatusInvalidFramePayloadData, ReasonTransportError},
		"no packet":            {text("abc"), ws.StatusProtocolError, ReasonParseError},
		"empty":                {text(""), ws.StatusProtocolError, ReasonParseError},
		"ping in revision 4":   {text("2"), ws.StatusProtocolError, ReasonTransportError},
		"close packet":         {text("1"), ws.StatusNormalClosure, ReasonTransportClose},
		"close frame":          {ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, ""))), ws.StatusGoingAway, ReasonTransportClose},
		"close frame, empty":   {ws.MaskFrame(ws.NewCloseFrame(nil)), ws.StatusNormalClosure, ReasonTransportClose},
		"close frame, illegal": {ws.MaskFrame(ws.NewCloseFrame([]byte{3, 237})), ws.StatusProtocolError, ReasonTransportClose},
	} {
		client, p := h.socket()
		if err := ws.WriteHeader(client.conn, c.frame.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := client.conn.Write(c.frame.Payload); err != nil {
			t.Fatal(err)
		}
		check(t, name+": status", client.readClose(), c.status)
		check(t, name+": reason", receive(t, p.closed), c.reason)
	}
}

func TestWebSocket_GoneClient(t *testing.T) {
	h := listen(t, Options{})
	c, p := h.socket()
	c.conn.Close()
	check(t, "reason", receive(t, p.closed), ReasonTransportClose)

	c, p = h.socket()
	_ = c.conn.(*net.TCPConn).SetLinger(0) // reset instead of farewell
	c.conn.Close()
	check(t, "reason", receive(t, p.closed), ReasonTransportClose)
	check(t, "sent after", p.text("x"), false)
}

// What was sent before Close arrives, then the close frame, even if the client
// is sending all the while.
func TestWebSocket_CloseFlushes(t *testing.T) {
	h := listen(t, Options{})
	c, p := h.socket()
	// Much of it is still in the server's send buffer when that closes.
	_ = c.conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	stop := make(chan struct{})
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if ws.WriteFrame(c.conn, ws.MaskFrame(ws.NewTextFrame([]byte("4flood")))) != nil {
				return
			}
		}
	}()
	receive(t, p.got)
	large := strings.Repeat("x", 100_000)
	for i := range 10 {
		p.text(fmt.Sprint(i, large))
	}
	p.Close("because")
	for i := range 10 {
		check(t, "message", c.read()[1:2], i)
	}
	check(t, "status", c.readClose(), ws.StatusNormalClosure)
	close(stop)
	<-flood
	check(t, "reason", receive(t, p.closed), "because")
}

// A client that does not answer the close frame is cut off.
func TestWebSocket_CloseDoesNotWaitForTheClient(t *testing.T) {
	h := listen(t, Options{})
	_, p := h.socket()
	p.Close(ReasonForcedClose)
	check(t, "reason", receive(t, p.closed), ReasonForcedClose)
	h.eventually("the end of the session", func() bool {
		h.mu.RLock()
		defer h.mu.RUnlock()
		return h.active == 0
	})
}

// A connection that cannot be waited on without a buffer works all the same.
func TestWebSocket_OverTLS(t *testing.T) {
	h := newHost(t, Options{})
	web := httptest.NewTLSServer(h.Server)
	defer web.Close()
	defer h.shut()
	d := ws.Dialer{TLSConfig: web.Client().Transport.(*http.Transport).TLSClientConfig}
	conn, br, _, err := d.Dial(context.Background(), "wss"+strings.TrimPrefix(web.URL, "https")+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &wsClient{t: t, conn: conn, br: conn}
	if br != nil {
		c.br = br
	}
	c.read()
	p := h.peer()
	large := strings.Repeat("x", 100_000)
	for i := range 20 {
		c.write(fmt.Sprint("4", i))
		check(t, "received", receive(t, p.got).data, i)
		p.text(large)
		check(t, "length", len(c.read()), 1+len(large))
	}
	p.Close(ReasonForcedClose)
	check(t, "status", c.readClose(), ws.StatusNormalClosure)
	check(t, "reason", receive(t, p.closed), ReasonForcedClose)
	conn.Close()
}

// readConn is a connection that only reads.
type readConn struct {
	net.Conn
	io.Reader
}

func (c readConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// dribble gives one byte at a time.
type dribble struct{ r io.Reader }

func (d dribble) Read(p []byte) (int, error) { return d.r.Read(p[:min(1, len(p))]) }

// However the bytes arrive, the reader gives the same messages, stays within
// the bound, and ends with an error instead of a panic.
func FuzzSocket(f *testing.F) {
	seed := func(frames ...ws.Frame) []byte {
		var b bytes.Buffer
		for _, fr := range frames {
			_ = ws.WriteFrame(&b, ws.MaskFrameInPlaceWith(fr, [4]byte{1, 2, 3, 4}))
		}
		return b.Bytes()
	}
	f.Add(seed(ws.NewTextFrame([]byte("4hello")), ws.NewBinaryFrame(make([]byte, 200)), ws.NewCloseFrame(nil)), 3, true)
	f.Add(seed(ws.NewFrame(ws.OpText, false, []byte("4")), ws.NewPingFrame([]byte("p")), ws.NewFrame(ws.OpContinuation, true, []byte("x"))), 1, false)
	f.Add(seed(ws.Frame{Header: ws.Header{Fin: true, Rsv: ws.Rsv(true, false, false), OpCode: ws.OpText, Length: 3}, Payload: deflated([]byte("4"))}), 0, true)
	f.Add([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, false)
	f.Fuzz(func(t *testing.T, data []byte, early int, deflate bool) {
		const bound = 1000
		read := func(r io.Reader, early []byte) (out []string, err error) {
			s := newSocket(readConn{Reader: r}, early, bound, deflate)
			for {
				op, p, err := s.next()
				if err != nil {
					return out, err
				}
				if len(p) > bound {
					t.Fatalf("%d bytes, bound is %d", len(p), bound)
				}
				out = append(out, fmt.Sprint(op, string(p)))
			}
		}
		early = max(0, min(early, len(data)))
		one, err1 := read(bytes.NewReader(data), nil)
		two, err2 := read(dribble{bytes.NewReader(data[early:])}, data[:early])
		if fmt.Sprint(one) != fmt.Sprint(two) {
			t.Fatalf("%q and %q", one, two)
		}
		var v1, v2 *socketError
		if errors.As(err1, &v1) != errors.As(err2, &v2) || v1 != nil && v1.status != v2.status {
			t.Fatalf("%v and %v", err1, err2)
		}
	})
}

// A client that goes while Receive blocks, so that nobody reads its end, is
// found gone by the pings that go on; otherwise a handler that waits for the end
// would wait for ever.
func TestWebSocket_FindsTheDeadBehindABlockedReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{})
		h.setup = func(p *peer) {
			p.receive = func(data []byte, _ bool) error {
				p.got <- message{string(data), false}
				p.closed <- <-p.closed // until the end, which the test wants to see, too
				return nil
			}
		}
		c, p := h.pipeSocket("EIO=4&transport=websocket")
		c.write("4wait")
		check(t, "received", receive(t, p.got).data, "wait")
		c.conn.Close()
		reason := <-p.closed
		check(t, "a reason of the transport", strings.HasPrefix(reason, "transport "), true)
		p.closed <- reason
		h.shut()
	})
}
