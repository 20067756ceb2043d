// Command conformance offers what the public Engine.IO and Socket.IO protocol
// suites expect of a server: bare Engine.IO that echoes at /engine.io/, and
// Socket.IO with the namespaces "/" and "/custom" at /socket.io/.
//
//	conformance -listen 127.0.0.1:3000
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/node"
	"github.com/dynamicio/dynamicio/node/engineio"
)

// What the suites assert to the letter.
const (
	pingInterval   = 300 * time.Millisecond
	pingTimeout    = 200 * time.Millisecond
	maxPayload     = 1_000_000
	connectTimeout = time.Second
)

// pause keeps apart what the suites take for two reads. They wait for one
// message after the other with a listener made anew each time, and lose the
// second of two that arrive together, as the open packet does that follows the
// 101 at once. Regular clients do not.
const pause = 10 * time.Millisecond

func main() {
	listen := flag.String("listen", "127.0.0.1:3000", "address to serve on")
	allowEIO3 := flag.Bool("allow-eio3", true, "also speak Engine.IO 3, for the suite of that version")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *listen, *allowEIO3); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string, allowEIO3 bool) error {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	echo, err := engineio.New(engineio.Options{
		Path: "/engine.io", PingInterval: pingInterval, PingTimeout: pingTimeout, MaxPayload: maxPayload,
		AllowEIO3: allowEIO3, Origins: []string{"*"}, Logger: log,
	}, func(c *engineio.Conn, _ *http.Request) (engineio.Handler, error) { return echoer{c}, nil })
	if err != nil {
		return err
	}
	srv, err := node.New(node.Options{
		PingInterval: pingInterval, PingTimeout: pingTimeout, MaxPayload: maxPayload,
		ConnectTimeout: connectTimeout, AllowEIO3: allowEIO3, Origins: []string{"*"}, Logger: log,
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"/", "/custom"} {
		srv.SetupNamespace(name, setup)
	}

	mux := http.NewServeMux()
	mux.Handle("/engine.io", versioned(echo))
	mux.Handle("/engine.io/", versioned(echo))
	mux.Handle("/", srv)
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- h.Serve(paced{l}) }() // ends with h.Close
	log.Info("listening", "address", l.Addr().String())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = echo.Close(end)
	_ = srv.Close(end)
	return h.Close()
}

// versioned refuses requests that say no version, which the suite of version 4
// wants: a server that speaks version 3, too, takes them for that, as Node's does.
func versioned(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if query := r.URL.Query(); query.Get("EIO") == "" {
			query.Set("EIO", "none")
			r = r.Clone(r.Context())
			r.URL.RawQuery = query.Encode()
		}
		h.ServeHTTP(w, r)
	})
}

// paced is a listener whose connections pause between the answer 101 and the
// first frame.
type paced struct{ net.Listener }

func (p paced) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		return pacedConn{tcp}, nil
	}
	return c, err
}

type pacedConn struct{ *net.TCPConn }

func (c pacedConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	if bytes.HasPrefix(b, []byte("HTTP/1.1 101")) {
		time.Sleep(pause)
	}
	return n, err
}

// echoer sends every message back as it came.
type echoer struct{ conn *engineio.Conn }

func (e echoer) Receive(data []byte, binary bool) error {
	e.conn.Send(frame.New(frame.Part{Data: data, Binary: binary}), frame.Flags{})
	return nil
}

func (e echoer) Closed(string) {}

// setup serves "/" and "/custom".
func setup(ns *namespace.Namespace, _ namespace.Match) error {
	ns.OnConnect(func(s *namespace.Socket) {
		auth := json.RawMessage("{}")
		if err := s.Auth(&auth); err == nil {
			time.Sleep(pause) // after the CONNECT answer
			_ = s.Emit("auth", auth)
		}
	})
	ns.On("message", func(_ context.Context, e *namespace.Event) error {
		return e.Socket().EmitArgs("message-back", e.Args)
	})
	ns.On("message-with-ack", func(_ context.Context, e *namespace.Event) error {
		return e.AckArgs(e.Args)
	})
	return nil
}
