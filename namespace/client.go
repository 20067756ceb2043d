package namespace

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/dynamicio/dynamicio/namespace/address"
	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Handshake is the request that opened a connection. It is shared by all
// sockets of the connection and must not be changed.
type Handshake struct {
	Header  http.Header
	URL     *url.URL
	Host    string // the virtual host, already normalised; empty if there is none
	Address string // of the client, without port
	Time    time.Time
	Secure  bool // came over TLS
	XDomain bool // came with an Origin of its own
}

// cost is roughly how many bytes of memory a handshake keeps.
func (h *Handshake) cost() int {
	n := 512
	for name, values := range h.Header {
		n += len(name) + 64
		for _, v := range values {
			n += len(v) + 16
		}
	}
	if h.URL != nil {
		n += len(h.URL.Path) + len(h.URL.RawQuery)
	}
	return n
}

// Client is one connection and the sockets on it: one for each namespace that
// the client joined. The transport feeds it; everything else about a client is
// on its [Socket]s.
type Client struct {
	reg       *Registry
	conn      Conn
	handshake *Handshake
	host      string         // prefix of its namespaces' full names; empty on the main host
	decoder   packet.Decoder // used by Receive alone, but for the form, which stands before anything is sent
	pace      pace
	asking    atomic.Int32 // acknowledgements that the client owes
	partial   *partial     // made with the first packet in parts; set by Receive, under mu

	// mu guards what follows; see the lock order in the package comment.
	mu         sync.Mutex
	sockets    byName[*Socket]  // admitted, by short name
	connecting byName[*attempt] // on their way in, by short name
	timeout    *time.Timer      // until the first socket is admitted, then nil
	connects   *rate.Limiter    // made when the first few CONNECTs have gone by
	seen       int              // CONNECTs so far
	kicked     []string         // namespaces that the server took it out of, at most maxKicked
	reason     string           // why it closed; empty while it is open

	// The queue of what waits to be handled, in order. Whoever appends to it
	// while nobody works starts work, which ends when the queue is empty.
	first, last *job
	queued      int // jobs
	bytes       int // what they take
	reserved    int // of these, what is counted against the connection's budget
	working     bool
	tries       int           // attempts whose goroutine runs
	space       chan struct{} // not nil while Receive waits for room in the queue
}

// attempt is a CONNECT that has not been decided.
type attempt struct {
	name   string
	auth   []byte
	query  string
	ctx    context.Context // ends when the client leaves or its connection closes
	cancel context.CancelFunc
}

func (a *attempt) key() string { return a.name }

// held is what is kept of the CONNECT, as long as the socket is there.
func (a *attempt) held() int { return len(a.auth) + len(a.query) }

// Accept takes a new connection. The caller passes what arrives to Receive and
// calls Closed at the end.
func (r *Registry) Accept(conn Conn, h *Handshake) (*Client, error) {
	host := h.Host
	if r.opts.Host.Matches(host) {
		host = ""
	}
	c := &Client{reg: r, conn: conn, handshake: h, host: host}
	c.decoder.MaxAttachments = r.opts.MaxAttachments
	// At least the decoder's own limit: up to there the answer to a name that
	// is too long is a refusal, not the end of the connection.
	c.decoder.MaxNamespace = max(r.opts.MaxNameLength, packet.DefaultMaxNamespace)
	c.decoder.Protocol = c.protocol()
	if !conn.Reserve(h.cost()) {
		return nil, fmt.Errorf("%w: the headers of the request", ErrLimit)
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, ErrClosed
	}
	r.work.Add(1) // until the client is finished
	r.clients[c] = struct{}{}
	r.mu.Unlock()
	c.mu.Lock()
	c.timeout = time.AfterFunc(r.opts.ConnectTimeout, c.connectTimeout)
	c.mu.Unlock()
	if conn.Protocol() == 3 {
		// Socket.IO v2 clients are in "/" without having asked.
		c.connect(packet.Packet{Type: packet.Connect, Namespace: "/"})
	}
	return c, nil
}

// protocol is the version of the Socket.IO protocol that the client speaks.
func (c *Client) protocol() int {
	if c.conn.Protocol() == 3 {
		return packet.Protocol4
	}
	return packet.Protocol5
}

// connectTimeout closes a connection that has joined nothing. One that is on
// its way into a namespace gets the time again.
func (c *Client) connectTimeout() {
	c.mu.Lock()
	idle := c.timeout != nil && c.reason == ""
	if idle && c.connecting.len() > 0 {
		c.timeout.Reset(c.reg.opts.ConnectTimeout)
		idle = false
	}
	c.mu.Unlock()
	if idle {
		c.conn.Close(ReasonForcedClose)
	}
}

// Closed tells that the connection has ended. All its sockets leave their
// namespaces, after the handlers of the events that came before.
func (c *Client) Closed(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != "" {
		return
	}
	c.reason = reason
	c.stopTimeoutLocked()
	c.stopPartLocked()
	for _, a := range c.connecting.values() {
		a.cancel()
	}
	c.connecting = byName[*attempt]{}
	for _, s := range c.sockets.values() {
		c.removeLocked(s, reason)
	}
	if c.space != nil {
		close(c.space)
		c.space = nil
	}
	c.finishLocked()
}

func (c *Client) stopTimeoutLocked() {
	if c.timeout != nil {
		c.timeout.Stop()
		c.timeout = nil
	}
}

// finishLocked lets go of a client that is closed and has nothing left to do.
func (c *Client) finishLocked() {
	if c.reason == "" || c.working || c.tries > 0 {
		return
	}
	c.reg.mu.Lock()
	delete(c.reg.clients, c)
	c.reg.mu.Unlock()
	c.reg.work.Done()
}

// removeLocked takes a socket off the connection. Its disconnect handlers run
// in their place among the events. c.mu must be held.
func (c *Client) removeLocked(s *Socket, reason string) {
	if !c.sockets.remove(s) {
		return
	}
	s.end()
	c.doLocked(func() { s.depart(reason) })
}

// send queues a frame of package packet, in the form that the client speaks.
func (c *Client) send(f *frame.Frame, flags frame.Flags) bool {
	if c.decoder.Msgpack() {
		if f = packet.Msgpack(f); f == nil {
			return false // not reached: every packet has that form
		}
	}
	return c.conn.Send(f, flags)
}

// try takes an attempt through everything that may wait: the setup of the
// namespace, the cluster's directory, the middleware. It ends when these have
// decided; a client that has gone ends it early.
func (c *Client) try(a *attempt, full string) {
	s, err := c.pass(a, full)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries--
	c.doLocked(func() {
		if err != nil {
			c.reject(a, full, err)
			return
		}
		c.admit(a, s)
	})
}

// pass returns the socket, with its namespace pinned, if it may come in.
func (c *Client) pass(a *attempt, full string) (*Socket, error) {
	r := c.reg
	ns, err := r.pin(a.ctx, full, address.Group(c.handshake.Address))
	if err != nil {
		return nil, err
	}
	if ns, err = r.enter(a.ctx, ns); err != nil {
		return nil, err
	}
	s := newSocket(ns, c, a)
	ns.mu.RLock()
	middleware := ns.middleware
	ns.mu.RUnlock()
	for _, m := range middleware {
		err := errPanic
		r.contain("middleware", full, func() { err = m.f(a.ctx, s) })
		if err == nil && s.kicked.Load() {
			err = errKicked
		}
		if err != nil {
			s.discard() // the middleware may have begun something under its context
			return nil, &middlewareError{err}
		}
	}
	return s, nil
}

// errKicked is the refusal of a socket that was disconnected on its way in.
var errKicked = &middlewareError{errors.New("namespace: disconnected before it was admitted")}

// middlewareError marks a refusal by a middleware, whose general word to the
// client is another than that of a setup.
type middlewareError struct{ err error }

func (e *middlewareError) Error() string { return e.err.Error() }
func (e *middlewareError) Unwrap() error { return e.err }

// reject tells the client why it is not let in, in its place among the events.
func (c *Client) reject(a *attempt, full string, err error) {
	c.mu.Lock()
	waits := c.connecting.remove(a)
	c.mu.Unlock()
	a.cancel()
	c.conn.Release(a.held())
	if !waits {
		return // it has gone
	}
	r := c.reg
	general := messageInvalid
	if _, ok := errors.AsType[*middlewareError](err); ok {
		general = "Forbidden"
	} else if !errors.Is(err, ErrRefused) {
		general = messageUnavailable
		r.refused[refusalOf(err)].note(full, err)
	}
	r.log.Debug("connect refused", "namespace", full, "socket", c.conn.ID(), "error", err)
	c.refuse(a.name, refusalOf(err), forClient(err, general))
}

// admit lets a socket in: from its CONNECT answer on it gets every broadcast,
// and its events are handled once the connect handlers have returned.
func (c *Client) admit(a *attempt, s *Socket) {
	c.mu.Lock()
	if s.kicked.Load() {
		c.mu.Unlock()
		s.discard()
		c.reject(a, s.ns.fullName, errKicked)
		return
	}
	wanted := c.connecting.remove(a)
	if wanted {
		c.sockets.put(s)
		c.stopTimeoutLocked()
		s.ns.add(s)
	}
	c.mu.Unlock()
	a.cancel()
	if !wanted {
		s.discard()
		c.conn.Release(a.held())
		return
	}
	c.reg.stats.connects.Add(1)
	s.ns.mu.RLock()
	handlers := s.ns.onConnect
	s.ns.mu.RUnlock()
	for _, h := range handlers {
		c.reg.contain("OnConnect handler", s.ns.fullName, func() { h.f(s) })
	}
}

// Sockets returns the client's sockets, one for each namespace it is in.
func (c *Client) Sockets() []*Socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sockets.values()
}

// String names the connection in logs.
func (c *Client) String() string {
	return fmt.Sprintf("%s from %s", c.conn.ID(), c.handshake.Address)
}
