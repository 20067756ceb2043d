package engineio

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

func TestPolling_Handshake(t *testing.T) {
	h := listen(t, Options{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond})
	a := h.do("GET", "EIO=4&transport=polling", "")
	p := h.peer()
	check(t, "status", a.status, 200)
	check(t, "body", a.body, fmt.Sprintf(`0{"sid":"%s","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}`, p.ID()))
	check(t, "content type", a.header.Get("Content-Type"), "text/plain; charset=UTF-8")
	check(t, "cache", a.header.Get("Cache-Control"), "no-store")
	check(t, "transport", p.Transport(), "polling")
	check(t, "protocol", p.Protocol(), 4)
	if host, _, err := net.SplitHostPort(p.RemoteAddr()); err != nil || host != "127.0.0.1" {
		t.Errorf("RemoteAddr %q", p.RemoteAddr())
	}
}

// What the handler sends within Accept is not in the handshake answer, where
// nothing may follow the open packet, but is the first thing after it.
func TestPolling_AcceptMaySend(t *testing.T) {
	h := listen(t, Options{})
	h.setup = func(p *peer) { p.text("first") }
	p := h.polling()
	check(t, "GET", p.get().body, "4first")
}

func TestPolling_Messages(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	a := p.post("4hello\x1ebAQIDBA==\x1e4€")
	check(t, "POST", fmt.Sprint(a.status, a.body, a.header.Get("Content-Type")), "200oktext/html")
	for _, want := range []message{{"hello", false}, {"\x01\x02\x03\x04", true}, {"€", false}} {
		check(t, "received", receive(t, p.got), want)
	}
	p.text("a")
	p.Send(frame.New(frame.Part{Data: []byte("b")}, frame.Part{Data: []byte{1, 2, 3, 4}, Binary: true}), frame.Flags{})
	p.text("c")
	check(t, "GET", p.get().body, "4a\x1e4b\x1ebAQIDBA==\x1e4c")

	pending := p.goGet()
	p.waitGet()
	p.text("later")
	check(t, "pending GET", receive(t, pending).body, "4later")
}

func TestPolling_Revision3(t *testing.T) {
	h := listen(t, Options{AllowEIO3: true})
	parts := frame.New(frame.Part{Data: []byte("é😀")}, frame.Part{Data: []byte{1, 2, 3, 4}, Binary: true})

	p := h.polling3("&b64=1")
	check(t, "protocol", p.Protocol(), 3)
	check(t, "POST", p.post("3:4😀10:b4AQIDBA==").body, "ok")
	check(t, "text", receive(t, p.got), message{"😀", false})
	check(t, "binary", receive(t, p.got), message{"\x01\x02\x03\x04", true})
	p.Send(parts, frame.Flags{})
	check(t, "base64", p.get().body, "4:4é😀10:b4AQIDBA==")

	p = h.polling3("")
	r, _ := http.NewRequest("POST", h.url(p.query()), strings.NewReader("\x00\x03\xff4é\x01\x03\xff\x04\x01\x02"))
	r.Header.Set("Content-Type", "application/octet-stream")
	if a, err := do(r); err != nil || a.body != "ok" {
		t.Fatal(a, err)
	}
	check(t, "text", receive(t, p.got), message{"é", false})
	check(t, "binary", receive(t, p.got), message{"\x01\x02", true})
	p.text("only text")
	check(t, "text alone", p.get().body, "10:4only text")
	p.Send(parts, frame.Flags{})
	a := p.get()
	check(t, "binary framing", fmt.Sprintf("%q", a.body), fmt.Sprintf("%q", "\x00\x07\xff4é😀\x01\x05\xff\x04\x01\x02\x03\x04"))
	check(t, "content type", a.header.Get("Content-Type"), "application/octet-stream")
	check(t, "ping", p.post("1:2").body, "ok")
	check(t, "pong", p.get().body, "1:3")
}

func TestPolling_MalformedBodyEndsTheSession(t *testing.T) {
	h := listen(t, Options{})
	for _, body := range []string{"abc", "", "4ok\x1e9", "4\xff"} {
		p := h.polling()
		check(t, "POST", p.post(body).status, 400)
		check(t, "reason", receive(t, p.closed), ReasonParseError)
		check(t, "GET", p.get().status, 400)
	}
	p := h.polling()
	check(t, "v4 ping", p.post("2").status, 400)
	check(t, "reason", receive(t, p.closed), ReasonTransportError)
}

func TestPolling_SecondGetEndsTheSession(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	first := p.goGet()
	p.waitGet()
	check(t, "second", p.get().status, 400)
	a := receive(t, first)
	check(t, "first", fmt.Sprint(a.status, a.body), "2001")
	check(t, "reason", receive(t, p.closed), ReasonTransportError)
	check(t, "third", p.get().body, `{"code":1,"message":"Session ID unknown"}`)
}

func TestPolling_SecondPostEndsTheSession(t *testing.T) {
	h := listen(t, Options{})
	inside, leave := make(chan struct{}), make(chan struct{})
	h.setup = func(p *peer) {
		p.receive = func([]byte, bool) error { close(inside); <-leave; return nil }
	}
	p := h.polling()
	first := p.goPost("4a\x1e4never")
	receive(t, inside)
	check(t, "second", p.post("4b").status, 400)
	check(t, "reason", receive(t, p.closed), ReasonTransportError)
	close(leave) // a Receive of "never" would close inside again, and panic
	receive(t, first)
	check(t, "GET", p.get().status, 400)
}

// A POST whose body never comes is ended with the session.
func TestPolling_StuckBodyIsCutOff(t *testing.T) {
	h := listen(t, Options{PingInterval: 30 * time.Millisecond, PingTimeout: 30 * time.Millisecond})
	p := h.polling()
	conn, err := net.Dial("tcp", h.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /socket.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4h", p.query())
	check(t, "reason", receive(t, p.closed), ReasonPingTimeout)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 12)
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != "HTTP/1.1 400" {
		t.Errorf("answer %q, %v", b, err)
	}
}

func TestPolling_CancelledGetEndsTheSession(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	ctx, cancel := context.WithCancel(context.Background())
	r, _ := http.NewRequestWithContext(ctx, "GET", h.url(p.query()), nil)
	done := make(chan error)
	go func() { _, err := do(r); done <- err }()
	p.waitGet()
	cancel()
	<-done
	// At once, without waiting: it looks like a second GET, or finds no session.
	check(t, "next GET", p.get().status, 400)
	check(t, "reason", receive(t, p.closed), ReasonTransportError)
}

// The client's POST of a close packet answers its pending GET with a noop; if
// it overtook the GET, that one is still answered, once. PROTOCOL: race b.
func TestPolling_ClientCloses(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	pending := p.goGet()
	p.waitGet()
	check(t, "POST", p.post("1").body, "ok")
	check(t, "pending GET", receive(t, pending).body, "6")
	check(t, "reason", receive(t, p.closed), ReasonTransportClose)
	check(t, "later GET", p.get().status, 400)

	p = h.polling()
	check(t, "POST", p.post("1").body, "ok")
	check(t, "overtaken GET", p.get().body, "6")
	check(t, "later GET", p.get().status, 400)
	check(t, "reason", receive(t, p.closed), ReasonTransportClose)
}

// What was sent before Close reaches the client, by the GET that waits or by
// the next one.
func TestPolling_CloseFlushes(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	p.text("last words")
	p.Close("because")
	check(t, "sent after", p.text("too late"), false)
	check(t, "reason", receive(t, p.closed), "because")
	// Not in one body: the JavaScript client would see its transport close
	// before it looks at the words.
	check(t, "GET", p.get().body, "4last words")
	check(t, "GET", p.get().body, "1")
	check(t, "GET", p.get().status, 400)

	p = h.polling()
	pending := p.goGet()
	p.waitGet()
	p.Close(ReasonForcedClose)
	check(t, "pending GET", receive(t, pending).body, "1")
	check(t, "GET", p.get().status, 400)
}

// A session that was closed and never asked again does not stay.
func TestPolling_ClosedSessionIsForgotten(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	p.Close(ReasonForcedClose)
	h.eventually("an empty table", func() bool {
		for range h.Conns() {
			return false
		}
		return true
	})
}

func TestPolling_TooLarge(t *testing.T) {
	h := listen(t, Options{MaxPayload: 100})
	p := h.polling()
	check(t, "at the bound", p.post("4"+strings.Repeat("x", 99)).status, 200)
	a := p.post("4" + strings.Repeat("x", 100))
	check(t, "beyond", a.status, 413)
	check(t, "counted", h.Stats().Refused["payload too large"], 1)

	r, _ := http.NewRequest("POST", h.url(p.query()), struct{ *strings.Reader }{strings.NewReader("4" + strings.Repeat("x", 5000))})
	r.ContentLength = -1 // chunked: the size is not announced
	a, err := do(r)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "chunked", a.status, 413)
	receive(t, p.got)
	select {
	case m := <-p.got:
		t.Errorf("received %v", m)
	default:
	}
}

// Volatile messages go only to a GET that waits with nothing before them.
func TestPolling_VolatileIsDropped(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	check(t, "without a GET", p.Send(frame.Text([]byte("v")), frame.Flags{Volatile: true}), false)
	pending := p.goGet()
	p.waitGet()
	check(t, "with one", p.Send(frame.Text([]byte("w")), frame.Flags{Volatile: true}), true)
	check(t, "GET", receive(t, pending).body, "4w")
	check(t, "dropped", h.Stats().VolatileDropped, 1)
}

// The order of many messages survives any cutting into GETs.
func TestPolling_Order(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	const n = 2000
	go func() {
		for i := range n {
			p.text(fmt.Sprint(i))
		}
	}()
	for next := 0; next < n; {
		for one := range strings.SplitSeq(p.get().body, "\x1e") {
			if one != fmt.Sprint("4", next) {
				t.Fatalf("got %q, want message %d", one, next)
			}
			next++
		}
	}
}
