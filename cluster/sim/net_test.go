package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// path is one direction of a node's way to Redis, or back. It is shared by all
// of the node's connections.
type path struct {
	mu         sync.Mutex // guards what follows
	stuckUntil time.Time  // nothing arrives before
	latency    time.Duration
}

// stick keeps everything from arriving for a while.
func (p *path) stick(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.stuckUntil) {
		p.stuckUntil = until
	}
}

func (p *path) setLatency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

func (p *path) state() (stuckUntil time.Time, latency time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stuckUntil, p.latency
}

// lane is one direction of one connection: a buffer without a bound. As with TCP,
// bytes may be late, but none are lost unless the connection is reset.
type lane struct {
	paths []*path // all of which the bytes pass

	mu      sync.Mutex // guards what follows
	parts   []part
	last    time.Time     // when the newest part arrives
	err     error         // what the reader gets when all parts are read
	errAt   time.Time     // and not before
	changed chan struct{} // closed and made anew at every change
}

// part is what one Write has sent.
type part struct {
	data   []byte
	arrive time.Time
}

func newLane(paths ...*path) *lane { return &lane{paths: paths, changed: make(chan struct{})} }

func (l *lane) changeLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *lane) write(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return syscall.EPIPE
	}
	l.parts = append(l.parts, part{data: append([]byte(nil), b...), arrive: l.arrivalLocked()})
	l.changeLocked()
	return nil
}

// arrivalLocked is when what is sent now arrives: not before what was sent earlier.
func (l *lane) arrivalLocked() time.Time {
	at := time.Now()
	for _, p := range l.paths {
		_, latency := p.state()
		at = at.Add(latency)
	}
	if at.Before(l.last) {
		at = l.last
	}
	l.last = at
	return at
}

// end lets the reader see err after what has been sent; with drop instead of it.
func (l *lane) end(err error, drop bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err, l.errAt = err, l.arrivalLocked()
	if drop {
		l.parts, l.errAt = nil, time.Now()
	}
	l.changeLocked()
}

// readyLocked says what a reader may do: take the first part, or the error, or wait
// until a time; the zero time means until something changes.
func (l *lane) readyLocked() (ready bool, until time.Time) {
	switch {
	case len(l.parts) > 0:
		until = l.parts[0].arrive
	case l.err != nil:
		until = l.errAt
		if errors.Is(l.err, syscall.ECONNRESET) {
			return true, time.Time{} // the end that is reset knows at once
		}
	default:
		return false, time.Time{}
	}
	for _, p := range l.paths {
		if stuck, _ := p.state(); stuck.After(until) {
			until = stuck
		}
	}
	return !time.Now().Before(until), until
}

func (l *lane) read(b []byte, deadline func() (time.Time, <-chan struct{})) (int, error) {
	for {
		by, moved := deadline()
		l.mu.Lock()
		if !by.IsZero() && !time.Now().Before(by) {
			l.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		ready, until := l.readyLocked()
		if ready {
			defer l.mu.Unlock()
			if len(l.parts) == 0 {
				return 0, l.err
			}
			n := copy(b, l.parts[0].data)
			if l.parts[0].data = l.parts[0].data[n:]; len(l.parts[0].data) == 0 {
				l.parts = l.parts[1:]
			}
			return n, nil
		}
		changed := l.changed
		l.mu.Unlock()
		if until.IsZero() || !by.IsZero() && by.Before(until) {
			until = by
		}
		var alarm <-chan time.Time
		if !until.IsZero() {
			timer := time.NewTimer(time.Until(until))
			defer timer.Stop()
			alarm = timer.C
		}
		select {
		case <-changed:
		case <-moved:
		case <-alarm:
		}
	}
}

// end is one end of a connection in memory.
type end struct {
	in, out *lane
	onClose func()
	onWrite func([]byte) // nil for none

	mu       sync.Mutex // guards what follows
	closed   bool
	linger0  bool
	deadline time.Time
	moved    chan struct{} // closed and made anew when deadline changes or the end is closed
}

func newEnd(in, out *lane) *end { return &end{in: in, out: out, moved: make(chan struct{})} }

// pair connects a node with a server. up carries what the node sends.
func pair(up, down *lane) (node, server *end) { return newEnd(down, up), newEnd(up, down) }

func (e *end) Read(b []byte) (int, error) {
	n, err := e.in.read(b, func() (time.Time, <-chan struct{}) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.closed {
			return time.Unix(0, 1), e.moved
		}
		return e.deadline, e.moved
	})
	if err != nil && e.isClosed() {
		return n, net.ErrClosed
	}
	return n, err
}

func (e *end) Write(b []byte) (int, error) {
	e.mu.Lock()
	closed, late := e.closed, !e.deadline.IsZero() && !time.Now().Before(e.deadline)
	e.mu.Unlock()
	switch {
	case closed:
		return 0, net.ErrClosed
	case late:
		return 0, os.ErrDeadlineExceeded
	}
	if e.onWrite != nil {
		e.onWrite(b)
	}
	if err := e.out.write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (e *end) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// Close ends the connection as a kernel does: what was sent still arrives, then the
// other end reads EOF; with SetLinger(0), what has not arrived is lost.
func (e *end) Close() error {
	e.mu.Lock()
	was, drop := e.closed, e.linger0
	e.closed = true
	if !was {
		close(e.moved)
		e.moved = make(chan struct{})
	}
	e.mu.Unlock()
	if was {
		return net.ErrClosed
	}
	e.out.end(io.EOF, drop)
	e.in.end(syscall.ECONNRESET, true)
	if e.onClose != nil {
		e.onClose()
	}
	return nil
}

// SetLinger is that of a net.TCPConn.
func (e *end) SetLinger(sec int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.linger0 = sec == 0
	return nil
}

func (e *end) SetDeadline(t time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deadline = t
	close(e.moved)
	e.moved = make(chan struct{})
	return nil
}

// SetReadDeadline and SetWriteDeadline are one: a write never waits here.
func (e *end) SetReadDeadline(t time.Time) error { return e.SetDeadline(t) }

func (e *end) SetWriteDeadline(time.Time) error { return nil }

func (e *end) LocalAddr() net.Addr  { return address("node") }
func (e *end) RemoteAddr() net.Addr { return address("redis") }

type address string

func (a address) Network() string { return "memory" }
func (a address) String() string  { return string(a) }

// wire is a connection between a node and a server, as the network sees it.
type wire struct {
	node   *end
	server *end
	up     *lane
	down   *lane

	subscriber atomic.Bool // it has sent SUBSCRIBE
}

// cut resets the connection. What the node had sent, and had not arrived yet, is
// lost, or with late still reaches the server: nobody can know.
func (w *wire) cut(late bool) {
	if late {
		w.up.end(io.EOF, false)
	} else {
		w.up.end(syscall.ECONNRESET, true)
	}
	w.down.end(syscall.ECONNRESET, true)
}

// host is a node as the network sees it.
type host struct {
	name     string
	up, down path

	mu    sync.Mutex // guards what follows
	gone  bool       // nothing of it gets anywhere any more
	wires map[*wire]bool
	most  int // connections at a time
}

func newHost(name string) *host { return &host{name: name, wires: make(map[*wire]bool)} }

// all returns the connections that the host has.
func (h *host) all() []*wire {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*wire, 0, len(h.wires))
	for w := range h.wires {
		all = append(all, w)
	}
	return all
}

// cut resets all connections.
func (h *host) cut(late bool) {
	for _, w := range h.all() {
		w.cut(late)
	}
}

// vanish is what a kill of the process looks like from outside.
func (h *host) vanish() {
	h.mu.Lock()
	h.gone = true
	h.mu.Unlock()
	h.cut(false)
}

// dial connects the host to whichever server the address leads to at the moment.
func (h *host) dial(ctx context.Context, w *world) (net.Conn, error) {
	for {
		h.mu.Lock()
		gone := h.gone
		h.mu.Unlock()
		if gone {
			return nil, syscall.ECONNREFUSED
		}
		stuck := h.stuckUntil(w.server())
		if !time.Now().Before(stuck) {
			break
		}
		select {
		case <-time.After(time.Until(stuck)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s := w.server()
	if s == nil {
		return nil, syscall.ECONNREFUSED
	}
	up, down := newLane(&h.up, &s.path), newLane(&s.path, &h.down)
	node, server := pair(up, down)
	c := &wire{node: node, server: server, up: up, down: down}
	h.mu.Lock()
	h.wires[c] = true
	h.most = max(h.most, len(h.wires))
	h.mu.Unlock()
	s.attach(c)
	forget := func() {
		h.mu.Lock()
		delete(h.wires, c)
		h.mu.Unlock()
		s.detach(c)
	}
	node.onClose, server.onClose = forget, forget
	node.onWrite = func(b []byte) {
		if bytes.Contains(bytes.ToUpper(b[:min(len(b), 64)]), []byte("\r\nSUBSCRIBE\r\n")) {
			c.subscriber.Store(true)
		}
	}
	s.mini.Server().ServeConn(server)
	h.mu.Lock()
	gone := h.gone
	h.mu.Unlock()
	if gone {
		c.cut(false) // killed while it dialled
	}
	return node, nil
}

// stuckUntil is when a packet would get through, there and back.
func (h *host) stuckUntil(s *server) time.Time {
	until, _ := h.up.state()
	for _, p := range []*path{&h.down, s.pathOrNil()} {
		if p == nil {
			continue
		}
		if stuck, _ := p.state(); stuck.After(until) {
			until = stuck
		}
	}
	return until
}

// hampered says whether what the host sends, or is sent, is late.
func (h *host) hampered(s *server) bool {
	_, up := h.up.state()
	_, down := h.down.state()
	return up+down > 0 || time.Now().Before(h.stuckUntil(s))
}
