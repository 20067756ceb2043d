package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/node"
)

// isOpen reads what is left of a connection and reports whether it goes on.
func isOpen(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := io.Copy(io.Discard, conn)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// adminInBubble serves a handler as the admin address, in the same bubble.
func (s *serving) adminInBubble(t *testing.T, h http.Handler) {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	t.Cleanup(s.ServeAdmin(l, h))
	s.dial = l.dial
}

// Whatever a client does not read or does not send, its connection ends, on both
// HTTP servers.
func TestHTTP_HoldsNoConnectionForEver(t *testing.T) {
	const get = " HTTP/1.1\r\nHost: a.example\r\n"
	for name, test := range map[string]struct {
		send string
		read int // bytes, before the client stops
	}{
		"nothing":               {"", 0},
		"half a header":         {"GET /healthz" + get, 0},
		"a short answer":        {"GET /healthz" + get + "\r\n", 0},
		"half of a long answer": {"GET /socket.io/socket.io.js" + get + "\r\n", 5000},
		"a source map":          {"GET /socket.io/socket.io.js.map" + get + "\r\n", 0},
		"metrics":               {"GET /metrics" + get + "\r\n", 10},
		"status":                {"GET /socket.io/status.json" + get + "\r\n", 10},
		"pipelined":             {strings.Repeat("GET /healthz"+get+"\r\n", 20), 0},
		"a body that stops":     {"POST /healthz" + get + "Content-Length: 10\r\n\r\n12345", 0},
		"a form that stops":     {"POST /socket.io/status/signin" + get + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\ntoken=", 0},
		"a stream":              {"GET /socket.io/status/events" + get + "\r\n", 100},
		"a bad request":         {"GET\r\n\r\n", 0},
	} {
		for _, admin := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " admin=", admin), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := serveInBubble(t, node.Options{PublicStatus: true, StatusToken: strings.Repeat("x", 16)})
					if admin {
						s.adminInBubble(t, s)
					}
					conn, err := s.dial()
					if err != nil {
						t.Fatal(err)
					}
					go func() { _, _ = io.WriteString(conn, test.send) }() // ends with the connection
					_, _ = io.ReadFull(conn, make([]byte, test.read))
					// As one that has gone would: it neither reads nor closes.
					pass(4 * time.Minute)
					if isOpen(conn) {
						t.Error("the connection is still open after 5 minutes")
					}
					_ = conn.Close()
					s.stop()
					if err := <-s.ended; err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// Deadlines of answers break nothing that lasts: long polls, streams, WebSockets,
// handlers that take their time.
func TestHTTP_DeadlinesBreakNothingThatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serveInBubble(t, node.Options{PublicStatus: true, PingInterval: 3 * time.Minute})
		srv.Handle("/slow", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			select {
			case <-time.After(5 * time.Minute):
				_, _ = w.Write(body)
			case <-r.Context().Done():
			}
		}))
		ws, poll := srv.connect(how{}), srv.connect(how{polling: true})
		ws.join("/")
		poll.join("/")
		ask := func(request string) *bufio.Reader {
			conn, err := srv.dial()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			return bufio.NewReader(conn)
		}
		slow := ask("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
		events := ask("GET /socket.io/status/events HTTP/1.1\r\nHost: a\r\n\r\n")
		beats := make(chan int, 1)
		go func() { // ends with the stream
			n := 0
			for line, err := "", error(nil); err == nil; line, err = events.ReadString('\n') {
				if strings.HasPrefix(line, "event: ") {
					n++
				}
			}
			beats <- n
		}()
		pass(5*time.Minute + time.Second)
		res, err := http.ReadResponse(slow, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); string(body) != "body" {
			t.Errorf("the slow handler's answer: %q, %v", body, err)
		}
		pass(5 * time.Minute)
		for _, c := range []*client{ws, poll} {
			c.join("/later")
		}
		srv.stop()
		if n := <-beats; n < 30 {
			t.Errorf("the stream has brought %d events in 10 minutes", n)
		}
		if err := <-srv.ended; err != nil {
			t.Error(err)
		}
	})
}

// brokenListener cannot accept for a while.
type brokenListener struct {
	*pipeListener
	until time.Time
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if time.Now().Before(l.until) {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.pipeListener.Accept()
}

// A node that cannot accept says so: in its log, now and then, in a metric, and
// by not being ready, until it can.
func TestHTTP_ErrorsOfAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		srv, err := node.New(node.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		l := &brokenListener{&pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}, time.Now().Add(time.Minute)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- srv.Serve(ctx, l) }() // ends with stop
		s := &serving{testServer: &testServer{Server: srv, t: t}}
		s.adminInBubble(t, srv)
		pass(30 * time.Second)
		if ready, healthy := s.status("/readyz"), s.status("/healthz"); ready != 503 || healthy != 200 {
			t.Errorf("while it cannot accept, /readyz is %d, /healthz %d", ready, healthy)
		}
		pass(34 * time.Second)
		if ready := s.status("/readyz"); ready != 200 {
			t.Errorf("afterwards /readyz is %d", ready)
		}
		lines := 0
		for line := range strings.Lines(log.String()) {
			var entry struct {
				Level, Msg, Listener string
				Suppressed           int
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(entry.Msg, "too many open files") && entry.Level == "WARN" && entry.Listener == "main" {
				if lines++; lines > 1 && entry.Suppressed < 8 {
					t.Errorf("%+v", entry)
				}
			}
		}
		if lines < 5 || lines > 8 {
			t.Errorf("%d lines in a minute:\n%s", lines, log.String())
		}
		w := httptest.NewRecorder()
		srv.MetricsHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if text := w.Body.String(); !strings.Contains(text, `dynamicio_accept_errors_total{listener="admin"} 0`) ||
			strings.Contains(text, `dynamicio_accept_errors_total{listener="main"} 0`) {
			t.Error("metrics do not count the errors of main, or count some of admin")
		}
		stop()
		if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}
