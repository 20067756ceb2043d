package namespace

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Broadcast addresses sockets of a namespace, on all nodes, and says how to
// send to them. It is a value: each method returns a narrower one, and all
// may be kept and used again.
//
//	ns.To("news").Except("muted").Volatile().Emit("tick", 1)
type Broadcast struct {
	ns      *Namespace
	to      target
	chosen  bool // To was called: without any room, nobody is addressed
	flags   frame.Flags
	local   bool
	timeout time.Duration
}

// target says which sockets of a namespace are addressed: those in any of rooms
// (all, if there are none), in none of except, and not the sender. The sender is a
// socket and no room: it may leave its own, and others may join it.
type target struct {
	rooms, except []string
	sender        *Socket // nil, or of this node: other nodes need not know of it
}

// To adds rooms: sockets in any of them are addressed, each once. A socket's
// id is its own room. Called with no rooms at all, for instance with an empty
// list, it addresses nobody.
func (b Broadcast) To(rooms ...string) Broadcast {
	b.to.rooms, b.chosen = slices.Concat(b.to.rooms, rooms), true
	return b
}

// nobody reports whether no socket can be meant. On the wire an empty list of
// rooms is everybody, so such a broadcast must not get there.
func (b Broadcast) nobody() bool { return b.chosen && len(b.to.rooms) == 0 }

// In is another name of To.
func (b Broadcast) In(rooms ...string) Broadcast { return b.To(rooms...) }

// Except leaves out the sockets in any of these rooms.
func (b Broadcast) Except(rooms ...string) Broadcast {
	b.to.except = slices.Concat(b.to.except, rooms)
	return b
}

// Local addresses sockets of this node only.
func (b Broadcast) Local() Broadcast {
	b.local = true
	return b
}

// Volatile drops the event for clients that cannot take it at once.
func (b Broadcast) Volatile() Broadcast {
	b.flags.Volatile = true
	return b
}

// Compress says whether to compress the event, where the transport can. The default is true.
func (b Broadcast) Compress(on bool) Broadcast {
	b.flags.NoCompress = !on
	return b
}

// Timeout sets how long EmitWithAck waits for the clients.
func (b Broadcast) Timeout(d time.Duration) Broadcast {
	b.timeout = d
	return b
}

// Emit sends an event. The arguments are encoded once, as encoding/json does;
// a []byte anywhere in them travels as binary data, and is not copied: it must
// not be changed afterwards. Emit does not wait for anybody. An error means that nobody got it: an argument cannot be encoded,
// the name is reserved, or the message is too large for the bus.
func (b Broadcast) Emit(event string, args ...any) error {
	f, err := encodeEvent(packet.Header{Type: packet.Event, Namespace: b.ns.name}, event, args)
	if err != nil {
		return err
	}
	return b.emit(f)
}

// EmitArgs sends an event with arguments that came from somewhere: they are
// passed on undecoded.
func (b Broadcast) EmitArgs(event string, args Args) error {
	f, err := encodeArgs(packet.Header{Type: packet.Event, Namespace: b.ns.name}, event, args)
	if err != nil {
		return err
	}
	return b.emit(f)
}

func (b Broadcast) emit(f *frame.Frame) error {
	if b.nobody() {
		return nil
	}
	b.ns = b.ns.standing()
	if !b.local {
		if err := b.ns.reg.opts.Cluster.Publish(b.message(KindBroadcast, f)); err != nil {
			return fmt.Errorf("namespace: broadcast in %s: %w", b.ns.fullName, err)
		}
	}
	b.ns.fanOut(b.to, f, b.flags)
	return nil
}

// message addresses a message to the other nodes.
func (b Broadcast) message(kind Kind, f *frame.Frame) *Message {
	return &Message{
		Kind: kind, FullName: b.ns.fullName, Name: b.ns.name,
		Rooms: b.to.rooms, Except: b.to.except, Event: f, Flags: b.flags,
	}
}

// fanOut sends one frame to the addressed sockets of this node.
func (ns *Namespace) fanOut(to target, f *frame.Frame, flags frame.Flags) {
	var observed []*Socket
	observe := ns.outgoing.Load() > 0
	n := int64(0)
	ns.mu.RLock()
	ns.eachLocked(to, func(s *Socket) {
		if s.send(f, flags) {
			n++
		}
		if observe {
			observed = append(observed, s)
		}
	})
	ns.mu.RUnlock()
	ns.reg.stats.broadcasts.Add(1)
	ns.reg.stats.deliveries.Add(n)
	for _, s := range observed {
		s.observe(f)
	}
}

// observe shows an outgoing event to the socket's listeners, and returns when they have.
func (s *Socket) observe(f *frame.Frame) {
	s.mu.Lock()
	outgoing := s.outgoing
	s.mu.Unlock()
	if len(outgoing) == 0 {
		return
	}
	p, err := decodeFrame(f)
	if err != nil {
		s.ns.reg.log.Error("outgoing event cannot be read", "error", err)
		return
	}
	e := &Event{Name: p.Event, Args: p.Args, socket: s}
	for _, l := range outgoing {
		aside(func() { s.ns.reg.handle(s.Context(), e, l.handle) }) // the goroutine is the sender's
	}
}

// encodeEvent makes the frame of an event.
func encodeEvent(h packet.Header, event string, args []any) (*frame.Frame, error) {
	f, err := packet.Encode(h, slices.Concat([]any{event}, args)...)
	if err != nil {
		return nil, fmt.Errorf("namespace: event %q: %w", event, err)
	}
	return f, nil
}

func encodeArgs(h packet.Header, event string, args Args) (*frame.Frame, error) {
	f, err := packet.EncodeArgs(h, event, args)
	if err != nil {
		return nil, fmt.Errorf("namespace: event %q: %w", event, err)
	}
	return f, nil
}

// FetchSockets describes the addressed sockets of all nodes. If some nodes did
// not answer before ctx was over, what the others said comes with a [*MissingError].
func (b Broadcast) FetchSockets(ctx context.Context) ([]RemoteSocket, error) {
	if b.nobody() {
		return nil, nil
	}
	b.ns = b.ns.standing()
	var all []RemoteSocket
	add := func(infos []SocketInfo) {
		for _, info := range infos {
			all = append(all, RemoteSocket{info, b.ns})
		}
	}
	add(b.ns.describe(b.to))
	if b.local {
		return all, nil
	}
	err := b.ns.reg.opts.Cluster.Ask(ctx, b.message(KindFetch, nil), func(a Answer) { add(a.Sockets) })
	return all, err
}

func (ns *Namespace) describe(to target) []SocketInfo {
	addressed := ns.addressed(to)
	infos := make([]SocketInfo, len(addressed))
	for i, s := range addressed {
		infos[i] = s.Info()
	}
	return infos
}

// addressed returns the addressed sockets of this node, less those that have
// gone and whose disconnect handlers wait for their turn.
func (ns *Namespace) addressed(to target) []*Socket {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	var all []*Socket
	ns.eachLocked(to, func(s *Socket) {
		if s.Connected() {
			all = append(all, s)
		}
	})
	return all
}

// SocketsJoin makes the addressed sockets, on all nodes, join rooms. It does
// not wait for the other nodes.
func (b Broadcast) SocketsJoin(rooms ...string) error { return b.command(KindJoin, rooms, false) }

// SocketsLeave makes the addressed sockets, on all nodes, leave rooms. It does
// not wait for the other nodes.
func (b Broadcast) SocketsLeave(rooms ...string) error { return b.command(KindLeave, rooms, false) }

// DisconnectSockets disconnects the addressed sockets, on all nodes; with
// closeConnection their clients from all namespaces. It does not wait for the
// other nodes.
func (b Broadcast) DisconnectSockets(closeConnection bool) error {
	return b.command(KindDisconnect, nil, closeConnection)
}

func (b Broadcast) command(kind Kind, rooms []string, closeConnection bool) error {
	if b.nobody() {
		return nil
	}
	b.ns = b.ns.standing()
	m := b.message(kind, nil)
	m.To, m.Close = rooms, closeConnection
	if !b.local {
		if err := b.ns.reg.opts.Cluster.Publish(m); err != nil {
			return fmt.Errorf("namespace: command to the sockets of %s: %w", b.ns.fullName, err)
		}
	}
	return b.ns.carryOut(m, b.to.sender, (*Socket).Join)
}

// target is what a message addresses on this node.
func (m *Message) target() target { return target{rooms: m.Rooms, except: m.Except} }

// carryOut does to the addressed sockets of this node what a message says. The
// sender, if the message is of this node, is left out.
func (ns *Namespace) carryOut(m *Message, sender *Socket, join func(s *Socket, rooms ...string) error) error {
	to := m.target()
	to.sender = sender
	addressed := ns.addressed(to)
	if m.Kind == KindDisconnect && len(m.Rooms) == 1 && len(m.Except) == 0 {
		// A socket's id means that socket alone, though it has left its own room, or
		// others have joined one of that name: clients could escape otherwise.
		if s := ns.Socket(m.Rooms[0]); s != nil && s != sender {
			addressed = []*Socket{s}
		}
	}
	var failed error
	for _, s := range addressed {
		switch m.Kind {
		case KindJoin:
			if err := join(s, m.To...); err != nil && s.Connected() {
				failed = err
			}
		case KindLeave:
			s.Leave(m.To...)
		case KindDisconnect:
			s.Disconnect(m.Close)
		}
	}
	return failed
}

// RemoteSocket is a socket of any node, as FetchSockets found it.
type RemoteSocket struct {
	SocketInfo
	ns *Namespace
}

// Emit sends an event to the socket, wherever it is.
func (s RemoteSocket) Emit(event string, args ...any) error {
	return s.ns.To(s.ID).Emit(event, args...)
}

// Join makes the socket join rooms.
func (s RemoteSocket) Join(rooms ...string) error { return s.ns.To(s.ID).SocketsJoin(rooms...) }

// Leave makes the socket leave rooms.
func (s RemoteSocket) Leave(rooms ...string) error { return s.ns.To(s.ID).SocketsLeave(rooms...) }

// Disconnect disconnects the socket; see [Socket.Disconnect].
func (s RemoteSocket) Disconnect(closeConnection bool) error {
	return s.ns.To(s.ID).DisconnectSockets(closeConnection)
}
