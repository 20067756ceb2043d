package namespace

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// User code that ends its goroutine costs what it was called for and nothing else,
// wherever it is called from.
func TestRegistry_UserCodeEndsItsGoroutine(t *testing.T) {
	exit := func(context.Context, *Event) error { runtime.Goexit(); return nil }
	// alive checks that the connection's events are still handled.
	alive := func(t *testing.T, p *peer, name string) {
		t.Helper()
		p.send("2" + prefix(name) + `99["ping"]`)
		p.want("3" + prefix(name) + `99["pong"]`)
	}
	ping := func(ns *Namespace) {
		ns.On("ping", func(_ context.Context, e *Event) error { return e.Ack("pong") })
	}
	run := func(name string, setup SetupFunc, f func(t *testing.T, r *Registry, p *peer)) {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, Options{Retirement: time.Millisecond})
			r.Setup("/x", setup)
			p := newPeer(t, r, dial{})
			f(t, r, p)
			if r.Stats().Panics == 0 {
				t.Error("it was not counted")
			}
			p.close()
		})
	}
	run("handler", func(ns *Namespace, _ Match) error { ping(ns); ns.On("e", exit); return nil },
		func(t *testing.T, _ *Registry, p *peer) {
			p.join("/x")
			p.send(`2/x,["e"]`, `2/x,7["e"]`)
			p.want(`3/x,7[{"error":"internal error"}]`)
			alive(t, p, "/x")
		})
	run("event middleware", func(ns *Namespace, _ Match) error {
		ping(ns)
		ns.On("e", func(context.Context, *Event) error { t.Error("the handler ran"); return nil })
		ns.OnConnect(func(s *Socket) {
			s.Use(func(ctx context.Context, e *Event) error {
				if e.Name == "e" {
					runtime.Goexit()
				}
				return nil
			})
		})
		return nil
	}, func(t *testing.T, _ *Registry, p *peer) {
		p.join("/x")
		p.send(`2/x,7["e"]`)
		p.want(`3/x,7[{"error":"internal error"}]`)
		alive(t, p, "/x")
	})
	run("middleware", func(ns *Namespace, _ Match) error {
		ns.Use(func(context.Context, *Socket) error { runtime.Goexit(); return nil })
		return nil
	}, func(t *testing.T, r *Registry, p *peer) {
		p.ask("/x")
		p.want(`4/x,{"message":"Forbidden"}`)
		eventually(t, "the namespace retires", func() bool { return r.Lookup("/x") == nil })
	})
	run("setup", func(*Namespace, Match) error { runtime.Goexit(); return nil },
		func(t *testing.T, r *Registry, p *peer) {
			p.ask("/x")
			p.want(`4/x,{"message":"Invalid namespace"}`)
			if _, err := r.Of("/x", ""); err == nil {
				t.Error("Of says nothing")
			}
		})
	run("OnConnect", func(ns *Namespace, _ Match) error {
		ping(ns)
		ns.OnConnect(func(*Socket) { runtime.Goexit() })
		ns.OnConnect(func(s *Socket) { _ = s.Emit("hello") })
		return nil
	}, func(t *testing.T, _ *Registry, p *peer) {
		p.join("/x")
		p.want(`2/x,["hello"]`)
		alive(t, p, "/x")
	})
	run("OnDisconnect and OnExpire", func(ns *Namespace, _ Match) error {
		ns.OnExpire(func() { runtime.Goexit() })
		ns.OnConnect(func(s *Socket) {
			s.OnDisconnecting(func(string) { runtime.Goexit() })
			s.OnDisconnect(func(string) { runtime.Goexit() })
		})
		return nil
	}, func(t *testing.T, r *Registry, p *peer) {
		r.OnRetire(func(string, uint64) { runtime.Goexit() })
		retired := make(chan struct{})
		r.OnRetire(func(string, uint64) { close(retired) })
		p.join("/x")
		p.leave("/x")
		receive(t, retired)
		if s := r.Stats(); s.Sockets != 0 || s.Occupied != 0 {
			t.Errorf("%+v", s)
		}
	})
	run("outgoing listener", func(ns *Namespace, _ Match) error {
		ns.OnConnect(func(s *Socket) {
			s.OnAnyOutgoing(exit)
			_ = s.Emit("in")
		})
		return nil
	}, func(t *testing.T, r *Registry, p *peer) {
		s := p.join("/x")
		p.want(`2/x,["in"]`)
		went := make(chan struct{}) // as this goroutine is the one of the sender
		go func() {
			_ = s.Emit("one")
			_ = r.Lookup("/x").Emit("two")
			close(went)
		}()
		receive(t, went)
		p.want(`2/x,["one"]`, `2/x,["two"]`)
	})
}

// The goroutine of a server-side event is the bus's.
func TestNamespace_ServerSideHandlerEndsItsGoroutine(t *testing.T) {
	c := newTrio(t)
	c.ns(1).OnServerSide("e", func(context.Context, *Event) error { runtime.Goexit(); return nil })
	if err := c.ns(0).ServerSideEmit("e"); err != nil {
		t.Fatal(err)
	}
	if err := c.ns(0).Emit("e"); err != nil {
		t.Fatal(err)
	}
	c.want(t, "afterwards", 0, 1, 2)
}

// That a client has gone is no fault of the handler which notices.
func TestEvent_FailedBecauseTheSocketWentIsNoWarning(t *testing.T) {
	for name, handler := range map[string]Handler{
		"Ask":     func(ctx context.Context, e *Event) error { _, err := Ask[int](ctx, e.Socket(), "q"); return err },
		"context": func(ctx context.Context, _ *Event) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &logBuffer{}
				r := newRegistry(t, Options{Logger: log.logger()})
				r.Setup("/", func(ns *Namespace, _ Match) error { ns.On("e", handler); return nil })
				p := newPeer(t, r, dial{})
				p.join("/")
				p.event("/", `["e"]`)
				synctest.Wait()
				p.close()
				synctest.Wait()
				if got := log.String(); strings.Contains(got, "WARN") || !strings.Contains(got, "event failed") {
					t.Errorf("logged:\n%s", got)
				}
			})
		})
	}
}
