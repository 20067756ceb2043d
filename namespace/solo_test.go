package namespace

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Never before its time, and no later than it has to be.
func TestSolo_RetiresWhenTheTimeIsOver(t *testing.T) {
	for _, retirement := range []time.Duration{0, time.Millisecond, 10 * time.Second, time.Hour} {
		t.Run(retirement.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(t, Options{})
				l := newLife(t, r)
				l.configure = func(ns *Namespace) { ns.SetRetirement(retirement) }
				retired := make(chan uint64, 2)
				r.OnRetire(func(full string, epoch uint64) { retired <- epoch })
				p := newPeer(t, r, dial{})
				epoch := p.join("/x").Namespace().Epoch()
				q := newPeer(t, r, dial{})
				q.join("/x")
				p.close()
				time.Sleep(2 * retirement) // not the last one: no countdown
				synctest.Wait()
				l.want(1, 0)
				q.close()
				if retirement > 0 {
					time.Sleep(retirement - 1)
					synctest.Wait()
					l.want(1, 0)
					time.Sleep(1 * time.Nanosecond)
				}
				synctest.Wait()
				l.want(1, 1)
				if r.Lookup("/x") != nil || len(retired) != 1 || <-retired != epoch {
					t.Error("it is still there, or OnRetire was not told")
				}
			})
		})
	}
}

// A connect in time calls the countdown off; the next emptiness gets all of it.
func TestSolo_ConnectCallsTheCountdownOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{Retirement: 10 * time.Second})
		l := newLife(t, r)
		p := newPeer(t, r, dial{})
		ns := p.join("/x").Namespace()
		epoch := ns.Epoch()
		for range 3 {
			p.leave("/x")
			time.Sleep(9 * time.Second)
			if got := p.join("/x").Namespace(); got != ns || got.Epoch() != epoch {
				t.Error("another incarnation")
			}
			time.Sleep(time.Minute)
		}
		l.want(1, 0)
		p.leave("/x")
		time.Sleep(10*time.Second - 1)
		synctest.Wait()
		l.want(1, 0)
		time.Sleep(1 * time.Nanosecond)
		synctest.Wait()
		l.want(1, 1)
		fresh := p.join("/x").Namespace()
		if fresh == ns || fresh.Epoch() <= epoch {
			t.Errorf("epoch %d after %d", fresh.Epoch(), epoch)
		}
		l.want(2, 1)
		p.close()
	})
}

// gate is a Cluster that lets a test stop a retirement between the directory's
// decision and its news for the registry.
type gate struct {
	*Solo
	local Local
	news  chan struct{} // if not nil, a retirement waits for it
	decided,
	told chan uint64
}

func (g *gate) Start(l Local) {
	g.local = l
	g.Solo.Start(gateLocal{l, g})
}

type gateLocal struct {
	Local
	g *gate
}

func (l gateLocal) Retire(full string, epoch uint64) {
	l.g.decided <- epoch
	if l.g.news != nil {
		<-l.g.news
	}
	l.Local.Retire(full, epoch)
	l.g.told <- epoch
}

// The countdown's timer and a client's CONNECT at the same moment, in both
// orders: the directory decides which of them came first.
func TestSolo_TimerFiresWhileAClientConnects(t *testing.T) {
	start := func(t *testing.T) (*Registry, *gate, *life, *peer, *Namespace) {
		g := &gate{Solo: NewSolo(), decided: make(chan uint64, 4), told: make(chan uint64, 4)}
		t.Cleanup(g.Solo.Close)
		r := newRegistry(t, Options{Retirement: time.Second, Cluster: g})
		l := newLife(t, r)
		p := newPeer(t, r, dial{})
		return r, g, l, p, p.join("/x").Namespace()
	}
	// The directory has retired it, the registry does not know yet: the client
	// lands in the next incarnation, and the late notice takes nothing away.
	t.Run("retired first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, g, l, p, old := start(t)
			g.news = make(chan struct{})
			p.leave("/x")
			if got := <-g.decided; got != old.Epoch() {
				t.Errorf("retired epoch %d", got)
			}
			s := p.join("/x")
			if s.Namespace() == old || s.Namespace().Epoch() <= old.Epoch() {
				t.Error("in the retired incarnation")
			}
			l.want(2, 1)
			close(g.news)
			<-g.told
			synctest.Wait()
			l.want(2, 1)
			if !s.Connected() || r.Lookup("/x") != s.Namespace() {
				t.Error("the late notice took the next incarnation away")
			}
			p.close()
			<-g.told
			synctest.Wait()
			l.want(2, 2)
		})
	})
	// The client is pinned, its join waits behind the notice.
	t.Run("pinned, then told", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, g, l, p, old := start(t)
			p.leave("/x")
			synctest.Wait()
			ns, err := r.pin(context.Background(), "/x", netip.Addr{})
			if err != nil || ns != old {
				t.Fatalf("pin: %v", err)
			}
			<-g.told
			l.want(1, 0) // put off
			ns, err = r.enter(context.Background(), ns)
			if err != nil || ns == old {
				t.Errorf("entered the retired incarnation, or %v", err)
			}
			l.want(2, 1)
			r.release(ns)
			<-g.told
			synctest.Wait()
			l.want(2, 2)
			p.close()
		})
	})
	// The timer has fired and waits for the directory's lock; the join gets it
	// first and calls the retirement off.
	t.Run("joined first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, g, l, p, old := start(t)
			p.leave("/x")
			synctest.Wait()
			g.Solo.mu.Lock()
			rec := g.Solo.live["/x"]
			due := rec.due
			g.Solo.mu.Unlock()
			p.join("/x")
			g.Solo.retire("/x", rec, &due) // what the timer does
			time.Sleep(time.Minute)
			l.want(1, 0)
			if r.Lookup("/x") != old || len(g.told) != 0 {
				t.Error("retired with a client in it")
			}
			p.leave("/x")
			synctest.Wait()
			g.Solo.retire("/x", rec, &due) // the same timer, once more: not its countdown
			l.want(1, 0)
			p.close()
			<-g.told
			synctest.Wait()
			l.want(1, 1)
		})
	})
}

// Close stops countdowns; nothing is retired afterwards.
func TestSolo_CloseStopsCountdowns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{Retirement: time.Second})
		l := newLife(t, r)
		p := newPeer(t, r, dial{})
		p.join("/x")
		p.leave("/x")
		synctest.Wait()
		q := newPeer(t, r, dial{})
		q.join("/y")
		closeRegistry(t, r)
		q.wantClosed(ReasonShutdown)
		time.Sleep(time.Minute)
		l.want(2, 0)
		if _, err := r.Accept(newFakeConn(4), &Handshake{}); err != ErrClosed {
			t.Errorf("Accept after Close: %v", err)
		}
		p.conn.ending.Wait()
		q.conn.ending.Wait()
	})
}

// Close waits for handlers, and says so if they do not return in time.
func TestRegistry_CloseWaitsForHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker(t, Options{})
		p := newPeer(t, b.Registry, dial{})
		p.join("/")
		p.event("/", `["block"]`)
		<-b.blocked
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := b.Close(ctx); err == nil {
			t.Error("Close did not wait for a handler")
		}
		var closing sync.WaitGroup
		closing.Go(func() { closeRegistry(t, b.Registry) })
		synctest.Wait()
		close(b.release)
		closing.Wait()
	})
}

// Clients on their way in end with the registry, whatever they wait for.
func TestRegistry_CloseWhileClientsConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		n := m.node(Options{})
		stuck := make(chan struct{})
		n.script(func(n *meshNode) { n.joinStep = func(string) error { <-stuck; return nil } })
		n.reg.Setup("/joining", accept)
		n.reg.Setup("/setup", func(*Namespace, Match) error { time.Sleep(time.Second); return nil })
		p, q := newPeer(t, n.reg, dial{}), newPeer(t, n.reg, dial{})
		p.ask("/joining")
		q.ask("/joining")
		q.ask("/setup")
		synctest.Wait()
		closeRegistry(t, n.reg)
		close(stuck)
		p.conn.ending.Wait()
		q.conn.ending.Wait()
	})
}

// Of makes what it returns permanent, at whatever moment it comes.
func TestRegistry_OfStaysForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{Retirement: time.Second})
		l := newLife(t, r)
		p := newPeer(t, r, dial{})
		s := p.join("/x")
		ns, err := r.Of("x", "")
		if err != nil || ns != s.Namespace() {
			t.Fatalf("Of: %v", err)
		}
		ns.SetRetirement(0)
		p.leave("/x")
		time.Sleep(time.Hour)
		q, err := r.Of("/q", "host.com")
		if err != nil || q.FullName() != "//host.com/q" {
			t.Errorf("Of: %v", err)
		}
		time.Sleep(time.Hour)
		l.want(2, 0)
		p.close()
		for _, bad := range []string{"//other/x", "/a,b", "/\xff"} {
			if _, err := r.Of(bad, ""); err == nil {
				t.Errorf("Of(%q) made a namespace that no client could ask for", bad)
			}
		}
	})
}

// A setup that panics or refuses leaves nothing behind, and is asked again.
func TestRegistry_SetupThatRefusesOrPanics(t *testing.T) {
	r := newRegistry(t, Options{})
	outcome := make(chan func() error, 1)
	r.Setup("/x", func(*Namespace, Match) error { return (<-outcome)() })
	p := newPeer(t, r, dial{})
	for _, c := range []struct {
		f    func() error
		want string
	}{
		{func() error { panic("secret") }, `4/x,{"message":"Invalid namespace"}`},
		{func() error { return context.Canceled }, `4/x,{"message":"Invalid namespace"}`},
		{func() error { return Errorf("full, come %s", "later") }, `4/x,{"message":"full, come later"}`},
	} {
		outcome <- c.f
		p.ask("/x")
		p.want(c.want)
		if r.Lookup("/x") != nil {
			t.Error("a refused namespace stays")
		}
	}
	outcome <- func() error { panic("secret") }
	if ns, err := r.Of("/x", ""); ns != nil || err == nil {
		t.Errorf("Of = %v, %v", ns, err)
	}
	outcome <- func() error { return nil }
	p.join("/x")
}
