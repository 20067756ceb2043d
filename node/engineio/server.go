package engineio

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dynamicio/dynamicio/namespace/address"
)

// Accept decides on a handshake. It is called before anything is read from the
// client and after the open packet was queued, so that what it sends to c comes
// next. An error refuses the handshake: a *RefuseError as it says, any other
// with 403 "Forbidden". r is valid until Accept returns; whoever keeps it keeps
// its buffers.
type Accept func(c *Conn, r *http.Request) (Handler, error)

// Server is the Engine.IO server, an http.Handler.
type Server struct {
	opts    Options
	accept  Accept
	origins *origins
	limiter *limiter
	stats   counters
	begun   time.Time

	strangers strangers

	// mu guards the fields below. It is a leaf.
	mu       sync.RWMutex
	conns    map[string]*Conn   // by session id; those that are closing included, while they can be asked
	active   int                // sessions with goroutines at work
	byAddr   map[netip.Addr]int // of these, by address.Group of their address
	draining bool               // no new sessions
	stopping bool               // Close was called
	done     chan struct{}      // closed when stopping and nothing is active
	vacant   chan struct{}      // closed when draining and conns is empty; nil: nobody waits
}

var errNoAccept = errors.New("engineio: no Accept function")

// New makes a server. The error says which option is wrong.
func New(o Options, accept Accept) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if accept == nil {
		return nil, errNoAccept
	}
	return &Server{
		opts: o, accept: accept, origins: newOrigins(o.Origins), limiter: newLimiter(o.HandshakesPerSecond),
		stats: counters{refused: newRefused()}, begun: time.Now(), conns: make(map[string]*Conn), byAddr: make(map[netip.Addr]int), done: make(chan struct{}),
	}, nil
}

// now is the monotonic time since the server was made.
func (s *Server) now() time.Duration { return time.Since(s.begun) }

// ServeHTTP serves one request of either transport.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path := strings.TrimSuffix(r.URL.Path, "/"); path != strings.TrimSuffix(s.opts.Path, "/") {
		http.NotFound(w, r)
		return
	}
	switch {
	case isUpgrade(r):
		s.serve(w, r, true)
		return
	case isPreflight(r) && !s.origins.allows(r):
		s.noteOrigin(r)
		s.refuse(w, r, refuseOrigin)
		return
	}
	s.origins.cors.ServeHTTP(w, r, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, false) })
}

// isUpgrade reports whether the client wants a WebSocket.
func isUpgrade(r *http.Request) bool {
	return slices.ContainsFunc(r.Header["Upgrade"], func(line string) bool {
		return slices.ContainsFunc(strings.Split(line, ","), func(one string) bool {
			return strings.EqualFold(strings.TrimSpace(one), "websocket")
		})
	})
}

// serve checks a request in the order in which Node does, and passes it on.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, upgrade bool) {
	query := r.URL.Query()
	transport := query.Get("transport")
	if !slices.Contains(s.opts.Transports, transport) {
		s.refuse(w, r, refuseTransport)
		return
	}
	if slices.ContainsFunc(r.Header["Origin"], hasControl) {
		s.refuse(w, r, refuseRequest)
		return
	}
	if !s.origins.allows(r) {
		s.noteOrigin(r)
		s.refuse(w, r, refuseOrigin)
		return
	}
	if transport == TransportPolling && query.Has("j") {
		s.refuse(w, r, refuseJSONP)
		return
	}
	protocol := 0
	switch query.Get("EIO") {
	case "4":
		protocol = 4
	case "3", "": // clients older than the parameter speak revision 3
		protocol = 3
	}
	if sid := query.Get("sid"); sid != "" {
		s.serveSession(w, r, sid, transport, protocol, upgrade)
		return
	}
	switch {
	case r.Method != http.MethodGet:
		s.refuse(w, r, refuseMethod)
	case upgrade != (transport == TransportWebSocket):
		s.refuse(w, r, refuseRequest)
	case protocol == 0 || protocol == 3 && !s.opts.AllowEIO3:
		s.refuse(w, r, refuseProtocol)
	default:
		s.handshake(w, r, transport, protocol, query.Get("b64") != "")
	}
}

// serveSession passes on a request that names a session.
func (s *Server) serveSession(w http.ResponseWriter, r *http.Request, sid, transport string, protocol int, upgrade bool) {
	s.mu.RLock()
	c := s.conns[sid]
	s.mu.RUnlock()
	if c == nil || c.endIfOverdue() {
		s.refuse(w, r, refuseSID)
		return
	}
	switch {
	case c.protocol != protocol, upgrade != (transport == TransportWebSocket):
		s.refuse(w, r, refuseRequest)
	case upgrade && s.opts.DisableUpgrades:
		s.refuse(w, r, refuseRequest)
	case upgrade && r.Method == http.MethodGet:
		c.serveUpgrade(w, r)
	case r.Method == http.MethodGet:
		c.serveGet(w, r)
	case r.Method == http.MethodPost:
		c.servePost(w, r)
	default:
		s.refuse(w, r, refuseRequest)
	}
}

// endIfOverdue ends a session whose timer is about to do it, and reports that:
// a request that comes after the ping timeout finds the session gone even if
// the timer fires a little late.
func (c *Conn) endIfOverdue() bool {
	c.mu.Lock()
	over := c.state == stateOpen && c.beat.overdueLocked(c.srv.now())
	c.mu.Unlock()
	if over {
		c.end(ReasonPingTimeout, endDead)
	}
	return over
}

// Drain refuses new sessions from now on, with 503 and Connection: close, so
// that clients go elsewhere. Those that there are go on, upgrades included.
func (s *Server) Drain() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
}

// Close ends all sessions with ReasonServerShutdown and refuses new ones. It
// returns when every handler has been told and every goroutine of the server
// has ended, or with ctx's error when that ends first; connections are then cut
// off, but handlers that block may still be running.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	if !s.stopping {
		s.stopping = true
		if s.active == 0 {
			close(s.done)
		}
	}
	s.mu.Unlock()
	for c := range s.Conns() {
		if !c.end(ReasonServerShutdown, endShutdown) {
			c.cutLinger()
		}
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	for c := range s.Conns() {
		c.mu.Lock()
		sock := c.sock
		c.mu.Unlock()
		if sock != nil {
			hardClose(sock.conn)
		}
	}
	return ctx.Err()
}

// cutLinger forgets a polling session that is over and only kept to be asked.
func (c *Conn) cutLinger() {
	c.mu.Lock()
	cut := c.state == stateClosing && c.sock == nil && c.handler != nil
	if cut {
		c.beat.stopLocked()
	}
	c.mu.Unlock()
	if cut {
		c.srv.forget(c)
	}
}

// Conns ranges over a snapshot of the sessions that were there when it began.
func (s *Server) Conns() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		s.mu.RLock()
		all := make([]*Conn, 0, len(s.conns))
		for _, c := range s.conns {
			all = append(all, c)
		}
		s.mu.RUnlock()
		for _, c := range all {
			if !yield(c) {
				return
			}
		}
	}
}

// admit enters a new session, or says why it does not.
func (s *Server) admit(c *Conn) (refusal, bool) {
	addr := address.Group(c.remote)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch most := s.opts.MaxSessionsPerAddress; {
	case s.draining:
		return refuseDraining, false
	case most > 0 && s.byAddr[addr] >= most:
		return refuseAddress, false
	case s.opts.MaxSessions > 0 && s.active >= s.opts.MaxSessions:
		return refuseFull, false
	}
	s.conns[c.id] = c
	s.active++
	s.byAddr[addr]++
	return refusal{}, true
}

// forget takes a session out of the table.
func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.conns[c.id]; !there {
		return
	}
	delete(s.conns, c.id)
	if s.vacant != nil && len(s.conns) == 0 {
		close(s.vacant)
	}
}

// sessionOver is called once for each admitted session, when nothing works for
// it any more.
func (s *Server) sessionOver(c *Conn) {
	addr := address.Group(c.remote)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	if s.byAddr[addr]--; s.byAddr[addr] == 0 {
		delete(s.byAddr, addr)
	}
	if s.stopping && s.active == 0 {
		close(s.done)
	}
}
