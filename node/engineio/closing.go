package engineio

import (
	"errors"
	"io"
	"time"

	"github.com/gobwas/ws"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

const (
	// closeGrace is how long a closed session may take to write what is queued,
	// and then how long the client may take to close its side.
	closeGrace = time.Second
	// farewell is how long a polling session that the client closed can still
	// be asked by the GET that the client sent at the same time, see endClient.
	farewell = 100 * time.Millisecond
)

// ending is what is still done for a session that ends.
type ending struct {
	hard   bool          // nothing is: the peer is gone or does not read
	drop   bool          // what is queued is not sent
	status ws.StatusCode // in the WebSocket close frame
	noop   bool          // a polling GET ends with a noop packet, not with a close packet
	linger time.Duration // how long one more GET may come to hear of the end
	cause  error         // what the reason does not say, for the log
}

// because is the same ending with what led to it.
func (e ending) because(cause error) ending {
	e.cause = cause
	return e
}

var (
	endForced   = ending{status: ws.StatusNormalClosure, linger: closeGrace}
	endShutdown = ending{status: ws.StatusGoingAway}
	endShed     = ending{status: ws.StatusGoingAway, linger: closeGrace}
	// The client closed. Over polling its POST can overtake the GET that it
	// sent just before; that one gets a noop, as if it had come first.
	endClient = ending{drop: true, status: ws.StatusNormalClosure, noop: true, linger: farewell}
	endFaulty = ending{status: ws.StatusProtocolError}
	endDead   = ending{hard: true, drop: true}
)

// Close ends the session with the given reason, after what is queued was
// written, if that can go at once: to a WebSocket within a second, to polling
// by the GET that waits or comes within a second. It never blocks, and may be
// called from anywhere, within Receive as well. Only the first of several calls
// counts.
func (c *Conn) Close(reason string) { c.end(reason, endForced) }

// end decides that the session ends, and how; it reports whether it was the
// first to do so. It does not block.
func (c *Conn) end(reason string, how ending) bool {
	c.mu.Lock()
	if c.state == stateClosing {
		c.mu.Unlock()
		return false
	}
	opening, websocket := c.state == stateOpening, c.websocket
	c.state, c.reason, c.how = stateClosing, reason, how
	if how.drop {
		c.queue, c.queued = nil, 0
	}
	if opening { // the handshake goroutine finds out, and finishes
		c.mu.Unlock()
		return true
	}
	defer c.logEnd(reason, how.cause, websocket)
	sock, poll := c.sock, c.poll
	keep := false // in the table, for one more GET
	switch {
	case sock != nil:
		keep = true // costs nothing; finish takes it out
		c.endSocketLocked(how)
	case poll != nil:
		keep = poll.endLocked(how, len(c.queue) > 0)
		c.refs++
	default: // the WebSocket handshake is not done, and will see that it is too late
		c.refs++
	}
	linger := closeGrace
	if sock == nil {
		linger = how.linger
	}
	c.beat.stopLocked()
	if keep {
		c.beat.timer.Reset(linger) // tick then does the rest
	}
	c.mu.Unlock()

	if !keep {
		c.srv.forget(c)
	}
	if sock == nil {
		go c.finish()
	} else if how.hard {
		hardClose(sock.conn)
	}
	return true
}

// endSocketLocked sends the close frame behind what is queued. The writer calls
// finish when it has nothing left.
func (c *Conn) endSocketLocked(how ending) {
	if !how.hard {
		_ = c.sock.conn.SetWriteDeadline(time.Now().Add(closeGrace)) // without one, the timer does it
		c.queue = append(c.queue, item{f: frame.Binary(closeFrame(how.status)), kind: itemSocket})
	}
	if !c.writing {
		c.writing = true
		c.refs++
		go c.write()
	}
}

// finish runs once for each session that was open, when nothing more is to be
// written or nothing can be. It releases the reference that end or the writer
// holds for it.
func (c *Conn) finish() {
	defer c.release()
	c.mu.Lock()
	sock, readDone, websocket := c.sock, c.readDone, c.websocket
	c.writeDone = true
	c.mu.Unlock()
	switch {
	case sock == nil:
	case readDone:
		hardClose(sock.conn)
	default:
		// Closing with unread data in the socket would make the kernel reset the
		// connection, and the client lose what it has not read. So only our side
		// closes; the reader ends with the client's, or with the timer.
		if half, ok := sock.conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	if websocket {
		c.srv.stats.webSocket.Add(-1)
		c.srv.forget(c)
	} else {
		c.srv.stats.polling.Add(-1)
	}
	defer func() {
		if r := recover(); r != nil {
			c.srv.logPanic("Closed", c.id, r)
		}
	}()
	c.handler.Closed(c.reason)
}

// endFor ends the session for an error of onPacket or of a decoder.
func (c *Conn) endFor(err error) {
	switch {
	case errors.Is(err, errClientClosed):
		c.end(ReasonTransportClose, endClient)
	case errors.Is(err, errFlood):
		c.endFlood()
	case errors.Is(err, errDirection):
		c.end(ReasonTransportError, endFaulty.because(err))
	default:
		c.end(ReasonParseError, endFaulty.because(err))
	}
}

// endFlood ends the session of a client that sends more control packets than
// Options.ControlsPerSecond.
func (c *Conn) endFlood() {
	how := endFaulty.because(errFlood)
	how.status = ws.StatusPolicyViolation
	if c.end(ReasonTransportError, how) {
		c.srv.stats.floods.Add(1)
		c.srv.opts.Logger.Info("engineio: client sends too many control packets, closed", "sid", c.id, "remote", c.remote,
			"bound", c.srv.opts.ControlsPerSecond)
	}
}

// logEnd writes the line of a session that has ended.
func (c *Conn) logEnd(reason string, cause error, websocket bool) {
	transport := TransportPolling
	if websocket {
		transport = TransportWebSocket
	}
	attrs := []any{"reason", reason, "remote", c.remote, "transport", transport, "sid", c.id}
	if cause != nil {
		attrs = append(attrs, "error", cause)
	}
	c.srv.opts.Logger.Debug("engineio: connection closed", attrs...)
}

// endForRead ends the session for an error of the WebSocket reader.
func (c *Conn) endForRead(err error) {
	var violation *socketError
	switch {
	case errors.Is(err, errFlood):
		c.endFlood()
	case errors.As(err, &violation):
		how := endFaulty.because(err)
		how.status = violation.status
		c.end(ReasonTransportError, how)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isGone(err):
		c.end(ReasonTransportClose, endDead.because(err))
	default:
		c.end(ReasonTransportError, endDead.because(err))
	}
}
