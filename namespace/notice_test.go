package namespace

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCluster_NoticeOfRetirement(t *testing.T) {
	start := func(t *testing.T) (*mesh, *meshNode, *life, *peer, uint64) {
		m := newMesh(t)
		n := m.node(Options{})
		l := newLife(t, n.reg)
		p := newPeer(t, n.reg, dial{})
		p.join("/x")
		return m, n, l, p, n.reg.Lookup("/x").Epoch()
	}
	bubble := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	bubble("empty", func(t *testing.T) {
		m, n, l, p, epoch := start(t)
		retired := make(chan uint64, 2)
		n.reg.OnRetire(func(_ string, epoch uint64) { retired <- epoch })
		p.close()
		synctest.Wait()
		if got := m.retire("/x"); got != epoch {
			t.Errorf("retired epoch %d, want %d", got, epoch)
		}
		m.settle()
		l.want(1, 1)
		if n.reg.Lookup("/x") != nil {
			t.Error("still there")
		}
		n.reg.Retire("/x", epoch) // a notice that comes twice
		l.want(1, 1)
		if got := <-retired; got != epoch || len(retired) != 0 {
			t.Errorf("OnRetire told of epoch %d", got)
		}
	})
	bubble("other epoch", func(t *testing.T) {
		_, n, l, p, epoch := start(t)
		p.close()
		synctest.Wait()
		n.reg.Retire("/x", epoch-1)
		n.reg.Retire("/x", epoch+1)
		l.want(1, 0)
		if n.reg.Lookup("/x") == nil {
			t.Error("a notice of another epoch took it away")
		}
	})
	bubble("with a socket", func(t *testing.T) {
		_, n, l, p, epoch := start(t)
		n.reg.Retire("/x", epoch)
		p.leave("/x")
		synctest.Wait()
		l.want(1, 0) // the assertion puts it right, not the notice
		p.close()
	})
	// Decided when the pin is over: the client was not let in.
	bubble("pinned", func(t *testing.T) {
		m, n, l, p, epoch := start(t)
		p.leave("/x")
		n.reg.Lookup("/x").Use(func(context.Context, *Socket) error { time.Sleep(time.Second); return errors.New("no") })
		synctest.Wait()
		p.ask("/x")
		synctest.Wait()
		m.forget("/x")
		n.reg.Retire("/x", epoch)
		l.want(1, 0)
		p.want(`4/x,{"message":"Forbidden"}`)
		synctest.Wait()
		l.want(1, 1)
		if n.reg.Lookup("/x") != nil {
			t.Error("still there")
		}
		p.close()
	})
	// The same, but the socket is in: ignored until an assertion.
	bubble("pinned, then admitted", func(t *testing.T) {
		_, n, l, p, epoch := start(t)
		p.leave("/x")
		n.reg.Lookup("/x").Use(func(context.Context, *Socket) error { time.Sleep(time.Second); return nil })
		synctest.Wait()
		p.ask("/x")
		synctest.Wait()
		n.reg.Retire("/x", epoch)
		p.admitted("/x")
		l.want(1, 0)
		n.reg.Adopt("/x", epoch) // the assertion: it stands, the notice was of old data
		p.close()
		synctest.Wait()
		l.want(1, 0)
		if n.reg.Lookup("/x") == nil {
			t.Error("a notice that was overruled took it away")
		}
	})
	// The join that is under way will answer with another epoch.
	bubble("joining", func(t *testing.T) {
		m, n, l, p, epoch := start(t)
		p.leave("/x")
		synctest.Wait()
		n.script(func(n *meshNode) { n.joinStep = func(string) error { time.Sleep(time.Second); return nil } })
		p.ask("/x")
		synctest.Wait()
		if m.retire("/x") != epoch {
			t.Error("the namespace was not retired")
		}
		n.inbox.drain()
		l.want(1, 0)
		p.admitted("/x")
		l.want(2, 1)
		if got := n.reg.Lookup("/x").Epoch(); got <= epoch {
			t.Errorf("epoch %d after %d", got, epoch)
		}
		p.close()
	})
	// A notice that came while joining counts if the join then fails.
	bubble("joining, in vain", func(t *testing.T) {
		m, n, l, p, epoch := start(t)
		p.leave("/x")
		synctest.Wait()
		n.script(func(n *meshNode) { n.joinStep = func(string) error { time.Sleep(time.Second); return errDown } })
		p.ask("/x")
		synctest.Wait()
		if m.retire("/x") != epoch {
			t.Error("the namespace was not retired")
		}
		p.want(`4/x,{"message":"Namespace unavailable"}`)
		synctest.Wait()
		l.want(1, 1)
		if n.reg.Lookup("/x") != nil {
			t.Error("still there")
		}
		p.close()
	})
	bubble("after Close", func(t *testing.T) {
		_, n, l, p, epoch := start(t)
		p.close()
		closeRegistry(t, n.reg)
		n.reg.Retire("/x", epoch)
		l.want(1, 0) // the namespace goes on elsewhere
	})
}

// Of keeps an on-demand namespace for good, also while it counts down: the
// countdown is called off in the directory, too.
func TestCluster_OfDuringTheCountdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.auto = true
		n := m.node(Options{Retirement: 5 * time.Second})
		l := newLife(t, n.reg)
		p := newPeer(t, n.reg, dial{})
		p.join("/x")
		p.close()
		time.Sleep(4 * time.Second)
		ns, err := n.reg.Of("/x", "")
		if err != nil || !ns.Permanent() {
			t.Fatalf("Of: %v", err)
		}
		time.Sleep(time.Hour)
		if n.reg.Lookup("/x") != ns {
			t.Error("it has retired")
		}
		if epoch, _ := m.stands("/x", n); epoch != ns.Epoch() {
			t.Errorf("the directory has epoch %d, the node %d", epoch, ns.Epoch())
		}
		l.want(1, 0)
		if got := uses(ns); got != 0 {
			t.Errorf("%d uses are left", got)
		}
		joins, leaves := n.balance("/x")
		if joins != leaves {
			t.Errorf("%d joins and %d leaves", joins, leaves)
		}
	})
}

// Redis restarted while the answer to a join was on its way: the incarnation
// has been adopted under a newer epoch by then, and goes on under that.
func TestCluster_AdoptOvertakesTheAnswerOfAJoin(t *testing.T) {
	for name, before := range map[string]bool{"first join": false, "joined before": true} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t)
			n := m.node(Options{})
			l := newLife(t, n.reg)
			p := newPeer(t, n.reg, dial{})
			if before {
				p.join("/x")
				p.leave("/x")
				eventually(t, "the node has left", func() bool { _, leaves := n.balance("/x"); return leaves == 1 })
				n.ops.drain()
				m.forget("/x")
			}
			var adopted atomic.Uint64
			n.script(func(n *meshNode) {
				n.answerStep = func(full string, epoch uint64) {
					adopted.Store(epoch + 50)
					m.mu.Lock()
					m.dir[full].epoch = epoch + 50
					m.mu.Unlock()
					n.reg.Adopt(full, epoch+50)
				}
			})
			ns := p.join("/x").Namespace()
			if got, want := ns.Epoch(), adopted.Load(); got != want {
				t.Errorf("epoch %d, want the adopted one, %d", got, want)
			}
			l.want(1, 0)
		})
	}
}

func TestCluster_Adopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		n := m.node(Options{})
		l := newLife(t, n.reg)
		p := newPeer(t, n.reg, dial{})
		s := p.join("/x")
		old := s.Namespace().Epoch()
		n.reg.Adopt("/x", old+5)
		n.reg.Adopt("/unknown", 1)
		if got := s.Namespace().Epoch(); got != old+5 {
			t.Errorf("epoch %d, want %d", got, old+5)
		}
		n.reg.Retire("/x", old) // late, of the one before
		l.want(1, 0)
		p.want()
		if !s.Connected() {
			t.Error("a client was dropped")
		}
		p.close()
		synctest.Wait()
		n.reg.Retire("/x", old+5)
		l.want(1, 1)
	})
}
