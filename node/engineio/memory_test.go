//go:build !race

package engineio

import (
	"bytes"
	"net"
	"runtime"
	"testing"

	"github.com/gobwas/ws"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// A mere announcement of a large payload costs little memory.
func TestMemory_AnnouncementIsNotTrusted(t *testing.T) {
	var b bytes.Buffer
	_ = ws.WriteHeader(&b, ws.Header{Fin: true, OpCode: ws.OpBinary, Masked: true, Length: 100 << 20})
	s := newSocket(readConn{Reader: &b}, nil, 200<<20, false)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, err := s.next(); err == nil {
		t.Fatal("a payload came from nowhere")
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8*trustedPayload {
		t.Errorf("%d bytes allocated for an announcement", got)
	}
}

// However much stack a handler needed, the idle connection gives it back: 200
// readers that kept it would hold more than 6 MiB.
func TestMemory_IdleConnectionHoldsNoStack(t *testing.T) {
	h := listen(t, Options{})
	h.setup = func(p *peer) {
		p.receive = func([]byte, bool) error {
			useStack(200)
			p.got <- message{}
			return nil
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 200 {
		c, p := h.socket()
		c.write("4a")
		receive(t, p.got)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := (int64(after.StackInuse) - int64(before.StackInuse)) / 200; got > 10_000 {
		t.Errorf("%d bytes of stack for an idle connection", got)
	}
}

//go:noinline
func useStack(depth int) (sum byte) {
	var b [256]byte
	b[depth] = byte(depth)
	if depth > 0 {
		sum = useStack(depth - 1)
	}
	return sum + b[depth]
}

// However small the messages are, the queue takes about what its bound says.
func TestMemory_TinyMessagesCountWhatTheyTake(t *testing.T) {
	const bound = 4 << 20
	h := listen(t, Options{MaxQueue: bound})
	p := h.polling()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	sent := 0
	for p.text("42[\"echo\",1]") {
		if sent++; sent == 15_000 {
			break
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	_, counted := p.Queue()
	took := int(after.HeapAlloc) - int(before.HeapAlloc)
	if took > counted*5/4 {
		t.Errorf("%d messages take %d bytes, and count %d", sent, took, counted)
	}
}

// What a client that stopped reading holds are frames that all share, not copies.
func TestMemory_BlockedWritesHoldNoCopies(t *testing.T) {
	const clients, size, messages = 40, 1500, 2000
	h := listen(t, Options{MaxQueue: 64 << 20})
	var all []*peer
	for range clients {
		c, p := h.socket()
		_ = c.conn.(*net.TCPConn).SetReadBuffer(4096)
		all = append(all, p)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range messages {
		f := frame.Text(bytes.Repeat([]byte("x"), size))
		for _, p := range all {
			p.Send(f, frame.Flags{})
		}
	}
	h.eventually("all clients are behind", func() bool {
		for _, p := range all {
			if _, bytes := p.Queue(); bytes == 0 {
				return false
			}
		}
		return true
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	const shared = messages * (2*size + 400) // data and wire form, once
	each := (int(after.HeapAlloc) - int(before.HeapAlloc) - shared) / clients
	// Its queue is 32 KiB; copies would be up to 3 MB.
	if each > messages*size/10 {
		t.Errorf("a client that is behind holds %d bytes", each)
	}
}
