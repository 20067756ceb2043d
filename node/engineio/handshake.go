package engineio

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// newID returns 120 random bits, as long as Node's session ids.
func newID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// handshake opens a session.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, transport string, protocol int, base64Only bool) {
	begun := s.now()
	if !s.limiter.allow(r.RemoteAddr, time.Now()) {
		s.refuse(w, r, refuseRate)
		return
	}
	c := &Conn{
		srv: s, id: newID(), remote: r.RemoteAddr, protocol: protocol, refs: 1,
		base64: protocol == 3 && base64Only, websocket: transport == TransportWebSocket,
	}
	open := item{f: frame.Text(s.openPacket(c.id, transport)), kind: itemPacket}
	if c.websocket {
		c.queue, c.queued = append(newBatch(), open), open.cost()
	} else {
		c.poll = &polling{}
	}
	if ref, ok := s.admit(c); !ok {
		s.refuse(w, r, ref)
		return
	}
	handler, err := s.askAccept(c, r)
	if err != nil {
		c.end(ReasonForcedClose, endDead)
		s.forget(c)
		c.release()
		s.refuse(w, r, notAccepted(err))
		return
	}
	if !c.activate(handler, begun) {
		c.closedEarly()
		s.refuse(w, r, refuseDraining)
		return
	}
	header := http.Header{}
	if s.opts.Cookie != nil {
		cookie := *s.opts.Cookie
		cookie.Value = c.id
		header["Set-Cookie"] = []string{cookie.String()}
	}
	if c.websocket {
		s.openSocket(w, r, c, header)
		return
	}
	defer c.release()
	h := w.Header()
	for name, values := range header {
		h[name] = values
	}
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	s.respond(w, http.StatusOK, open.pollingWire(protocol, false))
}

// openSocket completes the handshake of a session that begins on WebSocket.
func (s *Server) openSocket(w http.ResponseWriter, r *http.Request, c *Conn, header http.Header) {
	sock, err := s.hijack(w, r, header)
	if err != nil {
		s.refusedUpgrade(r, err)
		c.end(ReasonTransportError, endDead.because(err))
		c.release()
		return
	}
	c.mu.Lock()
	if c.state != stateOpen {
		c.mu.Unlock()
		hardClose(sock.conn)
		c.release()
		return
	}
	c.sock = sock
	start := c.kickLocked()
	c.mu.Unlock()
	if start {
		go c.write()
	}
	go c.readSocket(sock)
}

// openPacket is the first packet of a session.
func (s *Server) openPacket(sid, transport string) []byte {
	b := append(make([]byte, 0, 160), `0{"sid":"`...)
	b = append(b, sid...) // needs no escape
	b = append(append(b, `","upgrades":`...), s.opts.upgrades(transport)...)
	b = strconv.AppendInt(append(b, `,"pingInterval":`...), s.opts.PingInterval.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, `,"pingTimeout":`...), s.opts.PingTimeout.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, `,"maxPayload":`...), int64(s.opts.MaxPayload), 10)
	return append(b, '}')
}

var (
	errPanicked  = errors.New("engineio: the Accept function panicked")
	errNoHandler = errors.New("engineio: the Accept function gave no handler")
)

func (s *Server) askAccept(c *Conn, r *http.Request) (h Handler, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.logPanic("Accept", c.id, p)
			h, err = nil, errPanicked
		}
	}()
	h, err = s.accept(c, r)
	if err == nil && h == nil {
		err = errNoHandler
	}
	return h, err
}

// closedEarly is the end of a session that was ended before it was open.
func (c *Conn) closedEarly() {
	defer c.release()
	c.srv.forget(c)
	defer func() {
		if p := recover(); p != nil {
			c.srv.logPanic("Closed", c.id, p)
		}
	}()
	c.handler.Closed(c.reason)
}
