package engineio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// noopDelay is how long a GET is held after the probe of an upgrade before it
// ends with a noop packet. Node looks every 100 ms. The delay is there for the
// client whose GET and whose upgrade packet overtake each other.
const noopDelay = 80 * time.Millisecond

// maxAnswerPackets is how many packets an answer has at most: the clients in
// Python take no more, and drop the session.
const maxAnswerPackets = 16

// overlapGrace is how long a GET waits for the end of the answer before it.
const overlapGrace = time.Second

var (
	errOverlap   = errors.New("engineio: two requests of one method at the same time")
	errGetGone   = errors.New("engineio: the client has closed the connection of its GET")
	errPostGone  = errors.New("engineio: the client has closed the connection of its POST")
	errPostBytes = errors.New("engineio: binary body in revision 4")
)

// polling is what a session has only while its transport is polling. It is
// guarded by Conn.mu.
type polling struct {
	get       *pendingGet // waits for something to send
	answering *pendingGet // is being answered

	posting  bool
	reading  *http.ResponseController // of a POST whose body is being read
	postDone chan struct{}            // closed when the POST under way has been handled

	upgrading bool    // a WebSocket is trying to take over
	probe     *socket // that one, once its handshake is done
	probed    bool    // it has sent its probe

	told bool // closing: a GET has been told
}

// pendingGet is a GET under way.
type pendingGet struct {
	ctl      *http.ResponseController
	wake     chan struct{} // while it waits for something to send
	answered chan struct{} // closed when the answer is written; nil: nobody waits for that
}

// answerLocked takes the GET from waiting to being answered.
func (p *polling) answerLocked() { p.get, p.answering = nil, p.get }

// wakeLocked makes the waiting GET look again.
func (p *polling) wakeLocked() {
	if p.get == nil {
		return
	}
	select {
	case p.get.wake <- struct{}{}:
	default: // it has not yet looked since the last time
	}
}

// endLocked stops what is going on over polling. It reports whether the session
// has to stay in the table so that one more GET can hear of the end.
func (p *polling) endLocked(how ending, queued bool) (keep bool) {
	if p.probe != nil {
		hardClose(p.probe.conn)
	}
	if p.reading != nil {
		_ = p.reading.SetReadDeadline(time.Unix(1, 0)) // ends the read; not all writers can, then the client does
	}
	if p.answering != nil {
		_ = p.answering.ctl.SetWriteDeadline(time.Now().Add(closeGrace))
	}
	p.wakeLocked()
	return (p.get == nil || queued) && how.linger > 0
}

// serveGet answers with what is queued, as soon as there is something.
func (c *Conn) serveGet(w http.ResponseWriter, r *http.Request) {
	g := &pendingGet{ctl: http.NewResponseController(w), wake: make(chan struct{}, 1)}
	p, counted, ref := c.beginGet(r, g)
	if p == nil {
		c.srv.refuse(w, r, ref)
		return
	}
	if counted {
		defer c.release()
	}
	if batch, cost := c.awaitBatch(r, p, g); batch != nil {
		c.answerGet(w, p, g, batch, cost)
	} else if r.Context().Err() == nil {
		c.srv.refuse(w, r, refuseRequest)
	}
}

// beginGet makes g the session's GET. Only one may be under way: another ends
// the session. One that comes while the last answer is being written may be no
// other, since the client can have read all of it before the server notices, and
// waits a moment for that.
func (c *Conn) beginGet(r *http.Request, g *pendingGet) (p *polling, counted bool, ref refusal) {
	var patience <-chan time.Time
	for {
		c.mu.Lock()
		p = c.poll
		switch {
		case c.state == stateOpening || c.state == stateClosing && (p == nil || p.told || c.how.linger == 0):
			c.mu.Unlock()
			return nil, false, refuseSID
		case p == nil:
			c.mu.Unlock()
			return nil, false, refuseRequest
		case p.get == nil && p.answering == nil:
			p.get = g
			if counted = c.state != stateClosing; counted { // else the server no longer counts the session
				c.refs++
			}
			c.mu.Unlock()
			return p, counted, ref
		}
		before := p.answering
		if before != nil && before.answered == nil {
			before.answered = make(chan struct{})
		}
		c.mu.Unlock()
		if before != nil {
			if patience == nil {
				timer := time.NewTimer(overlapGrace)
				defer timer.Stop()
				patience = timer.C
			}
			select {
			case <-before.answered:
				continue
			case <-patience:
			}
		}
		c.end(ReasonTransportError, endFaulty.because(errOverlap))
		return nil, false, refuseRequest
	}
}

// awaitBatch waits until there is something to answer the GET with, and takes
// it from the queue, with its cost. There is none when the GET has come to
// nothing: the client is gone, or talks over WebSocket now.
func (c *Conn) awaitBatch(r *http.Request, p *polling, g *pendingGet) (batch []item, cost int) {
	var noop *time.Timer
	var noopDue <-chan time.Time
	held := false // long enough after the probe
	for {
		c.mu.Lock()
		batch, cost, done := c.takeAnswerLocked(p, held)
		probed := p.probed
		c.mu.Unlock()
		if done {
			if p.told {
				c.srv.forget(c)
			}
			return batch, cost
		}
		if probed && noop == nil {
			noop = time.NewTimer(noopDelay)
			defer noop.Stop()
			noopDue = noop.C
		}
		select {
		case <-g.wake:
		case <-noopDue:
			held = true // behind the lock again: data, an upgrade or an end go first
		case <-r.Context().Done():
			c.mu.Lock()
			p.get = nil
			c.mu.Unlock()
			c.end(ReasonTransportError, endDead.because(errGetGone))
			return nil, 0
		}
	}
}

// takeAnswerLocked takes what the waiting GET is to be answered with. It is done
// without anything when the WebSocket has taken over.
func (c *Conn) takeAnswerLocked(p *polling, held bool) (batch []item, cost int, done bool) {
	over := c.state == stateClosing
	switch {
	case c.sock != nil && c.poll == nil: // upgraded
		p.get = nil
		return nil, 0, true
	case len(c.queue) > 0 && (!over || c.how.linger > 0 && !c.how.noop):
		// When the session is over, the close packet comes with the next GET: the
		// Socket.IO client handles packets a tick later than the close of its
		// transport, and would take a DISCONNECT in the same body for a lost
		// connection.
		batch, cost = c.takePacketsLocked()
		if over {
			c.beat.timer.Reset(c.how.linger) // for the GETs that fetch the rest
		}
	case over:
		batch, c.queue = c.queue, nil
		for _, it := range batch {
			cost += it.cost()
		}
		if c.how.noop {
			batch = append(batch, noopPacket)
		} else {
			batch = append(batch, closePacket)
		}
		p.told = true
	case held && p.probed: // the upgrade goes on: set the client free to complete it
		batch = []item{noopPacket}
	default:
		return nil, 0, false
	}
	p.answerLocked()
	return batch, cost, true
}

// takePacketsLocked takes as many packets from the queue as one answer may have.
// The parts of an event that has more come with several answers.
func (c *Conn) takePacketsLocked() (batch []item, cost int) {
	n, packets := 0, 0
	for ; n < len(c.queue); n++ {
		if packets += c.queue[n].f.Len(); packets > maxAnswerPackets {
			break
		}
	}
	switch {
	case n == len(c.queue):
		batch, c.queue = c.queue, nil
	case n == 0:
		it := c.queue[0]
		head, tail := it.f.Split(maxAnswerPackets)
		c.queue[0].f, it.f = tail, head
		batch = []item{it}
	default:
		batch = slices.Clone(c.queue[:n])
		clear(c.queue[:n])
		c.queue = c.queue[n:]
	}
	for _, it := range batch {
		cost += it.cost()
	}
	c.beat.takenFromLocked(batch)
	return batch, cost
}

// answerGet writes the items as the answer of a GET.
func (c *Conn) answerGet(w http.ResponseWriter, p *polling, g *pendingGet, batch []item, cost int) {
	c.mu.Lock()
	patience := c.srv.opts.writeTimeout()
	if c.state == stateClosing {
		patience = closeGrace
	}
	_ = g.ctl.SetWriteDeadline(time.Now().Add(patience))
	c.mu.Unlock()

	n, messages, err := c.writeAnswer(w, batch)
	if err == nil {
		err = g.ctl.Flush() // while the deadline is ours
	}
	recycleBatch(batch)
	c.srv.stats.bytesOut.Add(int64(n))
	c.srv.stats.messagesOut.Add(int64(messages))

	c.mu.Lock()
	p.answering = nil
	if g.answered != nil {
		close(g.answered)
	}
	_ = g.ctl.SetWriteDeadline(time.Time{}) // the connection may serve other requests
	c.queued = max(0, c.queued-cost)
	c.mu.Unlock()
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		c.end(ReasonTransportError, endDead.because(err))
	}
}

var separatorPiece = []byte{separator}

// writeAnswer writes the items as one body, each from where it is: what a client
// is slow to read is shared with the others.
func (c *Conn) writeAnswer(w http.ResponseWriter, batch []item) (n, messages int, err error) {
	binary := c.protocol == 3 && !c.base64 && slices.ContainsFunc(batch, func(it item) bool {
		return it.kind == itemMessage && hasBinary(it.f)
	})
	size := 0
	if c.protocol != 3 {
		size = len(batch) - 1
	}
	for _, it := range batch {
		size += len(it.pollingWire(c.protocol, binary))
		if it.kind == itemMessage {
			messages += it.f.Len()
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	if binary {
		h.Set("Content-Type", "application/octet-stream")
	}
	h.Set("Content-Length", strconv.Itoa(size))
	h.Set("Cache-Control", "no-store")
	write := func(p []byte) {
		if err == nil {
			var k int
			k, err = w.Write(p)
			n += k
		}
	}
	for i, it := range batch {
		if i > 0 && c.protocol != 3 {
			write(separatorPiece)
		}
		write(it.pollingWire(c.protocol, binary))
	}
	return n, messages, err
}

// servePost handles the packets in the body.
func (c *Conn) servePost(w http.ResponseWriter, r *http.Request) {
	ctl := http.NewResponseController(w)
	c.mu.Lock()
	p := c.poll
	switch {
	case c.state != stateOpen:
		c.mu.Unlock()
		c.srv.refuse(w, r, refuseSID)
		return
	case p == nil:
		c.mu.Unlock()
		c.srv.refuse(w, r, refuseRequest)
		return
	case p.posting:
		c.mu.Unlock()
		c.end(ReasonTransportError, endFaulty.because(errOverlap))
		c.srv.refuse(w, r, refuseRequest)
		return
	}
	p.posting, p.reading, p.postDone = true, ctl, make(chan struct{})
	c.refs++
	c.mu.Unlock()
	defer c.release()

	ref, ok := c.handlePost(w, r, p)

	// Before the answer goes out: the client may send the next POST as soon as
	// it has it.
	c.mu.Lock()
	p.posting, p.reading = false, nil
	close(p.postDone)
	c.mu.Unlock()
	if !ok {
		w.Header().Set("Connection", "close")
		c.srv.refuse(w, r, ref)
		return
	}
	w.Header().Set("Content-Type", "text/html") // not text/plain, as Node: old browsers offer that for download
	c.srv.respond(w, http.StatusOK, okBody)
}

var okBody = []byte("ok")

// handlePost reads the body and handles its packets.
func (c *Conn) handlePost(w http.ResponseWriter, r *http.Request, p *polling) (refusal, bool) {
	binary := strings.HasPrefix(r.Header.Get("Content-Type"), "application/octet-stream")
	if binary && c.protocol != 3 {
		c.end(ReasonTransportError, endFaulty.because(errPostBytes))
		return refuseRequest, false
	}
	limit := int64(c.srv.opts.MaxPayload)
	if r.ContentLength > limit {
		return refuseTooLarge, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	c.mu.Lock()
	p.reading = nil
	c.mu.Unlock()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuseTooLarge, false
	case err != nil:
		c.end(ReasonTransportError, endDead.because(err))
		return refuseRequest, false
	}
	// Nobody reads while a handler is busy, so a client that has gone meanwhile
	// would not be noticed.
	stop := context.AfterFunc(r.Context(), func() { c.end(ReasonTransportError, endDead.because(errPostGone)) })
	defer stop()
	c.srv.stats.bytesIn.Add(int64(len(body)))
	err = decodePayload(body, c.protocol, binary, func(p packet) error { return c.onPacket(p.alone(len(body))) })
	switch {
	case err == nil:
		return refusal{}, true
	case errors.Is(err, errClientClosed):
		c.endFor(err)
		return refusal{}, true
	default:
		c.endFor(err)
		return refuseRequest, false
	}
}
