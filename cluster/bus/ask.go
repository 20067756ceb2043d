package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/cluster/wire"
	"github.com/dynamicio/dynamicio/namespace"
)

// asks are the questions of this node that wait for answers.
type asks struct {
	mu        sync.Mutex // guards the maps; a leaf
	byID      map[string]*ask
	byPayload map[string]*ask
}

// ask is one question. It is complete when as many servers have answered as were subscribed when it was
// asked, this one included: it answers by hearing the question.
type ask struct {
	id   string
	kind namespace.Kind
	wake chan struct{} // holds one if there is something new

	mu      sync.Mutex // guards the rest; a leaf
	inbox   []*wire.Response
	servers int // how many were subscribed; -1 until Redis has said so
	self    bool
	err     error // why it was not published
}

// own says whether payload is a question that this node asked, and notes that it was heard.
func (as *asks) own(payload []byte) bool {
	as.mu.Lock()
	q := as.byPayload[string(payload)]
	as.mu.Unlock()
	if q == nil {
		return false
	}
	q.update(func() { q.self = true })
	return true
}

func (q *ask) update(f func()) {
	q.mu.Lock()
	f()
	q.mu.Unlock()
	signal(q.wake)
}

// answered takes an answer that was heard; most on the common channel are other servers'.
func (b *Bus) answered(payload []byte) {
	r, err := wire.DecodeResponse(payload, b.opts.Dialect, b.decodedLimit())
	if err != nil {
		b.dropped("", err)
		return
	}
	b.asks.mu.Lock()
	q := b.asks.byID[r.ID]
	b.asks.mu.Unlock()
	if q == nil {
		b.stats.ignored.Add(1)
		return
	}
	q.update(func() { q.inbox = append(q.inbox, r) })
}

// Ask passes a question on to the other nodes and servers, in order with what was published, and calls
// each with every answer, one call at a time, until all have come or ctx is over (AskTimeout if it has no deadline):
// KindFetch, KindServerSide, and KindBroadcast for the acknowledgements of clients.
//
// If somebody did not answer, the error is or wraps a [*namespace.MissingError] with
// the ids of those nodes, "unknown" for each that has none, such as a server of another make. Where clients of
// nodes that did answer acknowledged nothing, it wraps [namespace.ErrTimeout]. If
// Redis did not take the question, it wraps [ErrUnsent], too. A namespace that the node has not entered may be
// asked about; that takes a round trip more.
func (b *Bus) Ask(ctx context.Context, m *namespace.Message, each func(namespace.Answer)) error {
	if _, ends := ctx.Deadline(); !ends {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.opts.AskTimeout)
		defer cancel()
	}
	switch m.Kind {
	case namespace.KindFetch, namespace.KindServerSide, namespace.KindBroadcast:
	default:
		return wire.ErrKind
	}
	b.stats.asked.Add(1)
	q := &ask{id: randomID(), kind: m.Kind, wake: make(chan struct{}, 1), servers: -1}
	if m.Timeout <= 0 {
		copied := *m
		deadline, _ := ctx.Deadline()
		copied.Timeout = max(time.Until(deadline), time.Millisecond)
		m = &copied
	}
	payload, err := wire.AppendRequest(nil, b.opts.Dialect, b.uid, q.id, m)
	if err != nil {
		return err
	}
	if err := b.checkSize(payload); err != nil {
		return err
	}
	forget := b.asks.add(q, payload)
	defer forget()
	members := b.members(ctx, m.FullName)
	defer members.wait()
	tally := tally{q: q, each: each, nodes: make(map[string]*voter)}
	if err = b.listen(ctx, m.FullName); err == nil {
		defer b.unlisten(m.FullName)
		b.put(ctx, q, b.requestChannel(m.FullName), payload)
		err = tally.collect(ctx, b.ctx)
	}
	if err == nil {
		err = b.recheck(ctx, &tally, members.wait(), m.FullName)
	} else if !errors.Is(err, ErrClosed) {
		err = b.missing(&tally, members.wait(), err)
	}
	if err != nil {
		b.stats.failed.Add(1)
	}
	return err
}

func (as *asks) add(q *ask, payload []byte) (forget func()) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.byID[q.id], as.byPayload[string(payload)] = q, q
	return func() {
		as.mu.Lock()
		defer as.mu.Unlock()
		delete(as.byID, q.id)
		delete(as.byPayload, string(payload))
	}
}

// listen makes sure that answers are received.
func (b *Bus) listen(ctx context.Context, full string) error {
	b.mu.Lock()
	common := b.retain(b.responseChannel(full), chanResponse, nil)
	own := b.retain(b.ownResponseChannel(full), chanResponse, nil)
	b.mu.Unlock()
	for _, s := range []*sub{common, own} {
		if err := b.await(ctx, s, false); err != nil {
			b.unlisten(full)
			return errors.Join(ErrUnsent, err)
		}
	}
	return nil
}

func (b *Bus) unlisten(full string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.release(b.subs[b.responseChannel(full)], nil)
	b.release(b.subs[b.ownResponseChannel(full)], nil)
}

// put publishes the question, and has q told how many servers are asked.
func (b *Bus) put(ctx context.Context, q *ask, channel string, payload []byte) {
	it := outItem{channel: channel, payload: payload, ctx: ctx, numSub: true}
	cluster, isCluster := b.opts.Client.(*redis.ClusterClient)
	total := 0
	if isCluster {
		// Each server of a Redis Cluster knows its own subscribers only.
		var err error
		if total, err = countSubscribers(ctx, cluster, channel); err != nil {
			q.update(func() { q.err = errors.Join(ErrUnsent, err) })
			return
		}
		it.numSub = false
	}
	// Otherwise they are counted by the command right before the PUBLISH.
	it.done = func(n int, err error) {
		if isCluster {
			n = total
		}
		q.update(func() { q.servers, q.err = n, err })
	}
	b.out.push(b, it)
}

func countSubscribers(ctx context.Context, c *redis.ClusterClient, channel string) (int, error) {
	var mu sync.Mutex // guards total
	total := 0
	err := c.ForEachMaster(ctx, func(ctx context.Context, m *redis.Client) error {
		counts, err := m.PubSubNumSub(ctx, channel).Result()
		mu.Lock()
		defer mu.Unlock()
		total += int(counts[channel])
		return err
	})
	return total, err
}

// tally counts answers. It belongs to the goroutine of Ask.
type tally struct {
	q     *ask
	each  func(namespace.Answer)
	nodes map[string]*voter // by id, those that have one

	servers       int // that were subscribed, -1 if not known
	heard         int // servers that answered
	clients, acks int // of a broadcast: to come, and come
}

// voter is what one node said.
type voter struct {
	answered      bool
	incomplete    bool
	clients, acks int
}

func (v *voter) done() bool { return v.answered && !v.incomplete }

// late is how many clients of the node have not acknowledged.
func (v *voter) late() int { return max(0, v.clients-v.acks) }

// collect returns nil when every server has answered.
func (t *tally) collect(ctx, busCtx context.Context) error {
	t.servers = -1
	for {
		t.q.mu.Lock()
		inbox, self, err := t.q.inbox, t.q.self, t.q.err
		t.q.inbox, t.servers = nil, t.q.servers
		t.q.mu.Unlock()
		for _, r := range inbox {
			t.take(r)
		}
		heard := t.heard
		if self {
			heard++
		}
		switch {
		case err != nil:
			t.servers = -1
			return err
		case t.servers >= 0 && heard >= t.servers && t.acks >= t.clients:
			return nil
		}
		select {
		case <-t.q.wake:
		case <-ctx.Done():
			if self && t.servers > 0 {
				t.servers-- // not one of those that are missing
			}
			return ctx.Err()
		case <-busCtx.Done():
			return ErrClosed
		}
	}
}

// take counts one answer and passes it on. What does not answer the question is not counted.
func (t *tally) take(r *wire.Response) {
	v := &voter{}
	if r.Node != "" {
		if t.nodes[r.Node] == nil {
			t.nodes[r.Node] = v
		}
		v = t.nodes[r.Node]
	}
	v.incomplete = v.incomplete || r.Incomplete
	a := namespace.Answer{Node: r.Node}
	switch {
	case t.q.kind == namespace.KindBroadcast && r.Type == wire.TypeClientCount:
		t.heard++
		t.clients += r.Clients
		v.answered, v.clients, a.Clients = true, r.Clients, r.Clients
	case t.q.kind == namespace.KindBroadcast && r.Type == wire.TypeClientAck:
		t.acks++
		v.acks++
		a.Args = r.Args
	case t.q.kind == namespace.KindFetch && r.Type == -1:
		t.heard++
		v.answered, a.Sockets = true, r.Sockets
	case t.q.kind == namespace.KindServerSide && r.Type == wire.TypeServerSide:
		t.heard++
		v.answered, a.Args = true, r.Args
	default:
		return
	}
	t.each(a)
}

// memberList is the directory's answer, on its way.
type memberList struct {
	done   chan struct{}
	nodes  []string
	cancel context.CancelFunc
}

// members begins to ask the directory who has the namespace.
func (b *Bus) members(ctx context.Context, full string) *memberList {
	ctx, cancel := context.WithTimeout(ctx, b.opts.AskTimeout)
	l := &memberList{done: make(chan struct{}), cancel: cancel}
	if b.opts.Members == nil {
		close(l.done)
		return l
	}
	go func() { // wait ends it
		defer close(l.done)
		defer b.survive()
		nodes, err := b.opts.Members(ctx, full)
		if err != nil {
			b.log.Warn("bus: members of a namespace", "namespace", full, "error", err)
		}
		l.nodes = nodes
	}()
	return l
}

// wait returns the members, none if they cannot be told.
func (l *memberList) wait() []string {
	<-l.done
	l.cancel()
	return l.nodes
}

// grace is how long a node may take that should have answered although everybody who was subscribed has:
// it may just have left, or be about to subscribe again.
const grace = 100 * time.Millisecond

// recheck looks for nodes that have the namespace and were not asked, since they were not
// subscribed. Everybody who was asked has answered.
func (b *Bus) recheck(ctx context.Context, t *tally, members []string, full string) error {
	absent := t.absent(members, b.opts.NodeID)
	if len(absent) == 0 {
		return nil
	}
	select {
	case <-time.After(grace):
	case <-ctx.Done():
		return &namespace.MissingError{Nodes: absent}
	case <-b.ctx.Done():
		return ErrClosed
	}
	now := b.members(ctx, full).wait()
	absent = slices.DeleteFunc(absent, func(id string) bool {
		return t.nodes[id] == nil && !slices.Contains(now, id)
	})
	if len(absent) == 0 {
		return nil
	}
	return &namespace.MissingError{Nodes: absent}
}

// absent returns the members, and other nodes that began to answer, that have not answered in full. A node
// whose clients are silent has.
func (t *tally) absent(members []string, self string) []string {
	var ids []string
	for _, id := range members {
		if v := t.nodes[id]; id != self && (v == nil || !v.done()) {
			ids = append(ids, id)
		}
	}
	for id, v := range t.nodes {
		if !v.done() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// missing says who did not answer before the question ended for the given reason: nodes, and clients of
// nodes that did.
func (b *Bus) missing(t *tally, members []string, reason error) error {
	nodes := t.absent(members, b.opts.NodeID)
	named := 0 // of those that are to come, how many have a name
	for _, id := range nodes {
		if v := t.nodes[id]; v == nil || !v.answered {
			named++
		}
	}
	for range t.servers - t.heard - named {
		nodes = append(nodes, unknown)
	}
	var errs []error
	if late := t.lateClients(); late != "" {
		errs = append(errs, fmt.Errorf("%w: %s", namespace.ErrTimeout, late))
	}
	if len(nodes) > 0 {
		errs = append(errs, &namespace.MissingError{Nodes: nodes})
	}
	unsent := errors.Is(reason, ErrUnsent)
	if len(errs) == 0 && t.servers < 0 && !unsent {
		errs = append(errs, ErrUnsent)
		unsent = true
	}
	if len(errs) == 0 || unsent {
		errs = append(errs, reason)
	}
	return errors.Join(errs...)
}

// lateClients says which clients have not acknowledged: "2 clients of node b", empty if all have.
func (t *tally) lateClients() string {
	total := t.clients - t.acks
	var said []string
	for _, id := range slices.Sorted(maps.Keys(t.nodes)) {
		if late := t.nodes[id].late(); late > 0 {
			said = append(said, countClients(late)+" of node "+id)
			total -= late
		}
	}
	if total > 0 { // of servers of another make
		said = append(said, countClients(total)+" of other servers")
	}
	return strings.Join(said, ", ")
}

func countClients(n int) string {
	if n == 1 {
		return "1 client"
	}
	return strconv.Itoa(n) + " clients"
}

// unknown stands for a server that has no id.
const unknown = "unknown"
