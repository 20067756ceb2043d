package namespace

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A socket is connected from its admission until it leaves, and not while a
// middleware is asked about it.
func TestSocket_ConnectedFromAdmissionOn(t *testing.T) {
	r := newRegistry(t, Options{})
	inMiddleware, inConnect, inDisconnect := make(chan bool, 1), make(chan bool, 1), make(chan bool, 1)
	r.Setup("/x", func(ns *Namespace, _ Match) error {
		ns.Use(func(_ context.Context, s *Socket) error { inMiddleware <- s.Connected(); return nil })
		ns.OnConnect(func(s *Socket) {
			inConnect <- s.Connected()
			s.OnDisconnect(func(string) { inDisconnect <- s.Connected() })
		})
		return nil
	})
	p := newPeer(t, r, dial{})
	p.join("/x")
	if receive(t, inMiddleware) {
		t.Error("connected while the middleware runs")
	}
	if !receive(t, inConnect) {
		t.Error("not connected in OnConnect")
	}
	p.close()
	if receive(t, inDisconnect) {
		t.Error("connected in OnDisconnect")
	}
}

// Disconnect before the admission refuses the socket, whoever calls it and
// whatever the middleware returns.
func TestSocket_DisconnectInAMiddlewareRefuses(t *testing.T) {
	for name, middleware := range map[string]Middleware{
		"at once": func(_ context.Context, s *Socket) error { s.Disconnect(false); return nil },
		"by another goroutine": func(_ context.Context, s *Socket) error {
			go s.Disconnect(false)
			time.Sleep(time.Second)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(t, Options{})
				r.Setup("/x", func(ns *Namespace, _ Match) error {
					ns.Use(middleware)
					ns.Use(func(context.Context, *Socket) error { t.Error("the next middleware ran"); return nil })
					ns.OnConnect(func(*Socket) { t.Error("it was admitted") })
					return nil
				})
				p := newPeer(t, r, dial{})
				p.ask("/x")
				p.want(`4/x,{"message":"Forbidden"}`)
				synctest.Wait()
				if n := uses(r.Lookup("/x")); n != 0 {
					t.Errorf("%d uses", n)
				}
				p.close()
			})
		})
	}
	t.Run("with its connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRegistry(t, Options{})
			r.Setup("/x", func(ns *Namespace, _ Match) error {
				ns.Use(func(_ context.Context, s *Socket) error { s.Disconnect(true); return nil })
				ns.OnConnect(func(*Socket) { t.Error("it was admitted") })
				return nil
			})
			p := newPeer(t, r, dial{})
			p.ask("/x")
			p.wantClosed(ReasonForcedClose)
			synctest.Wait()
		})
	})
	t.Run("between the middleware and the admission", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBlocker(t, Options{})
			var refused *Socket
			b.Setup("/x", func(ns *Namespace, _ Match) error {
				ns.Use(func(_ context.Context, s *Socket) error { refused = s; return nil })
				ns.OnConnect(func(*Socket) { t.Error("it was admitted") })
				return nil
			})
			p := newPeer(t, b.Registry, dial{})
			p.join("/a")
			p.event("/a", `["block"]`)
			<-b.blocked
			p.ask("/x")
			synctest.Wait() // the middleware has run; the admission waits for the handler
			refused.Disconnect(false)
			close(b.release)
			p.want(`4/x,{"message":"Forbidden"}`)
			synctest.Wait()
			if n := uses(b.Lookup("/x")); n != 0 {
				t.Errorf("%d uses", n)
			}
			p.close()
		})
	})
}
