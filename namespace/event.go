package namespace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Handler handles one event. The context ends when the socket is
// disconnected; that of an event which came shortly before its client left may
// be over from the start. If the client waits for an acknowledgement and the handler
// returns an error without having sent one, the client gets {"error": text},
// with the text of a [*ClientError] or "internal error". A panic is logged and
// treated as an error.
//
// [Handle] and its relatives make a Handler of a function with Go types.
type Handler func(ctx context.Context, e *Event) error

// listener is a registration of a handler; its address is its identity.
type listener struct {
	handle  Handler
	bySetup bool // of the namespace: it goes with that
}

// addListener registers a handler under an event's name. mu guards the map
// and is held by the caller; the returned function takes it itself.
func addListener(mu sync.Locker, handlers map[string][]*listener, event string, l *listener) (off func()) {
	handlers[event] = append(slices.Clip(handlers[event]), l)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		if handlers[event] = without(handlers[event], l); len(handlers[event]) == 0 {
			delete(handlers, event)
		}
	}
}

// Args are the arguments of an event or an acknowledgement, as they came:
// nothing is decoded before somebody asks for it. They may be kept and passed
// on, undecoded, with EmitArgs.
type Args = packet.Args

// Raw is one argument, undecoded. As an argument of Emit it is sent as it came.
type Raw = packet.Raw

// Event is what a client has sent: a name, arguments, and perhaps the wish
// for an acknowledgement.
type Event struct {
	Name string
	Args

	socket *Socket
	id     uint64 // of the acknowledgement
	wants  bool
	acked  atomic.Bool
	reply  func(*Args) // how to answer a node that asked, for lack of a socket
}

// Socket is the one that sent the event; nil for an event of another node.
func (e *Event) Socket() *Socket { return e.socket }

// WantsAck reports whether the sender waits for an acknowledgement.
func (e *Event) WantsAck() bool { return e.wants }

// ErrAcked: the event has been acknowledged already.
var ErrAcked = errors.New("namespace: event was acknowledged before")

// Ack answers the event. Where nobody waits for an acknowledgement it does
// nothing. It may be called after the handler has returned, once.
func (e *Event) Ack(args ...any) error {
	return e.ack(func(h packet.Header) (*frame.Frame, error) { return packet.Encode(h, args...) })
}

// AckArgs answers the event with arguments that came from somewhere, undecoded.
func (e *Event) AckArgs(args Args) error {
	return e.ack(func(h packet.Header) (*frame.Frame, error) { return packet.EncodeArgs(h, "", args) })
}

func (e *Event) ack(encode func(packet.Header) (*frame.Frame, error)) error {
	if !e.wants {
		return nil
	}
	if !e.acked.CompareAndSwap(false, true) {
		return ErrAcked
	}
	h := packet.Header{Type: packet.Ack, ID: e.id, HasID: true}
	if e.socket != nil {
		h.Namespace = e.socket.ns.name
	}
	f, err := encode(h)
	if err != nil {
		e.acked.Store(false) // the handler may try again with other values
		return err
	}
	if e.reply != nil {
		p, err := decodeFrame(f)
		if err == nil {
			e.reply(&p.Args)
		}
		return err
	}
	if !e.socket.send(f, frame.Flags{}) {
		return ErrDisconnected
	}
	return nil
}

// decodeFrame reads a packet of our own again.
func decodeFrame(f *frame.Frame) (p packet.Packet, err error) {
	d := packet.Decoder{MaxAttachments: f.Len(), MaxNamespace: len(f.Part(0).Data)}
	p, done, err := d.Text(f.Part(0).Data)
	for i := 1; err == nil && !done && i < f.Len(); i++ {
		p, done, err = d.Binary(f.Part(i).Data)
	}
	return p, err
}

// dispatch runs the handlers of one event, in the order middleware, handlers
// of any event, handlers of the namespace, handlers of the socket.
func (s *Socket) dispatch(p packet.Packet) {
	// One that has left by itself has its events handled: they came before.
	if s.kicked.Load() {
		return
	}
	ns := s.ns
	ns.reg.stats.eventsIn.Add(1)
	e := &Event{Name: p.Event, Args: p.Args, socket: s, id: p.ID, wants: p.HasID}
	ctx := s.Context()

	s.mu.Lock()
	middleware, any, own := s.middleware, s.onAny, s.handlers[p.Event]
	s.mu.Unlock()
	for _, m := range middleware {
		if !ns.reg.handle(ctx, e, m) {
			return
		}
	}
	ns.mu.RLock()
	nsAny, shared := ns.onAny, ns.handlers[p.Event]
	ns.mu.RUnlock()
	for _, list := range [...][]*listener{nsAny, any, shared, own} {
		for _, l := range list {
			ns.reg.handle(ctx, e, l.handle)
		}
	}
}

// bindError tells a client which argument was not understood, counted from 1.
// What exactly was wrong would tell of Go types, and helps no client.
func bindError(e *Event, err error) error {
	which := "an argument"
	if ae, ok := errors.AsType[*packet.ArgError](err); ok {
		which = fmt.Sprintf("argument %d", ae.Index+1)
	}
	if e.socket != nil {
		e.socket.ns.reg.log.Debug("argument not understood", "namespace", e.socket.ns.fullName, "event", e.Name, "error", err)
	}
	return &ClientError{Message: which + " is not understood"}
}

// Handle makes a [Handler] of a function that takes the first argument of the
// event as a Go value. Its result is the acknowledgement, if the client wants
// one. An argument that cannot be decoded is an error, and f does not run; one
// that was not sent is A's zero value, as it would be undefined in JavaScript.
func Handle[A, R any](f func(ctx context.Context, arg A) (R, error)) Handler {
	return func(ctx context.Context, e *Event) error {
		var a A
		if err := e.Bind(&a); err != nil {
			return bindError(e, err)
		}
		r, err := f(ctx, a)
		if err != nil {
			return err
		}
		return acknowledge(e, r)
	}
}

// Handle2 is [Handle] for events of two arguments.
func Handle2[A, B, R any](f func(ctx context.Context, a A, b B) (R, error)) Handler {
	return func(ctx context.Context, e *Event) error {
		var (
			a A
			b B
		)
		if err := e.Bind(&a, &b); err != nil {
			return bindError(e, err)
		}
		r, err := f(ctx, a, b)
		if err != nil {
			return err
		}
		return acknowledge(e, r)
	}
}

func acknowledge(e *Event, result any) error {
	if err := e.Ack(result); err != nil && !errors.Is(err, ErrDisconnected) {
		return err
	}
	return nil
}

// Receive makes a [Handler] of a function that takes the first argument of
// the event and has nothing to answer: a client that wants an acknowledgement
// gets one without arguments.
func Receive[A any](f func(ctx context.Context, arg A) error) Handler {
	return func(ctx context.Context, e *Event) error {
		var a A
		if err := e.Bind(&a); err != nil {
			return bindError(e, err)
		}
		if err := f(ctx, a); err != nil {
			return err
		}
		if err := e.Ack(); err != nil && !errors.Is(err, ErrDisconnected) {
			return err
		}
		return nil
	}
}
