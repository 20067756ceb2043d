package node_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/node"
	"github.com/dynamicio/dynamicio/node/engineio"
)

// handshakeWith opens a polling session with a header of that many bytes, and
// returns the status.
func (s *testServer) handshakeWith(size int) int {
	s.t.Helper()
	conn, err := s.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nCookie: %s\r\n\r\n", strings.Repeat("x", size))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// Serve takes headers of as many bytes as the option says.
func TestBounds_ServeLimitsHeaders(t *testing.T) {
	for most, want := range map[int]int{0: 431, 64 << 10: 200} {
		srv, err := node.New(node.Options{MaxHeaderBytes: most, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ctx, l) }()
		s := &testServer{Server: srv, t: t, dial: func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }}
		if got := s.handshakeWith(30_000); got != want {
			t.Errorf("MaxHeaderBytes %d, 30 kB of cookies: %d, want %d", most, got, want)
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// What is kept of a request counts against the connection's budget, and its size
// is bounded.
func TestBounds_Headers(t *testing.T) {
	s := start(t, node.Options{})
	if got := s.handshakeWith(10_000); got != 200 {
		t.Errorf("10 kB of cookies: %d", got)
	}
	if got := s.scrape()["connection_held_bytes"]; got < 10_000 || got > 11_000 {
		t.Errorf("%v bytes are held for 10 kB of cookies", got)
	}

	var refused []string
	s = start(t, node.Options{
		MaxPayload: 1000, MaxQueue: 1000, MaxConnectionBytes: 30_000,
		OnConnectionError: func(e *engineio.ConnectionError) { refused = append(refused, e.Error()) },
	})
	if got := s.handshakeWith(10_000); got != 200 {
		t.Errorf("10 kB of cookies within the budget: %d", got)
	}
	if got := s.handshakeWith(40_000); got != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("more than the budget: %d, want 431", got)
	}
	if got := strings.Join(refused, "; "); got != "engineio: not accepted: engineio: refused: Request header too large" {
		t.Errorf("told %q", got)
	}
	if _, err := node.New(node.Options{MaxHeaderBytes: -1}); err == nil {
		t.Error("a negative bound is taken")
	}
}
