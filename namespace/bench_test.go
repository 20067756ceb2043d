package namespace

import (
	"context"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// nullConn takes everything and keeps nothing.
type nullConn struct{ got chan struct{} } // got gets a value for every frame, if not nil

func (nullConn) ID() string        { return "null" }
func (nullConn) Protocol() int     { return 4 }
func (nullConn) Transport() string { return "websocket" }
func (nullConn) Reserve(int) bool  { return true }
func (nullConn) Release(int)       {}
func (nullConn) Close(string)      {}
func (c nullConn) Send(*frame.Frame, frame.Flags) bool {
	if c.got != nil {
		c.got <- struct{}{}
	}
	return true
}

func benchRegistry(b *testing.B, setup SetupFunc) *Registry {
	r, err := New(Options{Logger: slog.New(slog.DiscardHandler), Retirement: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	r.Setup("*", setup)
	return r
}

func benchClient(b *testing.B, r *Registry, conn Conn) *Client {
	c, err := r.Accept(conn, &Handshake{URL: &url.URL{}})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func benchReceive(b *testing.B, c *Client, text []byte) {
	if err := c.Receive(text, false); err != nil {
		b.Fatal(err)
	}
}

// One broadcast to 1000 clients: what the namespace costs, without transport.
func BenchmarkBroadcast_1000Clients(b *testing.B) {
	r := benchRegistry(b, accept)
	clients := make([]*Client, 1000)
	admitted := nullConn{got: make(chan struct{}, 1)}
	for i := range clients {
		clients[i] = benchClient(b, r, nullConn{})
		benchReceive(b, clients[i], []byte("0"))
	}
	last := benchClient(b, r, admitted)
	benchReceive(b, last, []byte("0"))
	<-admitted.got
	last.Closed(ReasonTransportClose)
	ns := r.Lookup("/")
	for ns.SocketCount() != len(clients) {
		time.Sleep(time.Millisecond)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := ns.Emit("news", "some text of a common length", 12345); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/delivery")
	for _, c := range clients {
		c.Closed(ReasonTransportClose)
	}
	_ = r.Close(context.Background())
}

// An event with an argument, from the message of the transport to the end of
// its typed handler.
func BenchmarkEvent_TypedHandler(b *testing.B) {
	handled := make(chan struct{}, 1)
	r := benchRegistry(b, func(ns *Namespace, _ Match) error {
		ns.On("e", Receive(func(context.Context, int) error { handled <- struct{}{}; return nil }))
		return nil
	})
	c := benchClient(b, r, nullConn{})
	benchReceive(b, c, []byte("0"))
	for len(c.Sockets()) == 0 {
		time.Sleep(time.Millisecond)
	}
	text := []byte(`2["e",12345]`)
	b.ReportAllocs()
	for b.Loop() {
		benchReceive(b, c, text)
		<-handled
	}
	c.Closed(ReasonTransportClose)
	_ = r.Close(context.Background())
}

// The same without waiting for each: how many events a connection can have
// handled in a second.
func BenchmarkEvent_Pipelined(b *testing.B) {
	done := make(chan struct{})
	r := benchRegistry(b, func(ns *Namespace, _ Match) error {
		ns.On("e", func(context.Context, *Event) error { return nil })
		ns.On("end", func(context.Context, *Event) error { close(done); return nil })
		return nil
	})
	c := benchClient(b, r, nullConn{})
	benchReceive(b, c, []byte("0"))
	for len(c.Sockets()) == 0 {
		time.Sleep(time.Millisecond)
	}
	text := []byte(`2["e",12345]`)
	b.ReportAllocs()
	for b.Loop() {
		benchReceive(b, c, text)
	}
	benchReceive(b, c, []byte(`2["end"]`))
	<-done
	c.Closed(ReasonTransportClose)
	_ = r.Close(context.Background())
}

// A client that comes into a namespace that lives, and goes.
func BenchmarkClient_ConnectAndClose(b *testing.B) {
	r := benchRegistry(b, accept)
	conn := nullConn{got: make(chan struct{}, 1)}
	h := &Handshake{URL: &url.URL{}}
	first := benchClient(b, r, conn) // keeps "/" joined
	benchReceive(b, first, []byte("0"))
	<-conn.got
	b.ReportAllocs()
	for b.Loop() {
		c, err := r.Accept(conn, h)
		if err != nil {
			b.Fatal(err)
		}
		benchReceive(b, c, []byte("0"))
		<-conn.got
		c.Closed(ReasonTransportClose)
	}
	first.Closed(ReasonTransportClose)
	_ = r.Close(context.Background())
}

// A client that brings a namespace to life, and leaves it to its countdown.
func BenchmarkClient_ConnectToNewNamespace(b *testing.B) {
	r, err := New(Options{Logger: slog.New(slog.DiscardHandler), Retirement: time.Nanosecond})
	if err != nil {
		b.Fatal(err)
	}
	r.Setup("*", accept)
	conn := nullConn{got: make(chan struct{}, 1)}
	h := &Handshake{URL: &url.URL{}}
	b.ReportAllocs()
	for b.Loop() {
		c, err := r.Accept(conn, h)
		if err != nil {
			b.Fatal(err)
		}
		benchReceive(b, c, []byte("0/room-"+newSocketID()))
		<-conn.got
		c.Closed(ReasonTransportClose)
	}
	_ = r.Close(context.Background())
}
