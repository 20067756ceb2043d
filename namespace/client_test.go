package namespace

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"testing/synctest"
)

// blocker is a registry whose event "block" blocks until release is closed;
// every other event is counted.
type blocker struct {
	*Registry
	blocked chan struct{} // gets a value when "block" is being handled
	release chan struct{}
	handled atomic.Int64
}

func newBlocker(t *testing.T, opts Options) *blocker {
	b := &blocker{blocked: make(chan struct{}, 16), release: make(chan struct{})}
	b.Registry = newRegistry(t, opts)
	b.Setup("*", func(ns *Namespace, _ Match) error {
		ns.OnAny(func(_ context.Context, e *Event) error {
			if e.Name == "block" {
				b.blocked <- struct{}{}
				<-b.release
				return nil
			}
			b.handled.Add(1)
			return nil
		})
		return nil
	})
	return b
}

// Reading stops when MaxPendingEvents wait, goes on when half of them are
// done, and loses none.
func TestClient_ReceiveBlocksAtMaxPendingEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker(t, Options{MaxPendingEvents: 4})
		p := newPeer(t, b.Registry, dial{})
		p.join("/")
		p.event("/", `["block"]`)
		<-b.blocked
		var sent atomic.Int64
		feeding := make(chan struct{})
		go func() {
			defer close(feeding)
			for range 10 {
				p.event("/", `["e"]`)
				sent.Add(1)
			}
		}()
		synctest.Wait()
		if n := sent.Load(); n != 4 {
			t.Errorf("%d events were taken while the handler was busy, want 4", n)
		}
		close(b.release)
		<-feeding
		synctest.Wait()
		if n := b.handled.Load(); n != 10 {
			t.Errorf("%d events handled, want 10", n)
		}
		p.close()
	})
}

// The bound in bytes counts attachments; one event may be larger than it.
func TestClient_ReceiveBlocksAtPendingBytes(t *testing.T) {
	for name, feed := range map[string]func(*peer, int){
		"text": func(p *peer, size int) { p.event("/", `["e","`+strings.Repeat("x", size)+`"]`) },
		"binary": func(p *peer, size int) {
			p.send(`51-["e",{"_placeholder":true,"num":0}]`)
			if err := p.client.Receive(make([]byte, size), true); err != nil {
				p.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBlocker(t, Options{})
				p := newPeer(t, b.Registry, dial{})
				p.join("/")
				p.event("/", `["block"]`)
				<-b.blocked
				var sent atomic.Int64
				feeding := make(chan struct{})
				go func() {
					defer close(feeding)
					for _, size := range []int{4<<20 + 1, 10, 10} {
						feed(p, size)
						sent.Add(1)
					}
				}()
				synctest.Wait()
				if n := sent.Load(); n != 1 {
					t.Errorf("%d events were taken, want the first alone", n)
				}
				close(b.release)
				<-feeding
				synctest.Wait()
				if n := b.handled.Load(); n != 3 {
					t.Errorf("%d events handled, want 3", n)
				}
				p.close()
			})
		})
	}
}

// A CONNECT waits like an event: otherwise a client whose handler is busy
// could queue joins and leaves without end.
func TestClient_ConnectsAndLeavesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker(t, Options{MaxPendingEvents: 8})
		p := newPeer(t, b.Registry, dial{})
		p.join("/a")
		other := newPeer(t, b.Registry, dial{})
		for i := range 100 {
			other.join(fmt.Sprintf("/b%d", i)) // so that joining it waits for nothing
		}
		p.event("/a", `["block"]`)
		<-b.blocked
		var sent atomic.Int64
		feeding := make(chan struct{})
		go func() {
			defer close(feeding)
			for i := range 100 {
				p.ask(fmt.Sprintf("/b%d", i))
				sent.Add(1)
			}
		}()
		synctest.Wait()
		if n := sent.Load(); n > 8 {
			t.Errorf("%d joins were taken while the handler was busy", n)
		}
		close(b.release)
		<-feeding
		synctest.Wait()
		p.close()
		other.close()
		synctest.Wait()
		if n := uses(b.Lookup("/b0")); n != 0 {
			t.Errorf("%d uses of /b0 are left", n)
		}
	})
}

// Closing ends the wait of Receive. The event that waited is dropped with the
// connection: queueing it would finish the client twice.
func TestClient_ClosedUnblocksReceive(t *testing.T) {
	for range 50 {
		b := newBlocker(t, Options{MaxPendingEvents: 1})
		p := newPeer(t, b.Registry, dial{})
		p.join("/")
		p.event("/", `["block"]`)
		<-b.blocked
		p.event("/", `["e"]`)
		feeding := make(chan struct{})
		go func() {
			defer close(feeding)
			p.event("/", `["e"]`)
		}()
		eventually(t, "Receive waits", func() bool {
			p.client.mu.Lock()
			defer p.client.mu.Unlock()
			return p.client.space != nil
		})
		close(b.release) // the worker ends its queue while Receive wakes
		p.close()
		<-feeding
		closeRegistry(t, b.Registry)
	}
}

// The same in the one order that matters, made certain: the client has
// finished before the event that waited gets the lock.
func TestClient_EventThatWaitedPastTheEndIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker(t, Options{MaxPendingEvents: 1})
		p := newPeer(t, b.Registry, dial{})
		s := p.join("/")
		p.event("/", `["block"]`)
		<-b.blocked
		p.event("/", `["e"]`)
		go p.event("/", `["late"]`)
		synctest.Wait()
		s.Disconnect(false) // the socket goes, the connection stays
		close(b.release)
		synctest.Wait()
		if n := b.handled.Load(); n != 0 {
			t.Errorf("%d events handled after Disconnect, want none", n)
		}
		p.close()
		synctest.Wait()
		if n := uses(b.Lookup("/")); n != 0 {
			t.Errorf("%d uses left", n)
		}
	})
}

// A handler that takes its time delays its own client only.
func TestClient_SlowHandlerDelaysNobodyElse(t *testing.T) {
	b := newBlocker(t, Options{})
	slow, quick := newPeer(t, b.Registry, dial{}), newPeer(t, b.Registry, dial{})
	slow.join("/")
	quick.join("/")
	slow.event("/", `["block"]`)
	<-b.blocked
	slow.event("/", `["e"]`)
	for range 10 {
		quick.event("/", `["e"]`)
	}
	eventually(t, "the quick client's events", func() bool { return b.handled.Load() == 10 })
	newPeer(t, b.Registry, dial{}).join("/") // nor does it keep others out
	close(b.release)
	eventually(t, "the slow client's event", func() bool { return b.handled.Load() == 11 })
}

// Events of one connection are handled in the order sent, across its namespaces.
func TestClient_EventsAreHandledInOrder(t *testing.T) {
	r := newRegistry(t, Options{})
	got := make(chan string, 1000)
	r.Setup("*", func(ns *Namespace, _ Match) error {
		ns.OnConnect(func(*Socket) { time.Sleep(time.Millisecond) })
		ns.OnAny(func(_ context.Context, e *Event) error { got <- e.Name; return nil })
		return nil
	})
	p := newPeer(t, r, dial{})
	p.join("/a")
	p.join("/b")
	for i := range 500 {
		p.event([]string{"/a", "/b"}[i%2], fmt.Sprintf(`["%d"]`, i))
	}
	for i := range 500 {
		if name := receive(t, got); name != fmt.Sprint(i) {
			t.Fatalf("event %s was handled as number %d", name, i)
		}
	}
}

// What a client sends before it leaves, or before its connection ends, is
// handled: socket.emit("bye"); socket.disconnect() is an ordinary thing to write.
func TestClient_EventsBeforeLeavingAreHandled(t *testing.T) {
	for name, leave := range map[string]func(*peer){
		"DISCONNECT":      func(p *peer) { p.leave("/") },
		"transport close": func(p *peer) { p.close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, Options{})
			log := make(chan string, 100)
			r.Setup("/", func(ns *Namespace, _ Match) error {
				ns.OnAny(func(_ context.Context, e *Event) error { log <- e.Name; return nil })
				ns.OnConnect(func(s *Socket) { s.OnDisconnect(func(reason string) { log <- reason }) })
				return nil
			})
			p := newPeer(t, r, dial{})
			p.join("/")
			for _, e := range []string{"1", "2", "3"} {
				p.event("/", `["`+e+`"]`)
			}
			leave(p)
			for _, want := range []string{"1", "2", "3"} {
				if got := receive(t, log); got != want {
					t.Errorf("got %q, want event %s", got, want)
				}
			}
			if got := receive(t, log); !strings.Contains(got, "disconnect") && got != ReasonTransportClose {
				t.Errorf("got %q, want the reason", got)
			}
		})
	}
}

// A second CONNECT gets no second answer and makes no second socket while the
// first has not been decided; afterwards it ends the connection.
func TestClient_ConnectTwiceIsOneSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{})
		var connects atomic.Int64
		r.Setup("/slow", func(ns *Namespace, _ Match) error {
			ns.Use(func(context.Context, *Socket) error { time.Sleep(time.Second); return nil })
			ns.OnConnect(func(*Socket) { connects.Add(1) })
			return nil
		})
		p := newPeer(t, r, dial{})
		p.ask("/slow")
		p.ask("/slow")
		p.admitted("/slow")
		synctest.Wait()
		p.wantNothing()
		if n := connects.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		if n := uses(r.Lookup("/slow")); n != 1 {
			t.Errorf("%d uses, want 1", n)
		}
		p.ask("/slow")
		p.wantClosed(ReasonForcedClose)
		p.close()
	})
}

// The server disconnects a socket while its client sends: what crosses with that is
// no fault, until the client has asked for the namespace again.
func TestClient_PacketsThatCrossADisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{})
		r.Setup("*", accept)
		p := newPeer(t, r, dial{})
		p.join("/other")
		for range 2 {
			p.join("/x").Disconnect(false)
			p.event("/x", `["e"]`)
			p.send("3/x,1[]")
			p.leave("/x")
			synctest.Wait()
			if reason := p.conn.closed(); reason != "" {
				t.Fatalf("closed: %s", reason)
			}
			p.want("1/x,")
		}
		for i := range 3 * maxKicked {
			p.join(fmt.Sprintf("/%d", i)).Disconnect(false)
			p.next()
		}
		if n := len(p.client.kicked); n > maxKicked {
			t.Errorf("%d names are remembered", n)
		}
		p.join("/x")
		p.leave("/x")
		p.event("/x", `["e"]`)
		p.wantClosed(ReasonForcedClose)
		p.close()
	})
}

// A client that sends anything to a namespace that it is on its way into is
// closed, and nothing of its way stays.
func TestClient_DisconnectWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{Retirement: time.Minute})
		var connects atomic.Int64
		cancelled := make(chan error, 1)
		r.Setup("/slow", func(ns *Namespace, _ Match) error {
			ns.Use(func(ctx context.Context, _ *Socket) error {
				<-ctx.Done()
				cancelled <- ctx.Err()
				return nil
			})
			ns.OnConnect(func(*Socket) { connects.Add(1) })
			return nil
		})
		p := newPeer(t, r, dial{})
		p.ask("/slow")
		synctest.Wait()
		p.leave("/slow")
		p.wantClosed(ReasonForcedClose)
		<-cancelled
		synctest.Wait()
		if n, answers := connects.Load(), p.unread(); n != 0 || len(answers) != 0 {
			t.Errorf("%d connections, answers %q", n, answers)
		}
		if n := uses(r.Lookup("/slow")); n != 0 {
			t.Errorf("%d uses", n)
		}
		p.close()
	})
}

// Whoever refuses, the pin goes back and the namespace's countdown starts.
func TestClient_ClosedWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{Retirement: 5 * time.Second})
		r.Setup("/slow", func(ns *Namespace, _ Match) error {
			ns.Use(func(context.Context, *Socket) error { time.Sleep(10 * time.Second); return nil })
			return nil
		})
		p := newPeer(t, r, dial{})
		p.ask("/slow")
		synctest.Wait()
		p.close()
		time.Sleep(9 * time.Second)
		if r.Lookup("/slow") == nil {
			t.Error("retired while pinned by a middleware")
		}
		time.Sleep(7 * time.Second)
		if r.Lookup("/slow") != nil {
			t.Error("still there 6 s after its last pin")
		}
	})
}

// A handler may wait for an acknowledgement that lies behind more events than
// otherwise may wait.
func TestClient_AckBehindManyEventsIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{MaxPendingEvents: 4})
		var handled atomic.Int64
		r.Setup("*", func(ns *Namespace, _ Match) error {
			ns.On("e", func(context.Context, *Event) error { handled.Add(1); return nil })
			ns.On("ask", func(ctx context.Context, e *Event) error {
				time.Sleep(time.Second) // the others have come by then
				n, err := Ask[int](ctx, e.Socket(), "q")
				if err == nil && n == 5 {
					handled.Add(100)
				}
				return err
			})
			return nil
		})
		p := newPeer(t, r, dial{})
		p.join("/")
		p.event("/", `["ask"]`)
		fed := make(chan struct{})
		go func() {
			defer close(fed)
			for range 20 {
				p.event("/", `["e"]`)
			}
		}()
		q := p.next()
		<-fed
		p.send("3" + q[1:strings.IndexByte(q, '[')] + "[5]")
		synctest.Wait()
		if n := handled.Load(); n != 120 {
			t.Errorf("handled %d, want the answer (100) and 20 events", n)
		}
		p.close()
	})
}

// A socket that owes nothing may leave while another of its connection owes
// an acknowledgement.
func TestClient_SocketLeavesWhileAnotherOwesAnAck(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	p := newPeer(t, r, dial{})
	a, b := p.join("/a"), p.join("/b")
	got := make(chan error, 1)
	go func() {
		_, err := a.EmitWithAck(context.Background(), "q")
		got <- err
	}()
	p.next()
	left := make(chan struct{})
	go func() {
		defer close(left)
		b.Disconnect(false)
	}()
	receive(t, left)
	p.close()
	if err := receive(t, got); err != ErrDisconnected {
		t.Errorf("got %v", err)
	}
}
