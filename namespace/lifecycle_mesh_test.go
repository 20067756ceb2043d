package namespace

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// life counts what happens to the incarnations of one node, and checks that
// each is set up once and expires at most once.
type life struct {
	t  testing.TB
	mu sync.Mutex // guards what follows

	setups, expiries int
	log              []string
	expired          map[*Namespace]bool
	refuse           error // what the setup returns
	configure        func(*Namespace)
}

func newLife(t testing.TB, r *Registry) *life {
	l := &life{t: t, expired: make(map[*Namespace]bool)}
	r.Setup("*", l.setup)
	return l
}

func (l *life) setup(ns *Namespace, _ Match) error {
	if ns.FullName() == "/" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = append(l.log, "setup")
	if l.refuse != nil {
		return l.refuse
	}
	l.setups++
	ns.OnExpire(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.log = append(l.log, "expire")
		l.expiries++
		if l.expired[ns] {
			l.t.Errorf("%s expired twice", ns.FullName())
		}
		l.expired[ns] = true
	})
	if l.configure != nil {
		l.configure(ns)
	}
	return nil
}

func (l *life) refuseWith(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = err
}

func (l *life) want(setups, expiries int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.setups != setups || l.expiries != expiries {
		l.t.Errorf("%d setups and %d expiries, want %d and %d (%v)", l.setups, l.expiries, setups, expiries, l.log)
	}
}

// First clients that come at once share one join, and the setup runs once.
func TestCluster_FirstClientsShareOneJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		n := m.node(Options{})
		l := newLife(t, n.reg)
		n.script(func(n *meshNode) { n.joinStep = func(string) error { time.Sleep(time.Second); return nil } })
		var peers []*peer
		for range 10 {
			p := newPeer(t, n.reg, dial{})
			p.ask("/x")
			peers = append(peers, p)
		}
		synctest.Wait()
		for _, p := range peers {
			p.wantNothing() // admitted after the answer only
		}
		time.Sleep(2 * time.Second)
		for _, p := range peers {
			p.admitted("/x")
			p.close()
		}
		synctest.Wait()
		if joins, leaves := n.balance("/x"); joins != 1 || leaves != 1 {
			t.Errorf("%d joins and %d leaves, want 1 and 1", joins, leaves)
		}
		n.wantNoFaults(t)
		l.want(1, 0)
	})
}

// The node is a member from the CONNECT on, through the middleware, and leaves
// when the refusal gave the pin back.
func TestCluster_PinIsAMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		n := m.node(Options{})
		l := newLife(t, n.reg)
		l.configure = func(ns *Namespace) {
			ns.Use(func(context.Context, *Socket) error { time.Sleep(time.Second); return errors.New("no") })
		}
		p := newPeer(t, n.reg, dial{})
		p.ask("/x")
		synctest.Wait()
		if epoch, member := m.stands("/x", n); epoch == 0 || !member {
			t.Error("no member while the middleware runs")
		}
		if got := m.retire("/x"); got != 0 {
			t.Error("retired under a pin")
		}
		p.want(`4/x,{"message":"Forbidden"}`)
		synctest.Wait()
		if _, member := m.stands("/x", n); member {
			t.Error("still a member after the refusal")
		}
		if m.retire("/x") == 0 {
			t.Error("does not retire after the refusal")
		}
		m.settle()
		l.want(1, 1)
		p.close()
	})
}

// A join that gets no answer refuses all who waited for it, leaves nothing
// behind, and the next client finds everything as at first.
func TestCluster_JoinFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		n := m.node(Options{})
		l := newLife(t, n.reg)
		n.script(func(n *meshNode) { n.joinStep = func(string) error { time.Sleep(time.Second); return errDown } })
		a, b := newPeer(t, n.reg, dial{}), newPeer(t, n.reg, dial{})
		a.ask("/x")
		b.ask("/x")
		a.want(`4/x,{"message":"Namespace unavailable"}`)
		b.want(`4/x,{"message":"Namespace unavailable"}`)
		synctest.Wait()
		if n.reg.Lookup("/x") != nil {
			t.Error("an incarnation stays that the directory knows nothing of")
		}
		l.want(1, 1) // what its setup began has to end
		n.script(func(n *meshNode) { n.joinStep = nil })
		a.join("/x")
		l.want(2, 1)
		n.wantNoFaults(t)
		a.close()
		b.close()
	})
}

// A permanent namespace outlives a join that fails.
func TestCluster_JoinFailsForPermanent(t *testing.T) {
	m := newMesh(t)
	n := m.node(Options{})
	newLife(t, n.reg)
	ns, err := n.reg.Of("/p", "")
	if err != nil {
		t.Fatal(err)
	}
	n.script(func(n *meshNode) { n.joinStep = func(string) error { return errDown } })
	p := newPeer(t, n.reg, dial{})
	p.ask("/p")
	p.want(`4/p,{"message":"Namespace unavailable"}`)
	eventually(t, "the pin is back", func() bool { return uses(ns) == 0 })
	if n.reg.Lookup("/p") != ns {
		t.Error("the permanent namespace is gone")
	}
	n.script(func(n *meshNode) { n.joinStep = nil })
	p.join("/p")
}

// A client that gives up while a join is under way takes nothing from others.
func TestCluster_ClientLeavesWhileJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		n := m.node(Options{})
		l := newLife(t, n.reg)
		n.script(func(n *meshNode) { n.joinStep = func(string) error { time.Sleep(time.Second); return nil } })
		first, second := newPeer(t, n.reg, dial{}), newPeer(t, n.reg, dial{})
		first.ask("/x")
		synctest.Wait()
		second.ask("/x")
		synctest.Wait()
		first.close() // its goroutine made the call
		second.admitted("/x")
		synctest.Wait()
		if n := uses(n.reg.Lookup("/x")); n != 1 {
			t.Errorf("%d uses, want 1", n)
		}
		second.close()
		synctest.Wait()
		if joins, leaves := n.balance("/x"); joins != 1 || leaves != 1 {
			t.Errorf("%d joins and %d leaves, want 1 and 1", joins, leaves)
		}
		l.want(1, 0)
	})
}

// Another incarnation stands than the one this node has: that one expires
// first, one fresh one is set up, and everybody who waited is in it.
func TestCluster_JoinAnswersAnotherEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		n, other := m.node(Options{}), m.node(Options{})
		l := newLife(t, n.reg)
		newLife(t, other.reg)
		p := newPeer(t, n.reg, dial{})
		p.join("/x")
		old := n.reg.Lookup("/x")
		p.leave("/x")
		synctest.Wait()
		m.forget("/x") // this node will not be told
		q := newPeer(t, other.reg, dial{})
		q.join("/x")

		n.script(func(n *meshNode) { n.joinStep = func(string) error { time.Sleep(time.Second); return nil } })
		peers := []*peer{p, newPeer(t, n.reg, dial{}), newPeer(t, n.reg, dial{})}
		for _, p := range peers {
			p.ask("/x")
		}
		for _, p := range peers {
			p.admitted("/x")
			for _, s := range p.client.Sockets() {
				if s.Namespace() == old {
					t.Error("a client is in the retired incarnation")
				}
			}
		}
		synctest.Wait()
		fresh := n.reg.Lookup("/x")
		if fresh == old || fresh.Epoch() != other.reg.Lookup("/x").Epoch() || fresh.Epoch() <= old.Epoch() {
			t.Errorf("epochs: %d before, %d now", old.Epoch(), fresh.Epoch())
		}
		if got := uses(fresh); got != 3 {
			t.Errorf("%d uses, want 3", got)
		}
		l.want(2, 1)
		if got := fmt.Sprint(l.log); got != "[setup expire setup]" {
			t.Errorf("order: %s", got)
		}
		for _, p := range append(peers, q) {
			p.close()
		}
		synctest.Wait()
		if joins, leaves := n.balance("/x"); joins != 2 || leaves != 2 {
			t.Errorf("%d joins and %d leaves, want 2 and 2", joins, leaves)
		}
		n.wantNoFaults(t)
	})
}

// The same, but the fresh incarnation is refused: everybody is, the node does
// not stay a member, and who comes meanwhile is not lost.
func TestCluster_JoinAnswersAnotherEpochAndSetupRefuses(t *testing.T) {
	for range 100 {
		m := newMesh(t)
		n := m.node(Options{})
		l := newLife(t, n.reg)
		p := newPeer(t, n.reg, dial{})
		p.join("/x")
		p.leave("/x")
		eventually(t, "the node has left", func() bool { _, leaves := n.balance("/x"); return leaves == 1 })
		n.ops.drain()
		m.forget("/x")
		l.refuseWith(errors.New("not any more"))
		p.ask("/x")
		p.want(`4/x,{"message":"Invalid namespace"}`)
		l.refuseWith(nil)
		p.join("/x") // at once: its join must not overtake the leave
		m.settle()
		if _, member := m.stands("/x", n); !member {
			t.Fatal("a client is in, and the node is no member")
		}
		n.wantNoFaults(t)
		l.want(2, 1)
	}
}

// The directory is told the namespace's own retirement time, not the default.
func TestCluster_LeaveNamesTheRetirementOfTheNamespace(t *testing.T) {
	m := newMesh(t)
	n := m.node(Options{Retirement: time.Hour})
	m.auto = true
	l := newLife(t, n.reg)
	l.configure = func(ns *Namespace) { ns.SetRetirement(time.Millisecond) }
	p := newPeer(t, n.reg, dial{})
	p.join("/x")
	p.leave("/x")
	eventually(t, "retired", func() bool { return n.reg.Lookup("/x") == nil })
	eventually(t, "expired", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.expiries == 1 })
}

// Of any number of clients at once none makes a second incarnation, and every
// use is given back.
func TestRegistry_ManyFirstClientsMakeOneNamespace(t *testing.T) {
	r := newRegistry(t, Options{Retirement: time.Hour})
	var setups atomic.Int64
	r.Setup("*", func(ns *Namespace, _ Match) error {
		setups.Add(1)
		time.Sleep(time.Millisecond)
		return nil
	})
	setups.Store(0)
	peers := make([]*peer, 100)
	var all sync.WaitGroup
	for i := range peers {
		peers[i] = newPeer(t, r, dial{})
		all.Go(func() { _ = peers[i].client.Receive([]byte("0/x,"), false) })
	}
	all.Wait()
	for _, p := range peers {
		p.admitted("/x")
	}
	if n := setups.Load(); n != 1 {
		t.Errorf("%d setups, want 1", n)
	}
	ns := r.Lookup("/x")
	if n := uses(ns); n != 100 {
		t.Errorf("%d uses, want 100", n)
	}
	for _, p := range peers {
		p.close()
	}
	eventually(t, "every use is back", func() bool { return uses(ns) == 0 })
}
