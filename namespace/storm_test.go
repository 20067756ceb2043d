package namespace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// storm watches what must always hold while clients come and go.
type storm struct {
	t        testing.TB
	mesh     *mesh
	retired  atomic.Int64
	admitted atomic.Int64

	mu     sync.Mutex        // guards what follows
	epochs map[string]uint64 // the highest seen, by node and full name
	lives  map[*Namespace]string
	epoch  map[*Namespace]uint64
	setups map[string]int // by node
	expire map[string]int
}

// watch sets a node up so that every incarnation and socket is checked.
func (st *storm) watch(n *meshNode) {
	n.reg.Setup("*", func(ns *Namespace, _ Match) error {
		if ns.FullName() == "/" {
			return nil
		}
		ns.SetRetirement(time.Duration(rand.IntN(3)) * time.Millisecond)
		st.mu.Lock()
		st.setups[n.id]++
		if st.lives[ns] != "" {
			st.t.Error("an incarnation was set up twice")
		}
		st.lives[ns] = "live"
		st.mu.Unlock()
		ns.OnExpire(func() {
			st.mu.Lock()
			defer st.mu.Unlock()
			st.expire[n.id]++
			if st.lives[ns] != "live" {
				st.t.Errorf("an incarnation expired that was %q", st.lives[ns])
			}
			st.lives[ns] = "expired"
			if ns.SocketCount() != 0 {
				st.t.Error("an incarnation expired with clients in it")
			}
			if standing, _ := st.mesh.stands(ns.FullName(), n); standing != 0 && standing == ns.Epoch() {
				st.t.Errorf("epoch %d of %s expired and was not retired", standing, ns.FullName())
			}
		})
		ns.OnConnect(func(s *Socket) {
			st.check(n, ns, "connect")
			s.OnDisconnect(func(string) { st.check(n, ns, "disconnect") })
		})
		return nil
	})
}

// check holds while a socket is in: its incarnation is not retired, it is the
// one that stands in the directory, and the node is a member.
func (st *storm) check(n *meshNode, ns *Namespace, when string) {
	epoch := ns.Epoch()
	if standing, member := st.mesh.stands(ns.FullName(), n); standing != epoch || !member {
		st.t.Errorf("%s: a client is in epoch %d of %s, epoch %d stands, member: %v", when, epoch, ns.FullName(), standing, member)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.lives[ns] != "live" {
		st.t.Errorf("%s: a client is in an incarnation that is %s", when, st.lives[ns])
	}
	key := n.id + ns.FullName()
	if epoch < st.epochs[key] {
		st.t.Errorf("%s: epoch %d after %d", key, epoch, st.epochs[key])
	}
	st.epochs[key] = epoch
	if first := st.epoch[ns]; first != 0 && first != epoch {
		st.t.Errorf("%s: an incarnation goes on as epoch %d, it was %d", key, epoch, first)
	}
	st.epoch[ns] = epoch
}

// channel is a namespace in which somebody counts aloud, on one node.
type channel struct {
	full     string
	begun    atomic.Int64 // the last number whose Emit has begun
	accepted atomic.Int64 // the last number whose Emit has returned
}

// count emits numbers until the storm is over.
func (ch *channel) count(t testing.TB, n *meshNode, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(time.Duration(rand.IntN(200)) * time.Microsecond):
		}
		ns := n.reg.Lookup(ch.full)
		if ns == nil {
			continue
		}
		i := ch.begun.Add(1)
		if err := ns.Emit("n", i); err != nil {
			t.Errorf("Emit: %v", err)
		}
		ch.accepted.Store(i)
	}
}

// visit is one client that comes, listens for a while and goes.
func (st *storm) visit(n *meshNode, ch *channel) {
	p := newPeer(st.t, n.reg, dial{})
	defer p.close()
	p.ask(ch.full)
	if rand.IntN(8) == 0 { // some are gone before they are in
		return
	}
	p.admitted(ch.full)
	st.admitted.Add(1)
	from := ch.begun.Load()
	time.Sleep(time.Duration(rand.IntN(1500)) * time.Microsecond)
	to := ch.accepted.Load()
	st.listen(p, ch, from, to)
	if rand.IntN(2) == 0 {
		p.leave(ch.full)
	}
}

// listen checks what the client hears: the numbers in order, each once, from
// the first that was begun after its admission (or earlier) to the last that
// was accepted before it stopped listening (or later).
func (st *storm) listen(p *peer, ch *channel, from, to int64) {
	last := int64(0)
	for last < to && to > from {
		f := p.next()
		digits := strings.TrimSuffix(strings.TrimPrefix(f, "2"+ch.full+`,["n",`), "]")
		n, err := strconv.ParseInt(digits, 10, 64)
		switch {
		case err != nil:
			st.t.Errorf("got %q", f)
			return
		case last == 0 && n > from+1:
			st.t.Errorf("the first number heard is %d, %d had begun at the admission", n, from)
		case last != 0 && n != last+1:
			st.t.Errorf("heard %d after %d", n, last)
		}
		last = n
	}
}

// storming runs n nodes with clients coming and going in few namespaces for d.
func storming(t *testing.T, nodes, clients int, d time.Duration) {
	m := newMesh(t)
	m.auto, m.late = true, time.Millisecond
	st := &storm{
		t: t, mesh: m, epochs: make(map[string]uint64), lives: make(map[*Namespace]string),
		epoch:  make(map[*Namespace]uint64),
		setups: make(map[string]int), expire: make(map[string]int),
	}
	for range nodes {
		n := m.node(Options{Retirement: time.Millisecond})
		st.watch(n)
		n.reg.OnRetire(func(string, uint64) { st.retired.Add(1) })
		n.script(func(n *meshNode) {
			n.joinStep = func(string) error {
				if rand.IntN(4) == 0 {
					time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
				}
				return nil
			}
		})
	}
	over := make(chan struct{})
	var counting, visiting sync.WaitGroup
	channels := make([]*channel, 3)
	for i := range channels {
		channels[i] = &channel{full: fmt.Sprintf("/storm-%d", i)}
		counting.Go(func() { channels[i].count(t, m.nodes[i%nodes], over) })
	}
	stormy := func() bool { return st.retired.Load() > 0 && st.admitted.Load() >= int64(clients) }
	end := time.Now().Add(d)
	for range clients {
		visiting.Go(func() {
			for (time.Now().Before(end) || !stormy() && time.Now().Before(end.Add(patience))) && !t.Failed() {
				st.visit(m.nodes[rand.IntN(nodes)], channels[rand.IntN(len(channels))])
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // lets them run empty
			}
		})
	}
	visiting.Wait()
	close(over)
	counting.Wait()
	eventually(t, "all namespaces have retired", func() bool {
		return !slices.ContainsFunc(m.nodes, func(n *meshNode) bool { return len(n.reg.Namespaces()) > 1 })
	})
	m.settle()
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, n := range m.nodes {
		eventually(t, "no client is left", func() bool { n.reg.mu.Lock(); defer n.reg.mu.Unlock(); return len(n.reg.clients) == 0 })
		n.wantNoFaults(t)
		if st.setups[n.id] != st.expire[n.id] {
			t.Errorf("%s: %d setups, %d expiries", n.id, st.setups[n.id], st.expire[n.id])
		}
		for _, ch := range channels {
			if joins, leaves := n.balance(ch.full); joins != leaves {
				t.Errorf("%s: %d joins and %d leaves of %s", n.id, joins, leaves, ch.full)
			}
		}
	}
	if !stormy() {
		t.Errorf("no storm: %d retirements, %d admissions", st.retired.Load(), st.admitted.Load())
	}
	t.Logf("%d admissions, %d retirements, setups by node %v", st.admitted.Load(), st.retired.Load(), st.setups)
}

func TestStorm_OneNode(t *testing.T)    { storming(t, 1, 20, 1500*time.Millisecond) }
func TestStorm_ThreeNodes(t *testing.T) { storming(t, 3, 30, 1500*time.Millisecond) }
