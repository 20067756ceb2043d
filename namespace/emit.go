package namespace

import (
	"context"
	"fmt"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// What a Namespace and a Socket offer to send; see Broadcast for the details.

// All addresses every socket of the namespace, on all nodes.
func (ns *Namespace) All() Broadcast { return Broadcast{ns: ns} }

// To addresses the sockets in any of the rooms; see [Broadcast.To].
func (ns *Namespace) To(rooms ...string) Broadcast { return ns.All().To(rooms...) }

// In is another name of To.
func (ns *Namespace) In(rooms ...string) Broadcast { return ns.All().To(rooms...) }

// Except addresses all sockets but those in any of the rooms.
func (ns *Namespace) Except(rooms ...string) Broadcast { return ns.All().Except(rooms...) }

// Local addresses the sockets of this node.
func (ns *Namespace) Local() Broadcast { return ns.All().Local() }

// Volatile drops the event for clients that cannot take it at once.
func (ns *Namespace) Volatile() Broadcast { return ns.All().Volatile() }

// Compress says whether to compress the event; see [Broadcast.Compress].
func (ns *Namespace) Compress(on bool) Broadcast { return ns.All().Compress(on) }

// Timeout sets how long EmitWithAck waits for the clients.
func (ns *Namespace) Timeout(d time.Duration) Broadcast { return ns.All().Timeout(d) }

// Emit sends an event to every socket; see [Broadcast.Emit].
func (ns *Namespace) Emit(event string, args ...any) error { return ns.All().Emit(event, args...) }

// EmitWithAck sends an event to every socket and collects what they
// acknowledge; see [Broadcast.EmitWithAck].
func (ns *Namespace) EmitWithAck(ctx context.Context, event string, args ...any) ([]Reply, error) {
	return ns.All().EmitWithAck(ctx, event, args...)
}

// FetchSockets describes every socket; see [Broadcast.FetchSockets].
func (ns *Namespace) FetchSockets(ctx context.Context) ([]RemoteSocket, error) {
	return ns.All().FetchSockets(ctx)
}

// SocketsJoin makes every socket join rooms; see [Broadcast.SocketsJoin].
func (ns *Namespace) SocketsJoin(rooms ...string) error { return ns.All().SocketsJoin(rooms...) }

// SocketsLeave makes every socket leave rooms; see [Broadcast.SocketsLeave].
func (ns *Namespace) SocketsLeave(rooms ...string) error { return ns.All().SocketsLeave(rooms...) }

// DisconnectSockets disconnects every socket; see [Broadcast.DisconnectSockets].
func (ns *Namespace) DisconnectSockets(closeConnection bool) error {
	return ns.All().DisconnectSockets(closeConnection)
}

// Broadcast addresses every other socket of the namespace, whatever rooms this
// one has left and others have joined.
func (s *Socket) Broadcast() Broadcast { return Broadcast{ns: s.ns, to: target{sender: s}} }

// To addresses the other sockets in any of the rooms; see [Broadcast.To].
func (s *Socket) To(rooms ...string) Broadcast { return s.Broadcast().To(rooms...) }

// In is another name of To.
func (s *Socket) In(rooms ...string) Broadcast { return s.To(rooms...) }

// Except addresses the other sockets but those in any of the rooms.
func (s *Socket) Except(rooms ...string) Broadcast { return s.Broadcast().Except(rooms...) }

// Local addresses the other sockets of this node.
func (s *Socket) Local() Broadcast { return s.Broadcast().Local() }

// Emit sends an event to the client. It does not wait for it. The arguments
// are encoded as encoding/json does; a []byte anywhere in them travels as
// binary data, and is not copied: it must not be changed afterwards.
func (s *Socket) Emit(event string, args ...any) error {
	return Emitter{socket: s}.Emit(event, args...)
}

// EmitArgs sends an event with arguments that came from somewhere: they are
// passed on undecoded.
func (s *Socket) EmitArgs(event string, args Args) error {
	return Emitter{socket: s}.EmitArgs(event, args)
}

// EmitWithAck sends an event to the client and waits for its acknowledgement,
// until ctx or the Timeout is over ([Options.AckTimeout] if neither ends). It
// reports [ErrTimeout] then, [ErrDisconnected] if the client goes first, and
// [ErrDropped] for a volatile event that was dropped. A handler may wait for its
// own client: what that has sent meanwhile does not hold the acknowledgement up.
func (s *Socket) EmitWithAck(ctx context.Context, event string, args ...any) (*Args, error) {
	return Emitter{socket: s}.EmitWithAck(ctx, event, args...)
}

// Volatile drops the event if the client cannot take it at once.
func (s *Socket) Volatile() Emitter { return Emitter{socket: s}.Volatile() }

// Compress says whether to compress the event; see [Broadcast.Compress].
func (s *Socket) Compress(on bool) Emitter { return Emitter{socket: s}.Compress(on) }

// Timeout sets how long EmitWithAck waits.
func (s *Socket) Timeout(d time.Duration) Emitter { return Emitter{socket: s}.Timeout(d) }

// Emitter says how to send to one socket. It is a value, like [Broadcast].
type Emitter struct {
	socket  *Socket
	flags   frame.Flags
	timeout time.Duration
}

// Volatile is [Socket.Volatile].
func (e Emitter) Volatile() Emitter {
	e.flags.Volatile = true
	return e
}

// Compress is [Socket.Compress].
func (e Emitter) Compress(on bool) Emitter {
	e.flags.NoCompress = !on
	return e
}

// Timeout is [Socket.Timeout].
func (e Emitter) Timeout(d time.Duration) Emitter {
	e.timeout = d
	return e
}

// Emit is [Socket.Emit].
func (e Emitter) Emit(event string, args ...any) error {
	f, err := encodeEvent(packet.Header{Type: packet.Event, Namespace: e.socket.ns.name}, event, args)
	if err != nil {
		return err
	}
	return e.emit(f)
}

// EmitArgs sends an event with arguments that came from somewhere: they are
// passed on undecoded.
func (e Emitter) EmitArgs(event string, args Args) error {
	f, err := encodeArgs(packet.Header{Type: packet.Event, Namespace: e.socket.ns.name}, event, args)
	if err != nil {
		return err
	}
	return e.emit(f)
}

// emit is send; that a volatile event is dropped is no error.
func (e Emitter) emit(f *frame.Frame) error {
	if err := e.send(f); err != ErrDropped {
		return err
	}
	return nil
}

func (e Emitter) send(f *frame.Frame) error {
	s := e.socket
	if !s.send(f, e.flags) {
		return notSent(e.flags)
	}
	s.ns.reg.stats.deliveries.Add(1)
	if s.ns.outgoing.Load() > 0 {
		s.observe(f)
	}
	return nil
}

// EmitWithAck is [Socket.EmitWithAck].
func (e Emitter) EmitWithAck(ctx context.Context, event string, args ...any) (*Args, error) {
	s := e.socket
	ctx, cancel := s.ns.reg.ackContext(ctx, e.timeout)
	defer cancel()
	id := s.ns.ids.Add(1)
	f, err := encodeEvent(packet.Header{Type: packet.Event, Namespace: s.ns.name, ID: id, HasID: true}, event, args)
	if err != nil {
		return nil, err
	}
	type result struct {
		args *Args
		err  error
	}
	got := make(chan result, 1)
	s.expect(id, func(args *Args, err error) { got <- result{args, err} })
	if err := e.send(f); err != nil {
		s.forget(id)
		return nil, err
	}
	select {
	case r := <-got:
		return r.args, r.err
	case <-ctx.Done():
		s.forget(id)
		if s.gone.Load() { // its context, which the caller may have given, ended with it
			return nil, ErrDisconnected
		}
		return nil, fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
	}
}

// Ask emits an event to a socket and decodes the first argument of its
// acknowledgement; see [Socket.EmitWithAck] for how long it waits.
func Ask[R any](ctx context.Context, s *Socket, event string, args ...any) (R, error) {
	var r R
	reply, err := s.EmitWithAck(ctx, event, args...)
	if err == nil {
		err = reply.Bind(&r)
	}
	return r, err
}
