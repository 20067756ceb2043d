package namespace

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Reply is what one client, or one node, answered.
type Reply struct {
	// SocketID says which client it was; empty for one of another node.
	SocketID string
	// Node says which node it was; empty if it is not known.
	Node string
	// Args are the arguments of the acknowledgement, nil if there is none.
	Args *Args
	// Err is [ErrTimeout], [ErrDisconnected] or [ErrDropped] if no acknowledgement came.
	Err error
}

// ackContext bounds a wait for acknowledgements: by ctx, by what Timeout said,
// and by Options.AckTimeout where neither ends.
func (r *Registry) ackContext(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		if _, ends := ctx.Deadline(); ends {
			return ctx, func() {}
		}
		timeout = r.opts.AckTimeout
	}
	return context.WithTimeout(ctx, timeout)
}

// expect registers what becomes of an acknowledgement. f is called once, with
// locks held: it must not block or call user code. Where the socket has gone
// already, that is at once.
func (s *Socket) expect(id uint64, f func(*Args, error)) {
	s.mu.Lock()
	gone := s.gone.Load()
	if !gone {
		if s.acks == nil {
			s.acks = make(map[uint64]func(*Args, error))
		}
		s.acks[id] = f
	}
	s.mu.Unlock()
	if gone {
		f(nil, ErrDisconnected)
		return
	}
	s.client.ask(1)
}

// forget stops waiting for an acknowledgement.
func (s *Socket) forget(id uint64) {
	s.take(id)
}

// take returns what becomes of an acknowledgement, once; nil if nobody waits.
func (s *Socket) take(id uint64) func(*Args, error) {
	s.mu.Lock()
	f := s.acks[id]
	delete(s.acks, id)
	s.mu.Unlock()
	if f != nil {
		s.client.ask(-1)
	}
	return f
}

// resolve takes an acknowledgement of the client. One that nobody waits for
// is dropped: it is late, or the client made it up.
func (s *Socket) resolve(p packet.Packet) {
	if !p.HasID {
		return
	}
	if f := s.take(p.ID); f != nil {
		f(&p.Args, nil)
	}
}

// collector gathers the acknowledgements of one broadcast on this node.
type collector struct {
	each func(Reply) // called with mu held; must not block

	mu      sync.Mutex // guards what follows
	pending map[*Socket]struct{}
	done    chan struct{} // closed when nobody is pending
}

// broadcastWithAck sends an event to the addressed sockets of this node and
// calls each for every acknowledgement. It returns how many clients there are
// and a function that waits for them until ctx is over; those that have not
// answered by then are reported with ErrTimeout. It counts as clients those that
// took the event: the others are reported at once.
func (ns *Namespace) broadcastWithAck(to target, f *frame.Frame, id uint64, flags frame.Flags, each func(Reply)) (clients int, wait func(context.Context)) {
	c := &collector{each: each, pending: make(map[*Socket]struct{}), done: make(chan struct{})}
	addressed := ns.addressed(to)
	for _, s := range addressed {
		c.pending[s] = struct{}{}
	}
	if len(addressed) == 0 {
		close(c.done)
	}
	for _, s := range addressed {
		s.expect(id, func(args *Args, err error) { c.settle(s, args, err) })
		if s.send(f, flags) {
			clients++
			ns.reg.stats.deliveries.Add(1)
			s.observe(f)
			continue
		}
		s.forget(id)
		c.settle(s, nil, notSent(flags))
	}
	return clients, func(ctx context.Context) {
		select {
		case <-c.done:
		case <-ctx.Done():
			for _, s := range addressed {
				s.forget(id)
				c.settle(s, nil, ErrTimeout)
			}
		}
	}
}

// notSent is why a frame was not taken.
func notSent(flags frame.Flags) error {
	if flags.Volatile {
		return ErrDropped
	}
	return ErrDisconnected
}

// settle takes the one result of a socket; whatever comes later is dropped.
func (c *collector) settle(s *Socket, args *Args, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, waiting := c.pending[s]; !waiting {
		return
	}
	delete(c.pending, s)
	c.each(Reply{SocketID: s.id, Node: s.ns.reg.opts.NodeID, Args: args, Err: err})
	if len(c.pending) == 0 {
		close(c.done)
	}
}

// EmitWithAck sends an event and waits for the acknowledgements of all
// addressed clients, until ctx or the Timeout is over ([Options.AckTimeout] if
// neither ends). There is one Reply for each client that answered, and for each
// client of this node that did not. The error is nil if all answered. It matches
// [ErrTimeout] if clients did not, of whichever node, [ErrDropped] where a
// volatile event was dropped, and is or wraps a [*MissingError] if nodes did not.
func (b Broadcast) EmitWithAck(ctx context.Context, event string, args ...any) ([]Reply, error) {
	ctx, cancel := b.ns.reg.ackContext(ctx, b.timeout)
	defer cancel()
	b.ns = b.ns.standing()
	id := b.ns.ids.Add(1)
	f, err := encodeEvent(packet.Header{Type: packet.Event, Namespace: b.ns.name, ID: id, HasID: true}, event, args)
	if err != nil {
		return nil, err
	}
	if b.nobody() {
		return nil, nil
	}
	var (
		mu            sync.Mutex // guards what follows
		replies       []Reply
		late, dropped int
	)
	add := func(r Reply) {
		mu.Lock()
		defer mu.Unlock()
		replies = append(replies, r)
		switch r.Err {
		case nil:
		case ErrDropped:
			dropped++
		default:
			late++
		}
	}
	_, wait := b.ns.broadcastWithAck(b.to, f, id, b.flags, add)
	if !b.local {
		m := b.message(KindBroadcast, f)
		deadline, _ := ctx.Deadline()
		m.Timeout = time.Until(deadline)
		err = b.ns.reg.opts.Cluster.Ask(ctx, m, func(a Answer) {
			if a.Args != nil {
				add(Reply{Node: a.Node, Args: a.Args})
			}
		})
	}
	wait(ctx)
	mu.Lock()
	defer mu.Unlock()
	if late > 0 {
		what := "clients"
		if late == 1 {
			what = "client"
		}
		err = errors.Join(fmt.Errorf("%w: %d %s of this node", ErrTimeout, late, what), err)
	}
	if dropped > 0 {
		err = errors.Join(fmt.Errorf("%w: for %d clients of this node", ErrDropped, dropped), err)
	}
	return replies, err
}
