package e2e

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// What the events of `dynamicio serve` do not show, with a program on the public API: api.mjs has the client's side.
func TestAPI(t *testing.T) {
	t.Parallel()
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			runScript(t, "api.mjs", nil, "--url", "http://"+serveAPI(t), "--transport", transport)
		})
	}
}

// serveAPI runs the program within the test, until the test is over, and returns its address.
func serveAPI(t *testing.T) string {
	t.Helper()
	srv, err := node.New(node.Options{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/dyn/(.+)$`), setupAPI)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ctx, l) }() // ends with stop
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// whoAnswer is what the server knows of a client.
type whoAnswer struct {
	Auth       json.RawMessage   `json:"auth"`
	Query      map[string]string `json:"query"`
	Header     string            `json:"header"`
	Address    string            `json:"address"`
	ID         string            `json:"id"`
	Connection string            `json:"connection"`
	Name       string            `json:"name"`
	Group      string            `json:"group"`
}

func setupAPI(ns *namespace.Namespace, m namespace.Match) error {
	group := m.Groups[1]
	if group == "broken" {
		return context.Canceled // any error that is not made for clients
	}
	ns.Use(func(_ context.Context, s *namespace.Socket) error {
		var auth struct{ Token string }
		if group == "private" && (s.Auth(&auth) != nil || auth.Token != "right") {
			return &namespace.ClientError{Message: "not you", Data: map[string]int{"code": 17}}
		}
		return nil
	})
	ns.OnConnect(func(s *namespace.Socket) {
		if group == "greeted" {
			_ = s.Emit("greeting", 1) // fails if the client is gone already
			_ = s.Emit("greeting", 2)
		}
		s.OnDisconnect(func(reason string) { _ = ns.Emit("left", s.ID(), reason) })
		s.On("who", func(_ context.Context, e *namespace.Event) error { return e.Ack(who(s, group)) })
	})
	ns.On("leave me", func(_ context.Context, e *namespace.Event) error {
		e.Socket().Disconnect(false)
		return nil
	})
	ns.On("leave us", func(_ context.Context, e *namespace.Event) error {
		e.Socket().Disconnect(true)
		return nil
	})
	ns.On("panic", func(context.Context, *namespace.Event) error { panic("on purpose, by a test") })
	ns.On("double", namespace.Handle(func(_ context.Context, n int) (int, error) { return 2 * n, nil }))
	ns.On("ask me", namespace.Handle(askOne))
	ns.On("ask all", namespace.Handle(func(ctx context.Context, n int) ([]int, error) { return askAll(ctx, ns, n) }))
	return nil
}

func who(s *namespace.Socket, group string) whoAnswer {
	h := s.Handshake()
	a := whoAnswer{
		Query: own(s.Query()), Header: h.Header.Get("X-Test"), Address: h.Address,
		ID: s.ID(), Connection: s.ConnectionID(), Name: s.Namespace().Name(), Group: group,
	}
	_ = s.Auth(&a.Auth) // none: null
	return a
}

// own returns the parameters that are the client's and not the transport's.
func own(query url.Values) map[string]string {
	params := make(map[string]string)
	for name := range query {
		if name != "EIO" && name != "transport" && name != "t" && name != "sid" && name != "b64" {
			params[name] = query.Get(name)
		}
	}
	return params
}

type answer struct {
	N    int    `json:"n"`
	Blob []byte `json:"blob"`
}

// askOne asks the client that asked for it. Waiting within its own event is allowed.
func askOne(ctx context.Context, n int) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	a, err := namespace.Ask[answer](ctx, namespace.SocketFrom(ctx), "question", n, []byte("binary"))
	if err != nil {
		return map[string]string{"error": err.Error()}, nil
	}
	return map[string]any{"n": a.N, "blob": string(a.Blob)}, nil
}

// askAll asks everybody in the namespace and checks what came with each answer.
func askAll(ctx context.Context, ns *namespace.Namespace, n int) ([]int, error) {
	replies, err := ns.Timeout(patience).EmitWithAck(ctx, "question", n, []byte(strings.Repeat("x", n)))
	if err != nil {
		return nil, err
	}
	var got []int
	for _, r := range replies {
		if r.Err != nil {
			return nil, r.Err
		}
		var a answer
		if err := r.Args.Bind(&a); err != nil {
			return nil, err
		}
		if len(a.Blob) == n {
			got = append(got, a.N)
		}
	}
	return got, nil
}
