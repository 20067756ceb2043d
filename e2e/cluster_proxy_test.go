package e2e

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tcpProxy stands between a node and its Redis. While it is cut, nothing passes,
// connections stay, and what was under way arrives late.
type tcpProxy struct {
	target string
	l      net.Listener
	work   sync.WaitGroup
	// slow is how long a SUBSCRIBE takes to arrive, in nanoseconds.
	slow atomic.Int64

	mu    sync.Mutex // guards the rest
	open  chan struct{}
	conns map[net.Conn]struct{}
	ended bool
}

func startProxy(t *testing.T, target string) *tcpProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tcpProxy{target: target, l: l, open: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	close(p.open)
	p.work.Go(p.accept)
	t.Cleanup(p.end)
	return p
}

func (p *tcpProxy) url() string { return "redis://" + p.l.Addr().String() }

// cut lets nothing pass from now on.
func (p *tcpProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

// heal ends cut.
func (p *tcpProxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.open)
}

func (p *tcpProxy) accept() {
	for {
		near, err := p.l.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(near) })
	}
}

// keep notes a connection, to be closed at the end. It reports false after that.
func (p *tcpProxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return !p.ended
}

func (p *tcpProxy) serve(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer far.Close()
	if !p.keep(near) || !p.keep(far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(far, near) })
	both.Go(func() { p.pass(near, far) })
	both.Wait()
}

// pass copies one direction.
func (p *tcpProxy) pass(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		open := p.open
		p.mu.Unlock()
		<-open
		if bytes.Contains(buf[:n], []byte("\r\nSUBSCRIBE\r\n")) {
			time.Sleep(time.Duration(p.slow.Load()))
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *tcpProxy) end() {
	p.l.Close()
	p.mu.Lock()
	p.ended = true
	select {
	case <-p.open:
	default:
		close(p.open)
	}
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}
