package redistest

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between clients and a Redis, and does to what Redis says
// whatever the test wants. Its methods may be called from any goroutine.
type Proxy struct {
	// Addr is host:port, on the loopback interface.
	Addr string

	target string
	l      net.Listener
	reply  atomic.Pointer[func(*ProxyConn, []byte) bool]
	work   sync.WaitGroup // accept, and two for each connection

	mu    sync.Mutex // guards the rest
	conns []*ProxyConn
	ended bool
}

// ProxyConn is a connection of a client through a [Proxy].
type ProxyConn struct {
	near, far  net.Conn
	subscribes atomic.Bool
}

// Subscribes reports whether the client has ever sent SUBSCRIBE over it.
func (c *ProxyConn) Subscribes() bool { return c.subscribes.Load() }

// StartProxy passes everything on to the Redis at an address, until the test ends.
func StartProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, l: l}
	p.OnReply(nil)
	p.work.Go(p.accept)
	tb.Cleanup(p.end)
	return p
}

// OnReply has f called with all that Redis says from now on, in whatever
// pieces it comes, in a goroutine for each connection. What f returns false
// for never arrives; while f takes its time, the connection is slow. Nil is no f.
func (p *Proxy) OnReply(f func(c *ProxyConn, data []byte) (pass bool)) {
	if f == nil {
		f = func(*ProxyConn, []byte) bool { return true }
	}
	p.reply.Store(&f)
}

// Conns returns the connections there have been, the oldest first.
func (p *Proxy) Conns() []*ProxyConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*ProxyConn(nil), p.conns...)
}

func (p *Proxy) accept() {
	for {
		near, err := p.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil {
			near.Close()
			continue
		}
		c := &ProxyConn{near: near, far: far}
		p.mu.Lock()
		if p.ended {
			p.mu.Unlock()
			c.close()
			return
		}
		p.conns = append(p.conns, c)
		p.work.Go(func() { c.copy(far, near, c.sent) })
		p.work.Go(func() { c.copy(near, far, func(data []byte) bool { return (*p.reply.Load())(c, data) }) })
		p.mu.Unlock()
	}
}

func (c *ProxyConn) sent(data []byte) bool {
	if bytes.Contains(bytes.ToLower(data), []byte("\r\nsubscribe\r\n")) {
		c.subscribes.Store(true)
	}
	return true
}

// copy passes one direction on until either end closes, and then closes both.
func (c *ProxyConn) copy(to, from net.Conn, pass func([]byte) bool) {
	defer c.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && pass(buf[:n]) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *ProxyConn) close() {
	c.near.Close()
	c.far.Close()
}

func (p *Proxy) end() {
	p.l.Close()
	p.mu.Lock()
	p.ended = true
	for _, c := range p.conns {
		c.close()
	}
	p.mu.Unlock()
	p.work.Wait()
}
