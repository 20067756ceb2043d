package namespace

import (
	"context"
	"sync"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// OnServerSide registers a handler for an event that another node sends with
// ServerSideEmit, and returns a function that takes it back. The event has no
// socket; its acknowledgement goes to the node that asked.
func (ns *Namespace) OnServerSide(event string, h Handler) (off func()) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.serverSide == nil {
		ns.serverSide = make(map[string][]*listener)
	}
	return addListener(&ns.mu, ns.serverSide, event, &listener{h, ns.inSetup})
}

// ServerSideEmit sends an event to the other nodes that have the namespace,
// for their OnServerSide handlers. It does not wait for them.
func (ns *Namespace) ServerSideEmit(event string, args ...any) error {
	f, err := encodeEvent(packet.Header{Type: packet.Event, Namespace: ns.name}, event, args)
	if err != nil {
		return err
	}
	return ns.reg.opts.Cluster.Publish(ns.All().message(KindServerSide, f))
}

// ServerSideEmitWithAck is [Namespace.ServerSideEmit] that collects one
// acknowledgement from each node. If some did not answer before ctx was over,
// what the others said comes with a [*MissingError].
func (ns *Namespace) ServerSideEmitWithAck(ctx context.Context, event string, args ...any) ([]Reply, error) {
	f, err := encodeEvent(packet.Header{Type: packet.Event, Namespace: ns.name}, event, args)
	if err != nil {
		return nil, err
	}
	var replies []Reply
	err = ns.reg.opts.Cluster.Ask(ctx, ns.All().message(KindServerSide, f), func(a Answer) {
		replies = append(replies, Reply{Node: a.Node, Args: a.Args})
	})
	return replies, err
}

// Deliver implements [Local].
func (r *Registry) Deliver(m *Message) {
	ns := r.Lookup(m.FullName)
	if ns == nil {
		return
	}
	switch m.Kind {
	case KindBroadcast:
		ns.fanOut(m.target(), m.Event, m.Flags)
	case KindServerSide:
		ns.serveSide(r.ctx, m, nil)
	default:
		// Nobody here waits for the rooms' subscriptions, and the bus must not:
		// it is what brings them about.
		enter := func(s *Socket, rooms ...string) error {
			_, err := s.enter(rooms)
			return err
		}
		if err := ns.carryOut(m, nil, enter); err != nil {
			r.log.Warn("command of another node", "namespace", ns.fullName, "error", err)
		}
	}
}

// Answer implements [Local].
func (r *Registry) Answer(ctx context.Context, m *Message, reply func(Answer)) {
	node := r.opts.NodeID
	ns := r.Lookup(m.FullName)
	if ns == nil {
		reply(Answer{Node: node})
		return
	}
	switch m.Kind {
	case KindFetch:
		reply(Answer{Node: node, Sockets: ns.describe(m.target())})
	case KindBroadcast:
		ns.answerBroadcast(ctx, m, reply)
	case KindServerSide:
		var once sync.Once
		answered := make(chan struct{})
		ns.serveSide(ctx, m, func(args *Args) {
			once.Do(func() {
				reply(Answer{Node: node, Args: args})
				close(answered)
			})
		})
		select {
		case <-answered:
		case <-ctx.Done():
			once.Do(func() {}) // a later answer is none; one being given is waited for
		}
	default:
		r.Deliver(m)
		reply(Answer{Node: node})
	}
}

// answerBroadcast passes a broadcast on to this node's clients, under an
// acknowledgement id of this node, and their acknowledgements back.
func (ns *Namespace) answerBroadcast(ctx context.Context, m *Message, reply func(Answer)) {
	node := ns.reg.opts.NodeID
	id := ns.ids.Add(1)
	var f *frame.Frame
	p, err := decodeFrame(m.Event)
	if err == nil {
		f, err = packet.EncodeArgs(packet.Header{Type: packet.Event, Namespace: ns.name, ID: id, HasID: true}, p.Event, p.Args)
	}
	if err != nil {
		ns.reg.log.Warn("broadcast of another node", "namespace", ns.fullName, "error", err)
		reply(Answer{Node: node})
		return
	}
	clients, wait := ns.broadcastWithAck(m.target(), f, id, m.Flags, func(r Reply) {
		if r.Args != nil {
			reply(Answer{Node: node, Args: r.Args})
		}
	})
	reply(Answer{Node: node, Clients: clients})
	wait(ctx)
}

// serveSide runs the handlers of another node's event.
func (ns *Namespace) serveSide(ctx context.Context, m *Message, reply func(*Args)) {
	p, err := decodeFrame(m.Event)
	if err != nil {
		ns.reg.log.Warn("event of another node", "namespace", ns.fullName, "error", err)
		return
	}
	ns.mu.RLock()
	handlers := ns.serverSide[p.Event]
	ns.mu.RUnlock()
	for _, l := range handlers {
		e := &Event{Name: p.Event, Args: p.Args, reply: reply, wants: reply != nil}
		aside(func() { ns.reg.handle(ctx, e, l.handle) }) // the goroutine is the bus's
	}
}
