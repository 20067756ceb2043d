package engineio

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// Handler receives what happens on one Conn.
type Handler interface {
	// Receive gets one message. Calls come one at a time, in the order in which
	// the client sent the messages; data is the handler's to keep. An error
	// closes the connection with ReasonParseError. Receive may block: nothing
	// more is read from that client meanwhile, and its silence is not held
	// against it as long as it takes what is sent to it.
	Receive(data []byte, binary bool) error
	// Closed is called exactly once, and never from within another call. No
	// Receive is begun once the session is closing; one that was begun just
	// before may still be running, or on its way into the handler, when Closed
	// comes.
	Closed(reason string)
}

type state uint8

const (
	stateOpening state = iota // the Accept function has not answered yet
	stateOpen
	stateClosing // decided, whatever may still be written
)

// Conn is one Engine.IO session, over whichever transport it has at the moment.
type Conn struct {
	srv      *Server
	id       string
	remote   string
	protocol int
	base64   bool    // revision 3: the client cannot receive binary
	handler  Handler // set once, before the state becomes open
	controls meter   // packets that are no messages; used by onPacket alone

	// mu guards everything below. Under it no handler is called, nothing waits
	// for the network, and no other lock is taken but those of a timer and of
	// the runtime's poller.
	mu     sync.Mutex
	state  state
	reason string // of the close, once closing
	how    ending // likewise

	queue   []item // what is to be sent, oldest first
	queued  int    // cost of queue and of what is being written
	held    int    // reserved by Reserve
	writing bool   // a writer goroutine is at work
	refs    int    // goroutines at work for the session; at 0 the server is told

	websocket bool     // the transport; it is so before sock is there
	sock      *socket  // nil: polling, or the WebSocket handshake is not done
	poll      *polling // nil: not polling
	readDone  bool     // the reader of sock has ended
	writeDone bool     // the last was written to sock

	beat heartbeat
}

// ID returns the session id, unguessable and fit for a URL.
func (c *Conn) ID() string { return c.id }

// Protocol returns the revision of Engine.IO that the client speaks, 4 or 3.
func (c *Conn) Protocol() int { return c.protocol }

// RemoteAddr returns the client's network address as http.Request.RemoteAddr
// had it at the handshake.
func (c *Conn) RemoteAddr() string { return c.remote }

// Transport returns "polling" or "websocket". It can change once, from the
// first to the second.
func (c *Conn) Transport() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.websocket {
		return TransportWebSocket
	}
	return TransportPolling
}

// Handler returns what the Accept function answered, nil while it has not.
func (c *Conn) Handler() Handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.handler
}

// Queue says what waits to be sent to the client: packets (an event with its
// attachments is one; what is being written is none), and bytes as
// Options.MaxQueue counts them, with what is being written.
func (c *Conn) Queue() (packets, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue), c.queued
}

// Held says how many bytes are reserved by Reserve.
func (c *Conn) Held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}

// Reserve counts n bytes that the caller is about to keep for the connection
// against Options.MaxConnectionBytes, which what waits to be sent counts
// against, too. If it returns false, there is no room for them or the
// connection is closed, and nothing is reserved. It never blocks.
func (c *Conn) Reserve(n int) bool {
	c.mu.Lock()
	open := c.state != stateClosing
	ok := open && c.fitsLocked(n)
	if ok {
		c.held += n
	}
	c.mu.Unlock()
	if open && !ok {
		c.srv.stats.budgetRefused.Add(1)
	}
	return ok
}

// Release gives back n bytes of what was reserved. Nothing need be given back
// when the connection is closed.
func (c *Conn) Release(n int) {
	c.mu.Lock()
	c.held -= n
	c.mu.Unlock()
}

// fitsLocked reports whether the connection may hold n bytes more.
func (c *Conn) fitsLocked(n int) bool {
	return n <= c.srv.opts.MaxConnectionBytes-c.held-c.queued
}

// Send queues a message and reports whether it did. It does not when the
// connection is closed, when it falls behind too far (which closes it), and for
// a volatile message when the client cannot take it at once. It never blocks.
// The messages of one goroutine are received in the order sent, the parts of a
// frame next to each other. The first part of f is text or binary; all are
// messages of their own to the client.
func (c *Conn) Send(f *frame.Frame, fl frame.Flags) bool {
	c.mu.Lock()
	if c.state == stateClosing {
		c.mu.Unlock()
		return false
	}
	if fl.Volatile && !c.idleLocked() {
		c.mu.Unlock()
		c.srv.stats.dropped.Add(1)
		return false
	}
	start, ok := c.offerLocked(item{f: f, noCompress: fl.NoCompress})
	c.mu.Unlock()
	return c.offered(start, ok)
}

// offerLocked queues an item if the bounds allow it. The caller passes the
// result to offered once c.mu is unlocked.
func (c *Conn) offerLocked(it item) (start, ok bool) {
	if cost := it.cost(); c.queued > 0 && (c.queued+cost > c.srv.opts.MaxQueue || !c.fitsLocked(cost)) {
		return false, false
	}
	return c.pushLocked(it), true
}

// offered does what offerLocked asks for, and returns its ok: it starts the
// writer, or ends the session of a client that has fallen too far behind.
func (c *Conn) offered(start, ok bool) bool {
	switch {
	case start:
		go c.write()
	case !ok && c.end(ReasonTransportError, endDead.because(errTooSlow)):
		c.srv.stats.slow.Add(1)
		c.srv.opts.Logger.Info("engineio: client too slow, closed", "sid", c.id, "remote", c.remote, "bound", c.srv.opts.MaxQueue)
	}
	return ok
}

// idleLocked reports whether the client takes a message at once.
func (c *Conn) idleLocked() bool {
	if c.queued > 0 {
		return false
	}
	if c.websocket {
		return c.sock != nil
	}
	return c.poll != nil && c.poll.get != nil
}

// pushLocked queues an item without looking at the bounds: the open packet, and
// what the heartbeat sends, of which one waits at most. If it returns true,
// the caller must start c.write once c.mu is unlocked.
func (c *Conn) pushLocked(it item) (start bool) {
	if c.queue == nil {
		c.queue = newBatch()
	}
	c.queue = append(c.queue, it)
	c.queued += it.cost()
	return c.kickLocked()
}

// kickLocked sees to it that what is queued gets sent. If it returns true, the
// caller must start c.write once c.mu is unlocked.
func (c *Conn) kickLocked() (start bool) {
	switch {
	case c.sock != nil:
		if c.writing {
			return false
		}
		c.writing = true
		c.refs++
		return true
	case c.poll != nil:
		c.poll.wakeLocked()
	}
	return false
}

// answer queues what the client has asked for, a pong. A client that asks and
// reads nothing is too slow like any other.
func (c *Conn) answer(it item) {
	c.mu.Lock()
	if c.state != stateOpen {
		c.mu.Unlock()
		return
	}
	start, ok := c.offerLocked(it)
	c.mu.Unlock()
	c.offered(start, ok)
}

// release is the end of a goroutine that worked for the session.
func (c *Conn) release() {
	c.mu.Lock()
	c.refs--
	last := c.refs == 0 && c.state == stateClosing
	c.mu.Unlock()
	if last {
		c.srv.sessionOver(c)
	}
}

// Errors by which onPacket says how a session is to end, and others that say why
// one did.
var (
	errTooSlow      = errors.New("engineio: the client is too slow")
	errClientClosed = errors.New("engineio: closed by the client")
	errDirection    = errors.New("engineio: heartbeat in the wrong direction")
)

// onPacket handles one packet of the client. It is called by one goroutine at a
// time. An error means that the session has to end, by endFor.
func (c *Conn) onPacket(p packet) error {
	if p.kind != packetMessage && !c.controls.allow(c.srv.opts.ControlsPerSecond) {
		return errFlood
	}
	switch p.kind {
	case packetMessage:
		return c.receive(p)
	case packetPing:
		if c.protocol != 3 {
			return errDirection
		}
		c.onPing(p.data)
	case packetPong:
		if c.protocol == 3 {
			return errDirection
		}
		c.onPong()
	case packetClose:
		return errClientClosed
	}
	return nil // open, upgrade and noop mean nothing here; Node ignores them too
}

// receive hands a message over, unless the session is closing.
func (c *Conn) receive(p packet) (err error) {
	c.mu.Lock()
	if c.state != stateOpen {
		c.mu.Unlock()
		return nil
	}
	c.beat.receiveBeginsLocked()
	c.mu.Unlock()
	c.srv.stats.messagesIn.Add(1)
	defer func() {
		if r := recover(); r != nil {
			c.srv.logPanic("Receive", c.id, r)
			err = errParse
		}
		c.mu.Lock()
		c.beat.receiveEndsLocked()
		c.mu.Unlock()
	}()
	if err := c.handler.Receive(p.data, p.binary); err != nil {
		return fmt.Errorf("%w: %w", errParse, err)
	}
	return nil
}

func (s *Server) logPanic(where, sid string, r any) {
	s.stats.panics.Add(1)
	s.opts.Logger.Error("engineio: panic in a handler", "where", where, "sid", sid,
		"panic", fmt.Sprint(r), "stack", string(debug.Stack()))
}

// activate opens the session: from now on the heart beats and messages count.
// It reports false if the session was ended meanwhile.
func (c *Conn) activate(h Handler, begun time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handler = h
	if c.state != stateOpening {
		return false
	}
	c.state = stateOpen
	c.beat.startLocked(c, begun)
	if c.websocket {
		c.srv.stats.webSocket.Add(1)
	} else {
		c.srv.stats.polling.Add(1)
	}
	c.srv.stats.handshakes.Add(1)
	return true
}
