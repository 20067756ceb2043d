package node_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// serving is a node under Serve, in a bubble.
type serving struct {
	*testServer
	stop  context.CancelFunc
	ended chan error // receives what Serve returns
}

func serveInBubble(t *testing.T, opts node.Options) *serving {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	srv, err := node.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.SetupNamespace("*", accept)
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	s := &serving{&testServer{Server: srv, t: t, addr: "127.0.0.1:1", dial: l.dial}, cancel, make(chan error, 1)}
	go func() { s.ended <- srv.Serve(ctx, l) }() // ends with cancel
	return s
}

// status is what a path answers now.
func (s *serving) status(path string) int {
	s.t.Helper()
	conn, err := s.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	go func() { // ends with the connection
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
	}()
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn)
	return int(answer[9]-'0')*100 + int(answer[10]-'0')*10 + int(answer[11]-'0')
}

const handshake = "/socket.io/?EIO=4&transport=polling"

// A node that stops says so first, then refuses newcomers, and ends its clients
// one after the other; Serve is done when the last has gone.
func TestServe_StopsStepByStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, node.Options{DrainDelay: 3 * time.Second, DrainSpread: 5 * time.Second})
		const n = 200
		gone := make(chan time.Time, n)
		for range n {
			c := s.connect(how{})
			c.join("/")
			go func() { // ends with the client
				c.wantClosed()
				gone <- time.Now()
			}()
		}
		if code := s.status("/readyz"); code != 200 {
			t.Fatalf("before the stop, /readyz is %d", code)
		}
		begun := time.Now()
		s.stop()
		synctest.Wait()
		// Balancers have not noticed yet: whom they send is served.
		if ready, healthy, open := s.status("/readyz"), s.status("/healthz"), s.status(handshake); ready != 503 || healthy != 200 || open != 200 {
			t.Errorf("at first /readyz is %d, /healthz %d, a handshake %d", ready, healthy, open)
		}
		if len(gone) != 0 {
			t.Errorf("%d clients have gone before balancers could notice", len(gone))
		}
		pass(3*time.Second + 100*time.Millisecond)
		if ready, open := s.status("/readyz"), s.status(handshake); ready != 503 || open != 503 {
			t.Errorf("then /readyz is %d, a handshake %d", ready, open)
		}
		perSecond := map[int]int{}
		for range n {
			perSecond[int((<-gone).Sub(begun)/time.Second)]++
		}
		for second := 3; second < 8; second++ {
			if k := perSecond[second]; k < 38 || k > 42 {
				t.Errorf("%d clients have gone in second %d, want 40", k, second)
			}
		}
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
		// The polling session of the handshake above never came back for its end.
		if took := time.Since(begun); took > 8*time.Second+2*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}

// A client goes on until its turn comes: it may even join a namespace.
func TestServe_ClientsGoOnUntilTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, node.Options{DrainSpread: 9 * time.Second})
		var clients []*client
		for range 400 {
			c := s.connect(how{})
			c.join("/")
			clients = append(clients, c)
		}
		s.stop()
		pass(4 * time.Second)
		open := 0
		for _, c := range clients {
			select {
			case <-c.closed:
			default:
				open++
				c.join("/late")
			}
		}
		if open < 200 || open > 240 {
			t.Errorf("%d clients of 400 are there after 4 of 9 seconds", open)
		}
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
	})
}

// Connections that are idle, or whose answer nobody reads, are cut, and the stop
// is in good order. A handler that does not return is none.
func TestServe_WhatAStopCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, node.Options{DrainTimeout: 4 * time.Second})
		idle, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer idle.Close()
		unread, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer unread.Close()
		if _, err := io.WriteString(unread, "GET /healthz HTTP/1.1\r\nHost: a.example\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		begun := time.Now()
		s.stop()
		if err := <-s.ended; err != nil {
			t.Errorf("a stop that cut connections: %v", err)
		}
		if took := time.Since(begun); took > 7*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, node.Options{DrainTimeout: 4 * time.Second})
		release := make(chan struct{})
		s.live("/").On("wait", func(context.Context, *namespace.Event) error { <-release; return nil })
		c := s.connect(how{})
		c.join("/")
		c.send(`2["wait"]`)
		synctest.Wait()
		s.stop()
		if err := <-s.ended; !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "handlers still running") {
			t.Errorf("a stop that left a handler: %v", err)
		}
		close(release)
	})
}

// Who does not serve with Serve stops in the same way.
func TestShutdown_WithinAServerOfOnesOwn(t *testing.T) {
	inBubble(t, node.Options{DrainDelay: time.Second}, func(t *testing.T, srv *testServer, _ *journal) {
		srv.SetupNamespace("*", accept)
		c := srv.connect(how{})
		c.join("/")
		done := make(chan error, 1)
		go func() { done <- srv.Shutdown(t.Context()) }() // ends within the test
		pass(time.Second / 2)
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("/readyz is %d", w.Code)
		}
		c.join("/still")
		c.wantClosed()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestOptions_Drain(t *testing.T) {
	for text, o := range map[string]node.Options{
		"DrainSpread is 10s":  {DrainSpread: 10 * time.Second},
		"DrainSpread is 3s":   {DrainSpread: 3 * time.Second, DrainTimeout: 2 * time.Second},
		"DrainDelay is -1s":   {DrainDelay: -time.Second},
		"DrainTimeout is -1s": {DrainTimeout: -time.Second},
	} {
		if _, err := node.New(o); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
