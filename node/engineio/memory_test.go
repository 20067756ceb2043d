//go:build !race

package engineio

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/gobwas/ws"
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
