package engineio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// Each sender's messages arrive in its order, the parts of a frame next to each
// other, whoever else sends.
func TestConn_OrderAndAdjacency(t *testing.T) {
	h := listen(t, Options{})
	c, p := h.socket()
	const senders, each = 4, 500
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("%d:%d", s, i)
				p.Send(frame.New(frame.Part{Data: []byte(name)}, frame.Part{Data: []byte(name), Binary: true}), frame.Flags{})
			}
		})
	}
	var next [senders]int
	for range senders * each {
		text, data := c.read(), c.read()
		if text != "4"+data {
			t.Fatalf("%q is followed by %q", text, data)
		}
		var s, i int
		if _, err := fmt.Sscanf(data, "%d:%d", &s, &i); err != nil || i != next[s] {
			t.Fatalf("got %q, want message %d of its sender", data, next[s])
		}
		next[s]++
	}
	wg.Wait()
	st := h.Stats()
	check(t, "messages out", st.MessagesOut, 2*senders*each)
}

// Small and large frames keep their order in one batch.
func TestConn_MixedSizes(t *testing.T) {
	h := listen(t, Options{MaxQueue: 64 << 20})
	c, p := h.socket()
	const half = chunkSize / 2
	sizes := []int{1, half - 20, half + 1, 5, chunkSize, 70_000, 3, half - 20, 1_000_000, 1}
	go func() {
		for i := range 200 {
			p.text(strings.Repeat(string(rune('a'+i%26)), sizes[i%len(sizes)]))
		}
	}()
	for i := range 200 {
		m := c.read()
		if len(m) != 1+sizes[i%len(sizes)] || m[1] != byte('a'+i%26) || m[len(m)-1] != m[1] {
			t.Fatalf("message %d: %d bytes %q", i, len(m), m[:2])
		}
	}
}

// A client that does not read is closed and counted; it delays nobody.
func TestConn_SlowClient(t *testing.T) {
	h := listen(t, Options{MaxQueue: 1 << 20})
	_, slow := h.socket() // never reads
	c, p := h.socket()
	f := frame.Text(bytes.Repeat([]byte("x"), 10_000))
	sent := 0
	for slow.Send(f, frame.Flags{}) {
		if !p.Send(f, frame.Flags{}) {
			t.Fatal("the client that reads was refused")
		}
		c.read()
		if sent++; sent > 10_000 {
			t.Fatal("the client that does not read is never closed")
		}
	}
	check(t, "reason", receive(t, slow.closed), ReasonTransportError)
	check(t, "counted", h.Stats().SlowClosed, 1)
	p.text("fine")
	check(t, "the other", c.read(), "4fine")

	// Over polling the queue is all there is.
	q := h.polling()
	for sent = 0; q.Send(f, frame.Flags{}); sent++ {
	}
	check(t, "reason", receive(t, q.closed), ReasonTransportError)
	if sent < 90 || sent > 110 {
		t.Errorf("%d messages of 10 kB fit into 1 MiB", sent)
	}
	check(t, "GET", q.get().status, 400)
}

// One message beyond the bound passes when nothing else waits; empty messages
// are not free.
func TestConn_QueueBound(t *testing.T) {
	h := listen(t, Options{MaxQueue: 1000})
	p := h.polling()
	check(t, "one large", p.text(strings.Repeat("x", 5000)), true)
	check(t, "another", p.text("y"), false)
	p = h.polling()
	sent := 0
	for ; p.text(""); sent++ {
	}
	check(t, "empty ones", sent < 100, true)
}

// What was sent no longer counts against the bound.
func TestConn_QueueDrains(t *testing.T) {
	h := listen(t, Options{MaxQueue: 1000})
	p := h.polling()
	c, w := h.socket()
	for i := range 50 {
		m := fmt.Sprint(i, strings.Repeat("x", 100))
		check(t, "polling", p.text(m), true)
		check(t, "GET", p.get().body, "4"+m)
		check(t, "WebSocket", w.text(m), true)
		check(t, "message", c.read(), "4"+m)
	}
}

func TestConn_Volatile(t *testing.T) {
	h := listen(t, Options{})
	c, p := h.socket()
	h.eventually("an idle connection", func() bool { return p.Send(frame.Text([]byte("v")), frame.Flags{Volatile: true}) })
	check(t, "message", c.read(), "4v")
	// Fill the way to the client until the writer hangs.
	f := frame.Text(bytes.Repeat([]byte("x"), 1<<20))
	sent := 0
	h.eventually("a full connection", func() bool {
		p.Conn.mu.Lock()
		stuck := p.queued > 2<<20
		p.Conn.mu.Unlock()
		if !stuck {
			p.Send(f, frame.Flags{})
			sent++
		}
		return stuck
	})
	before := h.Stats().VolatileDropped
	check(t, "sent", p.Send(frame.Text([]byte("w")), frame.Flags{Volatile: true}), false)
	check(t, "dropped", h.Stats().VolatileDropped, before+1)
	for range sent {
		c.read()
	}
	p.text("end")
	check(t, "the next message", c.read(), "4end")
}

func TestConn_CloseWithinReceive(t *testing.T) {
	h := listen(t, Options{})
	h.setup = func(p *peer) {
		p.receive = func(data []byte, _ bool) error {
			p.got <- message{string(data), false}
			p.text("bye")
			p.Close("enough")
			p.Close("again")
			return nil
		}
	}
	c, p := h.socket()
	c.write("4a")
	c.write("4b")
	check(t, "message", c.read(), "4bye")
	check(t, "status", c.readClose(), ws.StatusNormalClosure)
	check(t, "reason", receive(t, p.closed), "enough")
	h.eventually("the end", func() bool { h.mu.RLock(); defer h.mu.RUnlock(); return h.active == 0 })
	check(t, "received", len(p.got), 1)
	check(t, "closed again", len(p.closed), 0)
}

func TestConn_ReceiveErrorAndPanic(t *testing.T) {
	h := listen(t, Options{})
	h.setup = func(p *peer) {
		p.receive = func(data []byte, _ bool) error {
			if string(data) == "panic" {
				panic("oh")
			}
			return errors.New("no")
		}
	}
	for _, m := range []string{"4error", "4panic"} {
		c, p := h.socket()
		c.write(m)
		check(t, "status", c.readClose(), ws.StatusProtocolError)
		check(t, "reason", receive(t, p.closed), ReasonParseError)
		q := h.polling()
		check(t, "POST", q.post(m).status, 400)
		check(t, "reason", receive(t, q.closed), ReasonParseError)
	}
}

// Any number of ends at the same time make one.
func TestConn_ClosedOnce(t *testing.T) {
	h := listen(t, Options{})
	for range 20 {
		c, p := h.socket()
		q := h.polling()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { p.Close(fmt.Sprint(i)); q.Close(fmt.Sprint(i)) })
			wg.Go(func() { p.text("x"); q.text("x") })
		}
		wg.Go(func() { c.conn.Close() })
		wg.Wait()
		receive(t, p.closed)
		receive(t, q.closed)
		h.eventually("the end", func() bool { h.mu.RLock(); defer h.mu.RUnlock(); return h.active == 0 })
		check(t, "closed again", len(p.closed)+len(q.closed), 0)
	}
	check(t, "sessions", fmt.Sprint(h.Stats().Polling, h.Stats().WebSocket), "0 0")
}

// Pings of the WebSocket protocol from a client that reads nothing are bounded
// like messages.
func TestConn_PingFlood(t *testing.T) {
	h := listen(t, Options{MaxQueue: 10_000})
	c, p := h.socket()
	ping := ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame(make([]byte, 125))))
	flood := bytes.Repeat(ping, 1000)
	go func() {
		for {
			if _, err := c.conn.Write(flood); err != nil {
				return
			}
		}
	}()
	reason := receive(t, p.closed)
	check(t, "reason", reason, ReasonTransportError)
}

// A peer that is gone without a word, with our send buffer full, ends by the
// ping timeout: closing the connection frees the writer.
func TestConn_HalfOpenPeer(t *testing.T) {
	h := listen(t, Options{PingInterval: 50 * time.Millisecond, PingTimeout: 50 * time.Millisecond, MaxQueue: 1 << 30})
	c, p := h.socket()
	_ = c.conn.(*net.TCPConn).SetReadBuffer(4096)
	f := frame.Text(make([]byte, 1<<20))
	for range 16 {
		p.Send(f, frame.Flags{})
	}
	check(t, "reason", receive(t, p.closed), ReasonPingTimeout)
	h.eventually("the writer's end", func() bool { h.mu.RLock(); defer h.mu.RUnlock(); return h.active == 0 })
}

// An idle connection keeps its reader and nothing else.
func TestConn_IdleHoldsNoQueue(t *testing.T) {
	h := listen(t, Options{})
	c, p := h.socket()
	p.text("x")
	c.read()
	h.eventually("an idle writer", func() bool {
		p.Conn.mu.Lock()
		defer p.Conn.mu.Unlock()
		return !p.writing && p.queue == nil && p.queued == 0 && p.refs == 1
	})
}

// The server's close while a handler hangs tells the handler, waits for it, and
// gives up with the context.
func TestConn_CloseWhileReceiveHangs(t *testing.T) {
	h := newHost(t, Options{})
	inside, leave := make(chan struct{}), make(chan struct{})
	h.setup = func(p *peer) { p.receive = func([]byte, bool) error { close(inside); <-leave; return nil } }
	c, p := h.pipeSocket("EIO=4&transport=websocket")
	defer c.conn.Close()
	go c.write("4a")
	receive(t, inside)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := h.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	check(t, "reason", receive(t, p.closed), ReasonServerShutdown)
	close(leave)
	h.shut()
}
