package namespace

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// asking returns a registry whose handler of "ask" asks its own client, and counts the
// answers and all other events that were handled.
func asking(t *testing.T, opts Options) (r *Registry, answers, handled *atomic.Int64) {
	answers, handled = new(atomic.Int64), new(atomic.Int64)
	r = newRegistry(t, opts)
	r.Setup("*", func(ns *Namespace, _ Match) error {
		ns.On("e", func(context.Context, *Event) error { handled.Add(1); return nil })
		ns.On("slow", func(context.Context, *Event) error { handled.Add(1); time.Sleep(100 * time.Millisecond); return nil })
		ns.On("ask", func(ctx context.Context, e *Event) error {
			if n, err := Ask[int](ctx, e.Socket(), "q"); err == nil && n == 5 {
				answers.Add(1)
			}
			return nil
		})
		return nil
	})
	return r, answers, handled
}

// ackOf answers a question, 2<id>["q"].
func ackOf(question string) string {
	return "3" + question[1:strings.IndexByte(question, '[')] + "[5]"
}

// An acknowledgement gets past whatever the client has sent before it.
func TestClient_AckGetsPastWhatWaits(t *testing.T) {
	for name, c := range map[string]struct {
		events, size int
	}{
		"thousands of small events": {20_000, 1},
		"megabytes":                 {12, 1_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, answers, handled := asking(t, Options{})
				p := newPeer(t, r, dial{budget: 16 << 20})
				p.join("/")
				p.event("/", `["ask"]`)
				question := p.next()
				event := `["e","` + strings.Repeat("x", c.size) + `"]`
				for range c.events {
					p.event("/", event)
				}
				p.send(ackOf(question))
				synctest.Wait()
				if answers.Load() != 1 || handled.Load() != int64(c.events) {
					t.Errorf("%d answers, %d events handled", answers.Load(), handled.Load())
				}
				if n := p.kept(); n != 0 {
					t.Errorf("%d bytes are still reserved", n)
				}
				p.close()
			})
		})
	}
}

// A client that owes an acknowledgement and sends other things without end is closed
// at the bound of its connection, if no handler returns; a slow one only delays it.
func TestClient_AckBehindMoreThanMayWait(t *testing.T) {
	flood := func(p *peer, event string) {
		for p.conn.closed() == "" {
			if err := p.client.Receive([]byte("2"+event), false); err != nil {
				p.t.Error(err)
				return
			}
		}
	}
	t.Run("handlers stand still", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, answers, _ := asking(t, Options{AckTimeout: time.Hour})
			p := newPeer(t, r, dial{budget: 1 << 20})
			p.join("/")
			p.event("/", `["ask"]`)
			start := time.Now()
			flood(p, `["e"]`)
			if took := time.Since(start); took != stallTimeout {
				t.Errorf("closed after %v", took)
			}
			p.wantClosed(ReasonForcedClose)
			synctest.Wait()
			if s := r.Stats(); s.Overruns != 1 || s.Sockets != 0 || answers.Load() != 0 {
				t.Errorf("%d overruns, %d sockets, %d answers", s.Overruns, s.Sockets, answers.Load())
			}
		})
	})
	t.Run("handlers go on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, _, handled := asking(t, Options{})
			p := newPeer(t, r, dial{budget: 1 << 20})
			s := p.join("/")
			go func() { _, _ = s.Timeout(time.Hour).EmitWithAck(context.Background(), "q") }()
			synctest.Wait()
			go flood(p, `["slow"]`)
			time.Sleep(time.Minute)
			if reason := p.conn.closed(); reason != "" || handled.Load() < 590 {
				t.Errorf("closed: %q, after %d events", reason, handled.Load())
			}
			p.close()
			time.Sleep(time.Hour) // what it has sent is handled
		})
	})
}

// A client sends thousands of events whose handler asks it, and goes: all of it ends.
func TestClient_GoesWhileHandlersAskIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _ := asking(t, Options{})
		p := newPeer(t, r, dial{budget: 16 << 20})
		p.join("/")
		for range 5000 {
			p.event("/", `["ask"]`)
		}
		start := time.Now()
		p.close()
		synctest.Wait() // the bubble ends only when all its goroutines have
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.clients) != 0 || time.Since(start) != 0 {
			t.Errorf("%d clients are left after %v", len(r.clients), time.Since(start))
		}
	})
}

// What the client presents to the namespaces that it is in counts against the bound of
// its connection, for as long as it is there.
func TestClient_AuthIsWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{})
		r.Setup("*", accept)
		r.Setup("/refused", func(*Namespace, Match) error { return Errorf("no") })
		r.Setup("/slow", func(ns *Namespace, _ Match) error {
			ns.Use(func(_ context.Context, s *Socket) error {
				time.Sleep(time.Second)
				return s.Join("room")
			})
			return nil
		})
		p := newPeer(t, r, dial{budget: 100_000})
		auth := `{"token":"` + strings.Repeat("x", 30_000) + `"}`
		for i := range 3 {
			p.send(fmt.Sprintf("0/%d,%s", i, auth))
			p.admitted(fmt.Sprintf("/%d", i))
		}
		p.send("0/3," + auth)
		p.want(`4/3,{"message":"Too much data"}`)
		if n := r.Stats().Refused["memory"]; n != 1 {
			t.Errorf("%d refusals are counted", n)
		}
		p.leave("/0")
		synctest.Wait()
		p.send("0/refused," + auth)
		p.want(`4/refused,{"message":"no"}`)
		p.send("0/slow," + auth)
		p.admitted("/slow")
		for _, name := range []string{"/1", "/2", "/slow"} {
			p.leave(name)
		}
		synctest.Wait()
		if n := p.kept(); n != 0 {
			t.Errorf("%d bytes are still reserved", n)
		}
		p.close()
	})
}

// What is kept of a CONNECT is not the message around it.
func TestClient_AuthIsKeptAlone(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	p := newPeer(t, r, dial{})
	message := []byte(`0/x,{"a":1}`)
	if err := p.client.Receive(message, false); err != nil {
		t.Fatal(err)
	}
	p.admitted("/x")
	clear(message)
	var auth struct{ A int }
	if err := p.client.Sockets()[0].Auth(&auth); err != nil || auth.A != 1 {
		t.Errorf("%+v, %v", auth, err)
	}
}

// A packet whose attachments do not come is kept within the bound of the connection and
// for a limited time.
func TestClient_IncompletePackets(t *testing.T) {
	const header = `53-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]`
	start := func(t *testing.T, budget int) (*Registry, *peer, *atomic.Int64) {
		r, _, handled := asking(t, Options{PacketTimeout: 20 * time.Second})
		p := newPeer(t, r, dial{budget: budget})
		p.join("/")
		return r, p, handled
	}
	part := func(t *testing.T, p *peer, size int) {
		t.Helper()
		if err := p.client.Receive(make([]byte, size), true); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("too large", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, p, _ := start(t, 100_000)
			p.send(header)
			part(t, p, 60_000)
			if n := p.kept(); n < 60_000 {
				t.Errorf("%d bytes are reserved", n)
			}
			part(t, p, 60_000)
			p.wantClosed(ReasonForcedClose)
			if n := r.Stats().Overruns; n != 1 {
				t.Errorf("%d overruns", n)
			}
			p.close()
		})
	})
	t.Run("too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, p, _ := start(t, 0)
			p.send(header)
			time.Sleep(19 * time.Second)
			part(t, p, 1)
			time.Sleep(19 * time.Second)
			if reason := p.conn.closed(); reason != "" {
				t.Errorf("closed before its time: %s", reason)
			}
			time.Sleep(2 * time.Second)
			p.wantClosed(ReasonParseError)
			if n := r.Stats().Incomplete; n != 1 {
				t.Errorf("%d are counted", n)
			}
			p.close()
		})
	})
	t.Run("in time, twice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, p, handled := start(t, 100_000)
			for range 2 {
				p.send(header)
				for range 3 {
					time.Sleep(19 * time.Second)
					part(t, p, 20_000)
				}
				time.Sleep(time.Minute)
			}
			if n := p.kept(); n != 0 || handled.Load() != 2 {
				t.Errorf("%d bytes are still reserved, %d events handled", n, handled.Load())
			}
			p.close()
		})
	})
}

// Rooms are remembered by their names, which clients may choose.
func TestSocket_RoomsAreWithinTheBudget(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	p := newPeer(t, r, dial{budget: 100_000})
	s := p.join("/x")
	joined := 0
	for ; joined < 1000; joined++ {
		room := fmt.Sprintf("%d%s", joined, strings.Repeat("x", 500))
		if err := s.Join(room, room); err != nil {
			if !strings.Contains(err.Error(), "memory") {
				t.Error(err)
			}
			break
		}
	}
	if joined < 100 || joined > 200 {
		t.Errorf("%d rooms fit", joined)
	}
	before := p.kept()
	s.Leave(s.Rooms()[0], "none")
	if p.kept() >= before {
		t.Error("leaving a room gives nothing back")
	}
	p.leave("/x")
	eventually(t, "all is given back", func() bool { return p.kept() == 0 })
}
