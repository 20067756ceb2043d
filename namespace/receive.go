package namespace

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/time/rate"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Receive takes one message of the transport. Calls come one at a time, in
// order. It blocks while too many events of the client wait for their
// handlers. An error means that the client does not speak the protocol: the
// connection deserves to be closed with [ReasonParseError].
func (c *Client) Receive(data []byte, binary bool) error {
	var (
		p    packet.Packet
		done bool
		err  error
	)
	if binary {
		p, done, err = c.decoder.Binary(data)
	} else {
		p, done, err = c.decoder.Text(data)
	}
	if err != nil || !done {
		return err
	}
	switch p.Type {
	case packet.Connect:
		if !c.connect(p) {
			c.misplaced(p.Type, p.Namespace)
		}
		return nil
	case packet.Event:
		if len(p.Event) > c.reg.opts.MaxNameLength {
			return fmt.Errorf("%w: event name of %d bytes, at most %d are allowed", ErrLimit, len(p.Event), c.reg.opts.MaxNameLength)
		}
		c.throttle()
	}

	c.mu.Lock()
	s := c.sockets.get(p.Namespace)
	if s == nil || p.Type == packet.ConnectError {
		crossed := slices.Contains(c.kicked, p.Namespace)
		c.mu.Unlock()
		if !crossed {
			c.misplaced(p.Type, p.Namespace)
		}
		return nil
	}
	switch p.Type {
	case packet.Disconnect:
		c.removeLocked(s, ReasonClientLeft)
	case packet.Event:
		c.waitLocked(payload(&p))
		// While that waited, the socket may have left or the connection ended. A
		// client that is finished must not begin to work again.
		if c.sockets.get(p.Namespace) == s {
			j := jobs.Get().(*job)
			j.socket, j.event = s, p
			c.pushLocked(j)
		}
	}
	c.mu.Unlock()
	if p.Type == packet.Ack {
		s.resolve(p)
	}
	return nil
}

// misplaced closes a connection on which a packet came that the state of its
// namespace does not allow: only CONNECT for one that the client is not in, and
// anything but that for one that it is in. Node's server does the same.
func (c *Client) misplaced(t packet.Type, name string) {
	c.reg.log.Debug("connection closed: packet out of place", "packet", t, "namespace", name, "sid", c.conn.ID())
	c.conn.Close(ReasonForcedClose)
}

// maxKicked bounds Client.kicked.
const maxKicked = 32

// kickedLocked notes that the server took the client out of a namespace: until
// the client has read that, what it sends there is no fault. c.mu must be held.
func (c *Client) kickedLocked(name string) {
	if slices.Contains(c.kicked, name) {
		return
	}
	if len(c.kicked) >= maxKicked {
		c.kicked = slices.Delete(c.kicked, 0, 1)
	}
	c.kicked = append(c.kicked, name)
}

// connect handles a CONNECT packet. It reports false for one that is out of place.
func (c *Client) connect(p packet.Packet) bool {
	name := p.Namespace
	c.mu.Lock()
	defer c.mu.Unlock()
	// Joining and leaving take a place in the queue, too: without the wait a
	// client could fill it for as long as a handler of its is busy.
	c.waitLocked(0)
	c.seen++
	switch {
	case c.reason != "":
		return true
	case c.connecting.get(name) != nil:
		return true // asked twice: the one answer is on its way
	case c.sockets.get(name) != nil:
		// A v2 client is in "/" without having asked; asking all the same is no fault.
		return c.conn.Protocol() == 3 && name == "/"
	}
	if i := slices.Index(c.kicked, name); i >= 0 {
		c.kicked = slices.Delete(c.kicked, i, i+1)
	}
	opts := &c.reg.opts
	switch {
	case strings.HasPrefix(name, "//") || len(name) > opts.MaxNameLength:
		// A full name would reach into another host's namespaces.
		c.refuse(name, refusedName, &ClientError{Message: messageInvalid})
		return true
	case c.sockets.len()+c.connecting.len() >= opts.MaxConnectionNamespaces || !c.mayConnectLocked():
		c.refuse(name, refusedTooMany, &ClientError{Message: messageTooMany})
		return true
	}
	a := &attempt{name: name, auth: p.Data, query: p.Query}
	full := FullName(c.host, name)
	if ns := c.reg.pinLive(full); ns != nil {
		a.ctx, a.cancel = context.Background(), func() {}
		c.connecting.put(a)
		s := newSocket(ns, c, a)
		c.doLocked(func() { c.admit(a, s) })
		return true
	}
	a.ctx, a.cancel = context.WithCancel(c.reg.ctx)
	c.connecting.put(a)
	c.tries++
	go c.try(a, full)
	return true
}

// mayConnectLocked bounds how fast a connection can ask for namespaces, lest
// it fill the node with names that it leaves at once. c.mu must be held.
func (c *Client) mayConnectLocked() bool {
	if c.seen <= 8 {
		return true // no limiter for the ordinary client
	}
	if c.connects == nil {
		n := c.reg.opts.MaxConnectionNamespaces
		c.connects = rate.NewLimiter(rate.Limit(max(1, n/10)), n)
	}
	return c.connects.Allow()
}

// refuse answers a CONNECT with an error. It only queues a frame.
func (c *Client) refuse(name string, counted refusal, why *ClientError) {
	c.reg.stats.refused[counted].Add(1)
	f, err := packet.EncodeConnectError(c.protocol(), name, why.Message, why.Data)
	if err != nil { // the data cannot be encoded
		c.reg.log.Error("data of a refusal", "namespace", name, "error", err)
		f = mustEncode(packet.EncodeConnectError(c.protocol(), name, why.Message, nil))
	}
	c.send(f, frame.Flags{})
}
