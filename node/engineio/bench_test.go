package engineio

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// A burst of shared frames to clients that read: one operation is one frame to
// each of them.
func BenchmarkFanOut(b *testing.B) {
	for _, size := range []int{100, 1500, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchFanOut(b, size) })
	}
}

func benchFanOut(b *testing.B, size int) {
	const clients, burst = 200, 20
	conns := make(chan *Conn, clients)
	s, err := New(Options{MaxQueue: 1 << 30, Logger: slog.New(slog.DiscardHandler)}, func(c *Conn, _ *http.Request) (Handler, error) {
		conns <- c
		return benchHandler{}, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(s)
	defer web.Close()
	var got atomic.Int64
	caughtUp := make(chan struct{}, 1)
	var want atomic.Int64
	all := make([]*Conn, clients)
	for i := range all {
		c, err := dialWS(web.Listener.Addr().String(), "/socket.io/?EIO=4&transport=websocket", nil)
		if err != nil {
			b.Fatal(err)
		}
		defer c.conn.Close()
		if _, err := readFrame(c.br); err != nil {
			b.Fatal(err)
		}
		go func() {
			buf := make([]byte, 64<<10)
			for {
				n, err := c.conn.Read(buf)
				if err != nil {
					return
				}
				if got.Add(int64(n)) == want.Load() {
					caughtUp <- struct{}{}
				}
			}
		}()
		all[i] = <-conns
	}
	data := bytes.Repeat([]byte("x"), size)
	wire := int64(len((item{f: frame.Text(data)}).socketWire(4, false, false)))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%burst == 0 {
			want.Add(burst * clients * wire)
		}
		f := frame.Text(data)
		for _, c := range all {
			c.Send(f, frame.Flags{})
		}
		if n%burst == burst-1 {
			<-caughtUp
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/clients, "ns/delivery")
}

type benchHandler struct{}

func (benchHandler) Receive([]byte, bool) error { return nil }
func (benchHandler) Closed(string)              {}
