package sim

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

// oracle knows what must hold, whatever breaks:
//
//   - retired while in use: no incarnation is retired in which a registered node has a socket,
//     nor before its retirement time has passed since the last one left;
//   - nobody in a retired incarnation: a socket's namespace has not expired;
//   - expired once: OnExpire runs once for each node and incarnation, when it is empty;
//   - one holder: no two nodes hold the lease with the same token, and once things are calm no two hold it at all;
//   - nobody dropped: only a node that stops closes connections;
//   - order and once: of each sender, a receiver hears what it hears in order, and nothing twice;
//   - complete: what is published while all nodes are ready and nothing breaks reaches everybody addressed;
//   - gone in time: what is empty everywhere is gone from all nodes after its retirement time and a second,
//     once things are calm;
//   - one incarnation: once things are calm, all nodes that have sockets in a namespace have the same epoch;
//   - clean: in the end no key, subscription or goroutine is left.
type oracle struct {
	w      *world
	log    *trace
	logger *slog.Logger

	mu           sync.Mutex // guards what follows
	failures     []string
	nodes        []*node
	incarnations map[*namespace.Namespace]*incarnation
	occupied     map[string]time.Time // when a registered node last saw a socket leave, by full name
	calmFrom     time.Time            // the last disturbance is over then
	disturbances int
	empty        map[string]time.Time // since when it has been empty everywhere, in calm, by full name
	pending      []delivery
}

// incarnation is one on one node.
type incarnation struct {
	node    *node
	expired bool
}

// delivery is an event that has to reach its audience.
type delivery struct {
	event        string
	full         string
	at           time.Time
	disturbances int // so far; one more, and nothing is promised
	audience     []*conn
}

// Bounds of the oracle.
const (
	// deliveredWithin is what a message may take in calm, slow answers of Redis included.
	deliveredWithin = 5 * time.Second
	// calmAfter is how long after the last disturbance all must be as if there had been none: a node that
	// died is evicted, a new era is settled, a lease has a holder.
	calmAfter = 3*nodeTTL + 2*leaseTTL
	// goneWithin is how long after its retirement time an empty namespace may be there, the
	// oracle's own interval included.
	goneWithin = time.Second + lookEvery
	lookEvery  = 500 * time.Millisecond
	// maxConnections bounds a node's connections to Redis.
	maxConnections = 16
)

func newOracle(w *world, log *trace) *oracle {
	return &oracle{
		w: w, log: log,
		incarnations: make(map[*namespace.Namespace]*incarnation),
		occupied:     make(map[string]time.Time),
		empty:        make(map[string]time.Time),
		calmFrom:     time.Now(),
	}
}

// broken notes that a promise was broken.
func (o *oracle) broken(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	o.log.add("BROKEN: %s", text)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.failures) < 20 {
		o.failures = append(o.failures, text)
	}
}

func (o *oracle) verdict() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.failures)
}

// disturb notes that something breaks, for d from now.
func (o *oracle) disturb(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.disturbances++
	if until := time.Now().Add(d); until.After(o.calmFrom) {
		o.calmFrom = until
	}
	clear(o.empty)
}

// calm reports whether things have been calm for d.
func (o *oracle) calm(d time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !time.Now().Before(o.calmFrom.Add(d))
}

// noteNodes keeps the list of live nodes. The main goroutine calls it.
func (w *world) noteNodes() {
	w.oracle.mu.Lock()
	defer w.oracle.mu.Unlock()
	w.oracle.nodes = slices.Clone(w.nodes)
}

func (o *oracle) liveNodes() []*node {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.nodes
}

func (n *node) registered() bool {
	member, _ := n.cluster.Stats()
	return member.Registered
}

// setUp is the setup of every namespace.
func (o *oracle) setUp(n *node, ns *namespace.Namespace) {
	inc := &incarnation{node: n}
	o.mu.Lock()
	o.incarnations[ns] = inc
	o.mu.Unlock()
	ns.OnExpire(func() { o.expire(ns, inc) })
	ns.OnConnect(func(s *namespace.Socket) {
		if o.isExpired(inc) {
			o.broken("a client came into an expired incarnation of %s on %s", ns.FullName(), n.name)
		}
		s.OnDisconnect(func(string) { o.left(n, ns) })
	})
	ns.On("say", func(ctx context.Context, e *namespace.Event) error {
		var room, from string
		var number int
		if err := e.Bind(&room, &from, &number); err != nil {
			return err
		}
		to := e.Socket().Broadcast()
		if room != "" {
			to = e.Socket().To(room)
		}
		return to.Emit("said", from, number)
	})
	ns.On("join", namespace.Handle(func(ctx context.Context, room string) (struct{}, error) {
		return struct{}{}, namespace.SocketFrom(ctx).Join(room)
	}))
	ns.On("leave", namespace.Handle(func(ctx context.Context, room string) (struct{}, error) {
		namespace.SocketFrom(ctx).Leave(room)
		return struct{}{}, nil
	}))
}

func (o *oracle) isExpired(inc *incarnation) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return inc.expired
}

func (o *oracle) expire(ns *namespace.Namespace, inc *incarnation) {
	o.log.add("%s expires on %s, epoch %d", ns.FullName(), inc.node.name, ns.Epoch())
	if n := ns.SocketCount(); n > 0 {
		o.broken("%s expired on %s with %d sockets", ns.FullName(), inc.node.name, n)
	}
	o.mu.Lock()
	twice := inc.expired
	inc.expired = true
	o.mu.Unlock()
	if twice {
		o.broken("%s expired twice on %s", ns.FullName(), inc.node.name)
	}
}

// left notes when a socket left a node that the cluster counts on.
func (o *oracle) left(n *node, ns *namespace.Namespace) {
	if !n.registered() {
		return // the others may have evicted it, and may count the time from then
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.occupied[ns.FullName()] = time.Now()
}

// leaving notes that a node is about to go, with whatever it has.
func (o *oracle) leaving(n *node) { o.disturbNode() }

// disturbNode is for what breaks no link between those that stay: it delays retirement only.
func (o *oracle) disturbNode() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.After(o.calmFrom) {
		o.calmFrom = now
	}
	clear(o.empty)
}

// retired hears what the lease holder has decided.
func (o *oracle) retired(holder *node, full string, epoch uint64) {
	o.log.add("%s retires %s, epoch %d", holder.name, full, epoch)
	for _, n := range o.liveNodes() {
		ns := n.reg.Lookup(full)
		if ns != nil && ns.Epoch() == epoch && ns.SocketCount() > 0 && n.registered() {
			o.broken("%s was retired by %s while %s had %d sockets in it", full, holder.name, n.name, ns.SocketCount())
		}
	}
	o.mu.Lock()
	last, known := o.occupied[full]
	o.mu.Unlock()
	if since := time.Since(last); known && since < retirement {
		o.broken("%s was retired %v after its last socket had left, want %v", full, since, retirement)
	}
}

// published notes an event that everybody addressed has to get, if nothing breaks.
func (w *world) published(from *conn, n int, room string) {
	if !w.calm(0) || !w.allReady() {
		return
	}
	d := delivery{event: fmt.Sprint(from.name, "/", n), full: from.full, at: time.Now()}
	for _, c := range w.clients {
		if c.conn == nil || c.conn == from || c.conn.full != from.full {
			continue
		}
		c.conn.mu.Lock()
		in := !c.conn.over && !c.conn.admitted.IsZero()
		if at, joined := c.conn.rooms[room]; room != "" {
			in = in && joined && time.Since(at) > 2*time.Second
		}
		c.conn.mu.Unlock()
		if in {
			d.audience = append(d.audience, c.conn)
		}
	}
	w.oracle.mu.Lock()
	defer w.oracle.mu.Unlock()
	d.disturbances = w.oracle.disturbances
	w.oracle.pending = append(w.oracle.pending, d)
}

func (w *world) allReady() bool {
	for _, n := range w.nodes {
		if n.cluster.Ready() != nil || !n.cluster.Connected() {
			return false
		}
	}
	return true
}

// look holds what can be seen against what must be. The main goroutine calls it.
func (w *world) look() {
	w.lookAtDeliveries()
	w.lookAtLease()
	w.lookAtNamespaces()
	for _, n := range w.nodes {
		if k := len(n.all()); k > maxConnections {
			w.broken("%s has %d connections to Redis", n.name, k)
		}
	}
}

func (w *world) lookAtDeliveries() {
	o := w.oracle
	o.mu.Lock()
	var due []delivery
	for len(o.pending) > 0 && time.Since(o.pending[0].at) >= deliveredWithin {
		if o.pending[0].disturbances == o.disturbances {
			due = append(due, o.pending[0])
		}
		o.pending = o.pending[1:]
	}
	o.mu.Unlock()
	for _, d := range due {
		for _, c := range d.audience {
			c.mu.Lock()
			missing := !c.over && !c.got[d.event]
			delete(c.got, d.event)
			c.mu.Unlock()
			if missing {
				w.broken("%s at %s never got event %s to %s, published %v ago", c.name, c.node.name, d.event, d.full, time.Since(d.at))
			}
		}
	}
}

func (w *world) lookAtLease() {
	holders := make(map[uint64]string)
	for _, n := range w.nodes {
		member, _ := n.cluster.Stats()
		token := member.LeaseToken
		if token == 0 {
			continue
		}
		if other := holders[token]; other != "" {
			w.broken("%s and %s hold the lease with the same token %d", other, n.name, token)
		}
		holders[token] = n.name
	}
	if len(holders) > 1 && w.calm(leaseTTL+time.Second) {
		w.broken("the lease has %d holders: %v", len(holders), holders)
	}
}

func (w *world) lookAtNamespaces() {
	inUse := make(map[string]bool)
	for _, c := range w.clients {
		if cn := c.conn; cn != nil {
			cn.mu.Lock()
			inUse[cn.full] = inUse[cn.full] || !cn.over && !cn.refused
			cn.mu.Unlock()
		}
	}
	there := make(map[string]bool)
	epochs := make(map[string]uint64)
	for _, n := range w.nodes {
		for _, ns := range n.reg.Namespaces() {
			full := ns.FullName()
			if full == "/" {
				continue
			}
			there[full] = true
			if ns.SocketCount() == 0 {
				continue
			}
			w.oracle.mu.Lock()
			inc := w.incarnations[ns]
			w.oracle.mu.Unlock()
			if inc != nil && w.isExpired(inc) {
				w.broken("%s has sockets in an expired incarnation of %s", n.name, full)
			}
			if epoch := epochs[full]; w.calm(calmAfter) && epoch != 0 && epoch != ns.Epoch() {
				w.broken("%s has epochs %d and, on %s, %d", full, epoch, n.name, ns.Epoch())
			}
			epochs[full] = ns.Epoch()
		}
	}
	if !w.calm(calmAfter) {
		return
	}
	for full := range there {
		since, known := w.empty[full]
		switch {
		case inUse[full]:
			delete(w.empty, full)
		case !known:
			w.empty[full] = time.Now()
		case time.Since(since) > retirement+goneWithin:
			w.broken("%s has been empty for %v and is still there", full, time.Since(since))
		}
	}
	for full := range w.empty {
		if !there[full] {
			delete(w.empty, full)
		}
	}
}
