package engineio

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// unreadRequest sends a request over a connection of its own, whose answer nobody
// reads: its buffers are small, so that the server notices.
func (h *host) unreadRequest(method, query string) net.Conn {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.web.Listener.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(conn, "%s /socket.io/?%s HTTP/1.1\r\nHost: a\r\n\r\n", method, query)
	return conn
}

// idle waits until nothing works for any session.
func (h *host) idle() {
	h.t.Helper()
	h.eventually("the end of all sessions", func() bool { h.mu.RLock(); defer h.mu.RUnlock(); return h.active == 0 })
}

// What the server answers of itself counts like messages: a client that asks for
// pongs and reads nothing is too slow, and counted once.
func TestAbuse_PongsCountAgainstTheQueue(t *testing.T) {
	data := strings.Repeat("x", 9000)
	for name, flood := range map[string]func(h *host) *peer{
		"polling": func(h *host) *peer {
			p := h.polling3("")
			body := fmt.Sprintf("%d:2%s", len(data)+1, data)
			for p.post(body).status == 200 {
			}
			return p.peer
		},
		"websocket": func(h *host) *peer {
			c := h.dial("EIO=3&transport=websocket")
			p := h.peer()
			go func() {
				for ws.WriteFrame(c.conn, ws.MaskFrame(ws.NewTextFrame([]byte("2"+data)))) == nil {
				}
			}()
			return p
		},
		"websocket ping": func(h *host) *peer {
			c, p := h.socket()
			flood := bytes.Repeat(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame(make([]byte, 125)))), 100)
			go func() {
				for {
					if _, err := c.conn.Write(flood); err != nil {
						return
					}
				}
			}()
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := listen(t, Options{AllowEIO3: true, MaxQueue: 100_000, ControlsPerSecond: -1})
			p := flood(h)
			check(t, "reason", receive(t, p.closed), ReasonTransportError)
			h.idle()
			check(t, "counted", h.Stats().SlowClosed, 1)
		})
	}
}

// A GET whose answer is being written is a GET under way.
func TestAbuse_UnreadAnswer(t *testing.T) {
	h := listen(t, Options{MaxQueue: 64 << 20, MaxSessions: 1})
	p := h.polling()
	for range 8 {
		p.Send(frame.Text(make([]byte, 4<<20)), frame.Flags{})
	}
	h.unreadRequest("GET", p.query())
	h.eventually("an answer under way", func() bool {
		p.Conn.mu.Lock()
		defer p.Conn.mu.Unlock()
		return p.poll.answering != nil
	})
	check(t, "second GET", p.get().status, 400)
	check(t, "reason", receive(t, p.closed), ReasonTransportError)
	h.idle()
	h.polling() // the only place is free
}

// Nobody need interfere: an answer that is not read ends with the session.
func TestAbuse_UnreadAnswerHasADeadline(t *testing.T) {
	h := listen(t, Options{MaxQueue: 64 << 20, PingInterval: 100 * time.Millisecond, PingTimeout: 100 * time.Millisecond})
	p := h.polling()
	for range 8 {
		p.Send(frame.Text(make([]byte, 4<<20)), frame.Flags{})
	}
	h.unreadRequest("GET", p.query())
	receive(t, p.closed)
	h.idle()
}

// slowWriter is an answer that is not read before read is closed.
type slowWriter struct {
	*httptest.ResponseRecorder
	read chan struct{}
}

func (w slowWriter) Write(p []byte) (int, error) {
	<-w.read
	return w.ResponseRecorder.Write(p)
}

// A GET that comes while the last answer is on its way is the next one, if that
// is soon over: the client may have read all of it before the server notices.
func TestPolling_NextGetOvertakesTheEndOfTheLast(t *testing.T) {
	for took, want := range map[time.Duration]string{overlapGrace / 2: "4next", 2 * overlapGrace: `{"code":3,"message":"Bad request"}`} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t, Options{})
			sid, p := h.open("EIO=4&transport=polling")
			q := "EIO=4&transport=polling&sid=" + sid
			p.text("first")
			w := slowWriter{httptest.NewRecorder(), make(chan struct{})}
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				h.ServeHTTP(w, httptest.NewRequest("GET", "/socket.io/?"+q, nil))
			}()
			next := make(chan answer, 1)
			synctest.Wait()
			go func() { next <- h.serve("GET", q, "") }()
			time.Sleep(took)
			close(w.read)
			<-answered
			synctest.Wait()
			p.text("next")
			check(t, "first", w.Body.String(), "4first")
			check(t, fmt.Sprint("after ", took), (<-next).body, want)
			h.shut()
		})
	}
}

// A session ends when the client closes the connection of its POST while a
// handler is busy.
func TestAbuse_PostGoneWhileReceiveBlocks(t *testing.T) {
	h := listen(t, Options{})
	leave := make(chan struct{})
	inside := make(chan struct{})
	h.setup = func(p *peer) { p.receive = func([]byte, bool) error { close(inside); <-leave; return nil } }
	p := h.polling()
	conn, err := net.Dial("tcp", h.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /socket.io/?%s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n4a", p.query())
	receive(t, inside)
	conn.Close()
	check(t, "reason", receive(t, p.closed), ReasonTransportError)
	close(leave)
}

// Frames that bring nothing are bounded, whatever their kind.
func TestAbuse_ControlFlood(t *testing.T) {
	empty := func(op ws.OpCode) ws.Frame { return ws.Frame{Header: ws.Header{OpCode: op}} }
	for name, frames := range map[string][]ws.Frame{
		"empty fragments": {empty(ws.OpText), empty(ws.OpContinuation)},
		"pongs":           {ws.NewPongFrame(nil)},
		"noops":           {ws.NewTextFrame([]byte("6"))},
		"Engine.IO pongs": {ws.NewTextFrame([]byte("3"))},
	} {
		t.Run(name, func(t *testing.T) {
			h := listen(t, Options{ControlsPerSecond: 100})
			c, p := h.socket()
			go func() {
				for i := 0; ; i = min(i+1, len(frames)-1) {
					if ws.WriteFrame(c.conn, ws.MaskFrame(frames[i])) != nil {
						return
					}
				}
			}()
			check(t, "reason", receive(t, p.closed), ReasonTransportError)
			check(t, "counted", h.Stats().FloodClosed, 1)
		})
	}
	h := listen(t, Options{ControlsPerSecond: 100})
	p := h.polling()
	check(t, "POST", p.post(strings.Repeat("6\x1e", 200)+"6").status, 400)
	check(t, "counted", h.Stats().FloodClosed, 1)
}

// A message in many fragments that carry something is no flood.
func TestWebSocket_ManyFragments(t *testing.T) {
	h := listen(t, Options{ControlsPerSecond: 10})
	c, p := h.socket()
	part := bytes.Repeat([]byte("x"), 1000)
	c.frame(ws.NewFrame(ws.OpText, false, append([]byte("4"), part...)))
	for range 98 {
		c.frame(ws.NewFrame(ws.OpContinuation, false, part))
	}
	c.frame(ws.NewFrame(ws.OpContinuation, true, nil))
	check(t, "bytes", len(receive(t, p.got).data), 99_000)
}

func TestAbuse_SessionsOfAnAddress(t *testing.T) {
	h := newHost(t, Options{MaxSessionsPerAddress: 2})
	dial := func(addr string) int { return h.serveFrom(addr, "EIO=4&transport=polling").status }
	for addr, want := range map[string][]int{
		"192.0.2.1": {200, 200, 429}, "192.0.2.2": {200},
	} {
		for i, w := range want {
			check(t, addr, dial(fmt.Sprint(addr, ":", 1000+i)), w)
		}
	}
	check(t, "one network", fmt.Sprint(dial("[2001:db8::1]:1"), dial("[2001:db8::2]:1"), dial("[2001:db8::3]:1"), dial("[2001:db8:0:1::1]:1")), "200 200 429 200")
	check(t, "counted", h.Stats().Refused["too many sessions of an address"], 2)
	for c := range h.Conns() {
		c.end(ReasonForcedClose, endDead)
	}
	h.idle()
	check(t, "addresses kept", len(h.byAddr), 0)
	check(t, "again", dial("192.0.2.1:1"), 200)
	h.shut()
}

// Who asked for it is told of every refused request; the log has one line.
func TestServer_OnConnectionError(t *testing.T) {
	var log bytes.Buffer
	var got []string
	h := newHost(t, Options{
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		OnConnectionError: func(e *ConnectionError) {
			got = append(got, fmt.Sprintf("%d %d %s (%s) %s", e.Status, e.Code, e.Message, e.Reason, e.Request.URL.Query().Get("transport")))
			if len(got) == 2 {
				panic("in the hook")
			}
		},
	})
	h.serve("GET", "EIO=4&transport=polling&sid=x", "")
	h.serve("GET", "EIO=4&transport=carrier&pigeon", "")
	h.serve("GET", "EIO=2&transport=polling", "")
	check(t, "told", strings.Join(got, "; "), "400 1 Session ID unknown (unknown sid) polling; "+
		"400 0 Transport unknown (unknown transport) carrier; 400 5 Unsupported protocol version (unsupported protocol) polling")
	check(t, "panics", h.Stats().Panics, 1)
	if lines := strings.Count(log.String(), "engineio: request refused"); lines != 3 || !strings.Contains(log.String(), `reason="unknown sid" remote=192.0.2.1:1234 transport=polling`) {
		t.Errorf("%d lines:\n%s", lines, &log)
	}
	log.Reset()
	_, p := h.open("EIO=4&transport=polling")
	p.end(ReasonParseError, endFaulty.because(errOverlap))
	receive(t, p.closed)
	if !strings.Contains(log.String(), `msg="engineio: connection closed" reason="parse error" remote=192.0.2.1:1234 transport=polling`) {
		t.Errorf("no line for the end:\n%s", &log)
	}
	h.shut()
}

// A connection that cannot be written to without waiting gets the same bytes, by
// a smaller buffer.
func TestOutput_OverAnyConnection(t *testing.T) {
	var batch []item
	var want []byte
	for i, size := range []int{1, heldChunkSize/2 - 20, heldChunkSize/2 + 1, 5, heldChunkSize, 70_000, 3, 3000, 3000, 3000, 1} {
		it := item{f: frame.Text(bytes.Repeat([]byte{byte('a' + i)}, size))}
		batch, want = append(batch, it), append(want, it.socketWire(4, false, false)...)
	}
	server, client := net.Pipe()
	go func() {
		defer server.Close()
		c := &Conn{protocol: 4, srv: newHost(t, Options{}).Server}
		if n, _, err := c.writeBatch(&socket{conn: server}, batch); err != nil || n != int64(len(want)) {
			t.Errorf("%d bytes, %v; want %d", n, err, len(want))
		}
	}()
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
}
