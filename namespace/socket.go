package namespace

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Socket is one client in one namespace. Its methods are safe for concurrent
// use, and do nothing or say [ErrDisconnected] once it has gone.
type Socket struct {
	// Data holds what the application knows about the socket; FetchSockets
	// shows it to all nodes.
	Data Data

	ns     *Namespace
	client *Client
	id     string
	auth   []byte // JSON, or nil
	query  string // of the CONNECT; Socket.IO v2 only
	gone   atomic.Bool
	inside atomic.Bool // it has been admitted
	kicked atomic.Bool // gone by Disconnect: what it sent before is not handled any more

	rooms    map[string]struct{} // guarded by ns.mu; its own room is not in it
	leftOwn  bool                // guarded by ns.mu: it has left its own room
	admitted bool                // guarded by ns.mu: it is, or was, in ns.sockets

	// mu guards what follows.
	mu            sync.Mutex
	ctx           *socketContext // made when first asked for
	handlers      map[string][]*listener
	onAny         []*listener
	outgoing      []*listener
	middleware    []Handler
	disconnecting []func(reason string)
	disconnected  []func(reason string)
	acks          map[uint64]func(*Args, error)
}

func newSocket(ns *Namespace, c *Client, a *attempt) *Socket {
	s := &Socket{ns: ns, client: c, auth: a.auth, query: a.query}
	if c.conn.Protocol() == 3 { // a v2 client works its id out by itself
		s.id = c.conn.ID()
		if ns.name != "/" {
			s.id = ns.name + "#" + s.id
		}
	} else {
		s.id = newSocketID()
	}
	return s
}

func (s *Socket) key() string { return s.ns.name }

// ID is the socket's id: its own, for this namespace and this connection.
func (s *Socket) ID() string { return s.id }

// Room is the name of the socket's own room, in which it is alone from the
// start. It is the socket's id.
func (s *Socket) Room() string { return s.id }

// Namespace is the namespace that the socket is in.
func (s *Socket) Namespace() *Namespace { return s.ns }

// Handshake is the request that opened the connection.
func (s *Socket) Handshake() *Handshake { return s.client.handshake }

// Transport is "polling" or "websocket"; it changes at an upgrade.
func (s *Socket) Transport() string { return s.client.conn.Transport() }

// ConnectionID is the id of the connection, shared by the client's sockets in
// other namespaces.
func (s *Socket) ConnectionID() string { return s.client.conn.ID() }

// Connected reports whether the socket is in its namespace: it has been
// admitted, which a middleware is asked about, and is not gone.
func (s *Socket) Connected() bool { return s.inside.Load() && !s.gone.Load() }

// Auth decodes what the client presented when it connected (the auth option
// of the JavaScript client) into v. Where it presented nothing, v is left as it is.
func (s *Socket) Auth(v any) error {
	if s.auth == nil {
		return nil
	}
	if err := json.Unmarshal(s.auth, v); err != nil {
		return fmt.Errorf("namespace: auth of socket %s: %w", s.id, err)
	}
	return nil
}

// Query returns the parameters of the URL with which the client connected.
func (s *Socket) Query() url.Values {
	q := url.Values{}
	if u := s.client.handshake.URL; u != nil {
		q = u.Query()
	}
	if own, err := url.ParseQuery(s.query); err == nil {
		for k, v := range own {
			q[k] = v
		}
	}
	return q
}

// Context ends when the socket has been disconnected; its cause is then
// [ErrDisconnected]. [SocketFrom] finds the socket in it.
func (s *Socket) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		ctx, cancel := context.WithCancelCause(context.Background())
		s.ctx = &socketContext{Context: ctx, cancel: cancel, socket: s}
		if s.gone.Load() {
			cancel(ErrDisconnected)
		}
	}
	return s.ctx
}

// socketContext is the context of a socket's handlers.
type socketContext struct {
	context.Context
	cancel context.CancelCauseFunc
	socket *Socket
}

type socketKey struct{}

func (c *socketContext) Value(key any) any {
	if key == (socketKey{}) {
		return c.socket
	}
	return c.Context.Value(key)
}

// SocketFrom returns the socket whose event is being handled, given the
// handler's context, or nil.
func SocketFrom(ctx context.Context) *Socket {
	s, _ := ctx.Value(socketKey{}).(*Socket)
	return s
}

// On registers a handler for an event of this socket, and returns a function
// that takes it back. Several handlers of one event run in the order in which
// they were registered, after those of the namespace.
func (s *Socket) On(event string, h Handler) (off func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handlers == nil {
		s.handlers = make(map[string][]*listener)
	}
	return addListener(&s.mu, s.handlers, event, &listener{handle: h})
}

// OnAny registers a handler that sees every event of the socket before the
// handlers of its name do, and returns a function that takes it back.
func (s *Socket) OnAny(h Handler) (off func()) { return s.addTo(&s.onAny, h) }

// OnAnyOutgoing registers a handler that sees every event sent to the socket,
// broadcasts included, and returns a function that takes it back. It runs in
// the goroutine of the sender.
func (s *Socket) OnAnyOutgoing(h Handler) (off func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Load() {
		return func() {}
	}
	l := &listener{handle: h}
	s.outgoing = append(slices.Clip(s.outgoing), l)
	s.ns.outgoing.Add(1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if slices.Contains(s.outgoing, l) { // end has taken back those that were left
			s.outgoing = without(s.outgoing, l)
			s.ns.outgoing.Add(-1)
		}
	}
}

func (s *Socket) addTo(list *[]*listener, h Handler) (off func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &listener{handle: h}
	*list = append(slices.Clip(*list), l)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		*list = without(*list, l)
	}
}

// Use adds a middleware that sees every event of the socket before its
// handlers. One that returns an error keeps the event from them; a client that
// waits for an acknowledgement gets the error.
func (s *Socket) Use(m Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.middleware = append(slices.Clip(s.middleware), m)
}

// OnDisconnecting registers a function that runs when the socket is about to
// leave its namespace: its rooms are still there. See the Reason constants.
func (s *Socket) OnDisconnecting(f func(reason string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnecting = append(s.disconnecting, f)
}

// OnDisconnect registers a function that runs when the socket has left its
// namespace. See the Reason constants.
func (s *Socket) OnDisconnect(f func(reason string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnected = append(s.disconnected, f)
}

// Disconnect takes the socket out of its namespace, or with closeConnection
// the client out of all of them. Events that it has sent and that wait for
// their handlers are dropped. In a middleware it refuses the socket, whatever the
// middleware returns.
func (s *Socket) Disconnect(closeConnection bool) {
	c := s.client
	if closeConnection {
		for _, other := range c.Sockets() {
			other.Disconnect(false)
		}
	}
	c.mu.Lock()
	if !s.inside.Load() {
		s.kicked.Store(true) // it will not be admitted
	}
	if c.sockets.get(s.ns.name) == s {
		c.send(mustEncode(packet.EncodeDisconnect(s.ns.name)), frame.Flags{})
		s.kicked.Store(true)
		c.kickedLocked(s.ns.name)
		c.removeLocked(s, ReasonServerLeft)
	}
	c.mu.Unlock()
	if closeConnection {
		c.conn.Close(ReasonForcedClose)
	}
}

// end marks the socket as gone: nothing is sent to it any more, its context is
// over, its acknowledgements will not come.
func (s *Socket) end() {
	s.gone.Store(true)
	s.mu.Lock()
	ctx, acks := s.ctx, s.acks
	s.acks = nil
	// Otherwise every broadcast would go on looking for listeners.
	s.ns.outgoing.Add(-int32(len(s.outgoing)))
	s.outgoing = nil
	s.mu.Unlock()
	if ctx != nil {
		ctx.cancel(ErrDisconnected)
	}
	s.client.ask(-len(acks))
	for _, f := range acks {
		f(nil, ErrDisconnected)
	}
}

// discard is the end of a socket that has not been admitted.
func (s *Socket) discard() {
	s.end()
	s.ns.remove(s)
	s.ns.reg.release(s.ns)
}

// depart runs the handlers of a socket that is gone and takes it out of its
// namespace.
func (s *Socket) depart(reason string) {
	run := func(list *[]func(string), what string) {
		s.mu.Lock()
		handlers := *list
		s.mu.Unlock()
		for _, f := range handlers {
			s.ns.reg.contain(what, s.ns.fullName, func() { f(reason) })
		}
	}
	run(&s.disconnecting, "OnDisconnecting handler")
	s.ns.remove(s)
	run(&s.disconnected, "OnDisconnect handler")
	s.client.conn.Release(len(s.auth) + len(s.query))
	s.ns.reg.stats.disconnected(reason)
	s.ns.reg.release(s.ns)
}

// send queues a frame for the client.
func (s *Socket) send(f *frame.Frame, flags frame.Flags) bool {
	return !s.gone.Load() && s.client.send(f, flags)
}

// Info describes the socket as FetchSockets shows it to other nodes.
func (s *Socket) Info() SocketInfo {
	h := s.client.handshake
	hi := HandshakeInfo{
		Headers: make(map[string]string, len(h.Header)), Query: make(map[string]string),
		Time: h.Time.Format(time.RFC1123Z), Issued: h.Time.UnixMilli(), Address: h.Address,
		XDomain: h.XDomain, Secure: h.Secure, Auth: s.auth,
	}
	for k, lines := range h.Header {
		separator := ", "
		if k == "Cookie" {
			separator = "; "
		}
		hi.Headers[strings.ToLower(k)] = strings.Join(lines, separator) // as Node joins them
	}
	if h.URL != nil {
		hi.URL = h.URL.RequestURI()
	}
	for k, v := range s.Query() {
		hi.Query[k] = v[0]
	}
	return SocketInfo{
		ID: s.id, Node: s.ns.reg.opts.NodeID, Rooms: s.Rooms(), Handshake: hi,
		Transport: s.Transport(), Data: s.Data.encode(),
	}
}
