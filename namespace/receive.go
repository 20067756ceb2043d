package namespace

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

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
	if err != nil {
		return err
	}
	if !done {
		c.keepPart(len(data))
		return nil
	}
	if binary {
		c.whole()
	}
	switch p.Type {
	case packet.Connect:
		c.connect(p)
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
		cost := costOf(&p)
		if !c.waitLocked(cost) {
			c.mu.Unlock()
			c.overrun(overrunEvents)
			return nil
		}
		// While that waited, the socket may have left or the connection ended. A
		// client that is finished must not begin to work again.
		if c.sockets.get(p.Namespace) == s {
			j := jobs.Get().(*job)
			j.socket, j.event, j.cost = s, p, cost
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

const (
	overrunEvents      = "events that wait behind a handler which waits for the client"
	overrunAttachments = "attachments of a packet that is not complete"
)

// overrun closes a connection for which more would be kept than it may have.
func (c *Client) overrun(what string) {
	c.reg.stats.overruns.Add(1)
	c.reg.log.Info("connection closed: it holds more memory than Options.MaxConnectionBytes", "what", what, "sid", c.conn.ID(), "address", c.handshake.Address)
	c.conn.Close(ReasonForcedClose)
}

// partial is a packet whose attachments have not all come. Client.mu guards it.
type partial struct {
	bytes int // reserved for it
	timer *time.Timer
	due   time.Time // zero while no packet is incomplete
}

// partCost is what a part takes beside what the client sent.
const partCost = 64

// keepPart keeps one part of a packet that is not complete, within the budget of the
// connection and for a limited time.
func (c *Client) keepPart(size int) {
	size += partCost
	if !c.conn.Reserve(size) {
		c.overrun(overrunAttachments)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != "" {
		return
	}
	if c.partial == nil {
		c.partial = new(partial)
	}
	part, wait := c.partial, c.reg.opts.PacketTimeout
	part.bytes += size
	part.due = time.Now().Add(wait)
	if part.timer == nil {
		part.timer = time.AfterFunc(wait, func() { c.partTimeout(part) })
		return
	}
	part.timer.Reset(wait)
}

// whole is the end of keepPart: the last part has come.
func (c *Client) whole() {
	if c.partial == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.Release(c.partial.bytes)
	c.partial.bytes = 0
	c.stopPartLocked()
}

// stopPartLocked stops waiting for a part. c.mu must be held.
func (c *Client) stopPartLocked() {
	if c.partial != nil {
		c.partial.timer.Stop()
		c.partial.due = time.Time{}
	}
}

// partTimeout closes a connection whose next attachment did not come in time.
func (c *Client) partTimeout(part *partial) {
	c.mu.Lock()
	// The timer may have fired while the part came, and been set again.
	late := c.reason == "" && !part.due.IsZero() && !time.Now().Before(part.due)
	c.mu.Unlock()
	if late {
		c.reg.stats.incomplete.Add(1)
		c.reg.log.Debug("connection closed: the attachments of a packet did not come", "sid", c.conn.ID(), "address", c.handshake.Address)
		c.conn.Close(ReasonParseError)
	}
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

// connect handles a CONNECT packet.
func (c *Client) connect(p packet.Packet) {
	c.mu.Lock()
	// Joining and leaving take a place in the queue, too: without the wait a
	// client could fill it for as long as a handler of its is busy.
	room := c.waitLocked(jobCost)
	placed := room && c.connectLocked(p)
	c.mu.Unlock()
	switch {
	case !room:
		c.overrun(overrunEvents)
	case !placed:
		c.misplaced(p.Type, p.Namespace)
	}
}

// connectLocked begins what a CONNECT asks for. It reports false for one that is out
// of place. c.mu must be held.
func (c *Client) connectLocked(p packet.Packet) bool {
	name := p.Namespace
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
	a := &attempt{name: name, query: p.Query}
	if len(p.Data) > 0 {
		a.auth = bytes.Clone(p.Data) // without the message around it
	}
	if !c.conn.Reserve(a.held()) {
		c.refuse(name, refusedMemory, &ClientError{Message: messageTooMuch})
		return true
	}
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
