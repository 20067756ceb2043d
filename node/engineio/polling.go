package engineio

import (
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

// polling is what a session has only while its transport is polling. It is
// guarded by Conn.mu.
type polling struct {
	get       *pendingGet
	answering *http.ResponseController // of a GET whose answer is being written

	posting  bool
	reading  *http.ResponseController // of a POST whose body is being read
	postDone chan struct{}            // closed when the POST under way has been handled

	upgrading bool    // a WebSocket is trying to take over
	probe     *socket // that one, once its handshake is done
	probed    bool    // it has sent its probe

	told bool // closing: a GET has been told
}

// pendingGet is a GET that waits for something to send.
type pendingGet struct{ wake chan struct{} }

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
		_ = p.answering.SetWriteDeadline(time.Now().Add(closeGrace))
	}
	p.wakeLocked()
	return (p.get == nil || queued) && how.linger > 0
}

// serveGet answers with what is queued, as soon as there is something.
func (c *Conn) serveGet(w http.ResponseWriter, r *http.Request) {
	g := &pendingGet{wake: make(chan struct{}, 1)}
	c.mu.Lock()
	p := c.poll
	switch {
	case c.state == stateOpening || c.state == stateClosing && (p == nil || p.told || c.how.linger == 0):
		c.mu.Unlock()
		c.srv.refuse(w, refuseSID)
		return
	case p == nil:
		c.mu.Unlock()
		c.srv.refuse(w, refuseRequest)
		return
	case p.get != nil:
		c.mu.Unlock()
		c.end(ReasonTransportError, endFaulty)
		c.srv.refuse(w, refuseRequest)
		return
	}
	p.get = g
	if c.state != stateClosing { // else the server no longer counts the session
		c.refs++
		defer c.release()
	}
	c.mu.Unlock()

	batch, ok := c.awaitBatch(r, p, g)
	if !ok {
		c.srv.refuse(w, refuseRequest)
		return
	}
	c.answerGet(w, p, batch)
}

// awaitBatch waits until there is something to answer the GET with, and takes
// it from the queue. It is not ok when the GET has come to nothing: the client
// is gone, or talks over WebSocket now.
func (c *Conn) awaitBatch(r *http.Request, p *polling, g *pendingGet) (batch []item, ok bool) {
	var noop *time.Timer
	var noopDue <-chan time.Time
	held := false // long enough after the probe
	for {
		c.mu.Lock()
		switch {
		case c.sock != nil && c.poll == nil: // upgraded
			p.get = nil
			c.mu.Unlock()
			return nil, false
		case c.state == stateClosing && len(c.queue) > 0 && c.how.linger > 0 && !c.how.noop:
			// The close packet comes with the next GET: the Socket.IO client handles
			// packets a tick later than the close of its transport, and would take a
			// DISCONNECT in the same body for a lost connection.
			batch, c.queue = c.queue, nil
			p.get = nil
			c.mu.Unlock()
			return batch, true
		case c.state == stateClosing:
			batch, c.queue = c.queue, nil
			if c.how.noop {
				batch = append(batch, noopPacket)
			} else {
				batch = append(batch, closePacket)
			}
			p.get, p.told = nil, true
			c.mu.Unlock()
			c.srv.forget(c)
			return batch, true
		case len(c.queue) > 0:
			batch, c.queue = c.queue, nil
			p.get = nil
			c.mu.Unlock()
			return batch, true
		case held && p.probed: // the upgrade goes on: set the client free to complete it
			p.get = nil
			c.mu.Unlock()
			return []item{noopPacket}, true
		}
		probed := p.probed
		c.mu.Unlock()
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
			c.end(ReasonTransportError, endDead)
			return nil, false
		}
	}
}

// answerGet writes the items as the answer of a GET.
func (c *Conn) answerGet(w http.ResponseWriter, p *polling, batch []item) {
	body, contentType, messages := c.pollingBody(batch)
	cost := 0
	for _, it := range batch {
		cost += it.cost()
	}
	recycleBatch(batch)
	ctl := http.NewResponseController(w)
	// The wait was longer than a server's write timeout may be; the write itself
	// is bounded by the heartbeat, like all else.
	_ = ctl.SetWriteDeadline(time.Time{})
	c.mu.Lock()
	p.answering = ctl
	if c.state == stateClosing {
		_ = ctl.SetWriteDeadline(time.Now().Add(closeGrace))
	}
	c.mu.Unlock()

	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	n, err := w.Write(body)
	if err == nil {
		err = ctl.Flush() // while the deadline is ours
	}
	c.srv.stats.bytesOut.Add(int64(n))
	c.srv.stats.messagesOut.Add(int64(messages))

	c.mu.Lock()
	if p.answering == ctl {
		p.answering = nil
	}
	_ = ctl.SetWriteDeadline(time.Time{}) // the connection may serve other requests
	c.queued = max(0, c.queued-cost)
	c.mu.Unlock()
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		c.end(ReasonTransportError, endDead)
	}
}

// pollingBody joins the items to one body.
func (c *Conn) pollingBody(batch []item) (body []byte, contentType string, messages int) {
	binary := c.protocol == 3 && !c.base64 && slices.ContainsFunc(batch, func(it item) bool {
		return it.kind == itemMessage && hasBinary(it.f)
	})
	for i, it := range batch {
		if i > 0 && c.protocol != 3 {
			body = append(body, separator)
		}
		wire := it.pollingWire(c.protocol, binary)
		if body == nil && len(batch) == 1 {
			body = wire
		} else {
			body = append(body, wire...)
		}
		if it.kind == itemMessage {
			messages += it.f.Len()
		}
	}
	if binary {
		return body, "application/octet-stream", messages
	}
	return body, "text/plain; charset=UTF-8", messages
}

// servePost handles the packets in the body.
func (c *Conn) servePost(w http.ResponseWriter, r *http.Request) {
	ctl := http.NewResponseController(w)
	c.mu.Lock()
	p := c.poll
	switch {
	case c.state != stateOpen:
		c.mu.Unlock()
		c.srv.refuse(w, refuseSID)
		return
	case p == nil:
		c.mu.Unlock()
		c.srv.refuse(w, refuseRequest)
		return
	case p.posting:
		c.mu.Unlock()
		c.end(ReasonTransportError, endFaulty)
		c.srv.refuse(w, refuseRequest)
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
		c.srv.refuse(w, ref)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html") // not text/plain, as Node: old browsers offer that for download
	h.Set("Content-Length", "2")
	h.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "ok") // a client that is gone ends by its heartbeat
}

// handlePost reads the body and handles its packets.
func (c *Conn) handlePost(w http.ResponseWriter, r *http.Request, p *polling) (refusal, bool) {
	binary := strings.HasPrefix(r.Header.Get("Content-Type"), "application/octet-stream")
	if binary && c.protocol != 3 {
		c.end(ReasonTransportError, endFaulty)
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
		c.end(ReasonTransportError, endDead)
		return refuseRequest, false
	}
	c.srv.stats.bytesIn.Add(int64(len(body)))
	err = decodePayload(body, c.protocol, binary, c.onPacket)
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
