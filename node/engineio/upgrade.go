package engineio

import (
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

const probe = "probe" // the data of the ping and the pong that begin an upgrade

// hijack completes a WebSocket handshake and takes the connection over from
// net/http, which then lets go of its buffers and of the request. The error has
// been answered.
func (s *Server) hijack(w http.ResponseWriter, r *http.Request, header http.Header) (*socket, error) {
	up := ws.HTTPUpgrader{
		Timeout: s.opts.UpgradeTimeout, Header: header,
		Protocol: func(string) bool { return true }, // the first that is offered, as Node's ws does
	}
	var offer *deflateOffer
	if s.opts.Compression {
		offer = newDeflateOffer()
		up.Negotiate = offer.negotiate
	}
	conn, rw, _, err := up.Upgrade(withJoinedLists(r), w)
	if err != nil {
		if conn != nil {
			hardClose(conn)
		}
		return nil, err
	}
	var early []byte
	if n := rw.Reader.Buffered(); n > 0 {
		peeked, _ := rw.Reader.Peek(n) // what is buffered is there
		early = slices.Clone(peeked)
	}
	sock := newSocket(conn, early, s.opts.MaxPayload, offer != nil && offer.accepted())
	sock.controlCap = s.opts.ControlsPerSecond
	return sock, nil
}

// refusedUpgrade counts a WebSocket handshake that has been answered with an error.
func (s *Server) refusedUpgrade(r *http.Request, err error) {
	ref := refuseRequest
	ref.err = err
	s.refused(r, ref)
}

// withJoinedLists returns the request with those headers on one line each that
// the WebSocket handshake takes for lists, of which the library reads the first
// line only: a proxy or a client may have written several (RFC 9110, 5.3).
func withJoinedLists(r *http.Request) *http.Request {
	joined := *r
	joined.Header = maps.Clone(r.Header)
	for _, name := range [...]string{"Connection", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions"} {
		if lines := r.Header[name]; len(lines) > 1 {
			joined.Header[name] = []string{strings.Join(lines, ", ")}
		}
	}
	joined.Header["Upgrade"] = []string{"websocket"} // isUpgrade has found it in the list
	return &joined
}

// serveUpgrade lets a WebSocket try to take a polling session over. Only one
// may at a time: another is closed, and the session goes on as it was.
func (c *Conn) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	p := c.poll
	free := c.state == stateOpen && p != nil && !p.upgrading
	if free {
		p.upgrading = true
		c.refs++
	}
	c.mu.Unlock()

	sock, err := c.srv.hijack(w, r, nil)
	switch {
	case err != nil:
		c.srv.refusedUpgrade(r, err)
		if free {
			c.mu.Lock()
			p.upgrading = false
			c.mu.Unlock()
			c.release()
		}
	case free:
		go c.runProbe(sock, p)
	default:
		// Completed and then closed, as Node does: a client tells a failed
		// handshake and a closed connection apart.
		farewellTo(sock.conn, ws.StatusPolicyViolation)
	}
}

// farewellTo closes a connection that belongs to no session.
func farewellTo(conn net.Conn, status ws.StatusCode) {
	_ = conn.SetWriteDeadline(time.Now().Add(closeGrace))
	_, _ = conn.Write(closeFrame(status))
	hardClose(conn)
}

// runProbe is the goroutine of a WebSocket that tries to take over. If it
// succeeds it becomes the session's reader.
func (c *Conn) runProbe(sock *socket, p *polling) {
	c.mu.Lock()
	open := c.state == stateOpen // else nobody would close the probe
	if open {
		p.probe = sock
	}
	c.mu.Unlock()
	_ = sock.conn.SetDeadline(time.Now().Add(c.srv.opts.UpgradeTimeout))
	if open && c.probe(sock, p) && c.takeOver(sock, p) {
		c.readSocket(sock)
		return
	}
	c.mu.Lock()
	p.upgrading, p.probed, p.probe = false, false, nil
	p.wakeLocked()
	c.mu.Unlock()
	farewellTo(sock.conn, ws.StatusNormalClosure)
	c.release()
}

// probe exchanges the probe packets and reports whether the upgrade packet
// came. Anything else ends the attempt.
func (c *Conn) probe(sock *socket, p *polling) bool {
	for probed := false; ; {
		pk, ok := c.nextProbePacket(sock)
		switch {
		case !ok:
			return false
		case !probed && pk.kind == packetPing && string(pk.data) == probe:
			probed = true
			if _, err := sock.conn.Write(pongFor(pk.data).socketWire(c.protocol, false, false)); err != nil {
				return false
			}
			c.mu.Lock()
			p.probed = true
			p.wakeLocked()
			c.mu.Unlock()
		case probed && pk.kind == packetUpgrade:
			return true
		default:
			return false
		}
	}
}

// nextProbePacket reads one packet from a WebSocket that is not the session's
// transport yet.
func (c *Conn) nextProbePacket(sock *socket) (packet, bool) {
	for {
		op, data, err := sock.next()
		if err != nil {
			return packet{}, false
		}
		switch op {
		case ws.OpText:
			pk, err := decodeText(data, c.protocol)
			return pk, err == nil
		case ws.OpPing:
			if _, err := sock.conn.Write(appendSocketFrame(nil, ws.OpPong, false, nil, data)); err != nil {
				return packet{}, false
			}
		case ws.OpPong:
		default:
			return packet{}, false
		}
	}
}

// takeOver makes the WebSocket the session's transport, unless the session has
// ended. A POST under way is waited for: what it brings was sent before.
func (c *Conn) takeOver(sock *socket, p *polling) bool {
	for {
		c.mu.Lock()
		if c.state != stateOpen {
			c.mu.Unlock()
			return false
		}
		if !p.posting {
			break
		}
		done := p.postDone
		c.mu.Unlock()
		<-done
	}
	_ = sock.conn.SetDeadline(time.Time{})
	p.wakeLocked() // a GET that still waits gets an error, and nothing of the queue
	c.websocket, c.sock, c.poll = true, sock, nil
	p.upgrading, p.probe, p.probed = false, nil, false
	start := len(c.queue) > 0 && c.kickLocked()
	c.mu.Unlock()
	c.srv.stats.upgrades.Add(1)
	c.srv.stats.polling.Add(-1)
	c.srv.stats.webSocket.Add(1)
	if start {
		go c.write()
	}
	return true
}
