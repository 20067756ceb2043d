// Chat serves chat rooms that come into being when somebody enters them, on
// as many nodes as you like:
//
//	go run ./node/example/chat
//	go run ./node/example/chat --redis redis://localhost:6379 --listen :8081   # and another on :8082
//
// Open the address, choose a name and a room: you see who is here on all
// nodes, what was said before, and who is typing. Each room is a namespace.
// When the last one has left, what was said is kept for --retirement and then
// forgotten, which the log tells.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

//go:embed page.html
var page []byte

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "TCP address to serve on")
	redis := flag.String("redis", "", "URL of the Redis where the nodes meet; empty: one node alone")
	retirement := flag.Duration("retirement", time.Minute, "how long an empty room is remembered")
	flag.Parse()

	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log, *listen, node.Options{Redis: *redis, Retirement: *retirement, Logger: log}); err != nil {
		log.Error("chat failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, listen string, o node.Options) error {
	srv, err := node.New(o)
	if err != nil {
		return err
	}
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/room/[a-z0-9-]{1,32}$`), func(ns *namespace.Namespace, _ namespace.Match) error {
		openRoom(ns, log)
		return nil
	})
	srv.Handle("GET /{$}", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page) // fails if the browser has gone
	}))
	return srv.ListenAndServe(ctx, listen)
}

// nameKey is where a socket's data has the name of its user.
const nameKey = "name"

// openRoom sets up one room on this node. What it makes lives as long as the room.
func openRoom(ns *namespace.Namespace, log *slog.Logger) {
	said := &history{}
	ns.OnExpire(func() { log.Info("room forgotten", "room", ns.Name(), "messages", len(said.all())) })
	ns.Use(checkName)

	// The other nodes tell what their clients say, and a node that is new to
	// the room asks what it has missed.
	ns.OnServerSide("said", namespace.Receive(func(_ context.Context, m message) error {
		said.add(m)
		return nil
	}))
	ns.OnServerSide("history", func(_ context.Context, e *namespace.Event) error { return e.Ack(said.all()) })

	ns.OnConnect(func(s *namespace.Socket) {
		name, _ := namespace.Value[string](&s.Data, nameKey)
		tell(log, s.Broadcast().Emit("joined", name))
		s.OnDisconnect(func(string) { tell(log, ns.Emit("left", name)) })

		s.On("say", namespace.Handle(func(_ context.Context, text string) (message, error) {
			text = strings.TrimSpace(text)
			if text == "" || utf8.RuneCountInString(text) > 1000 {
				return message{}, namespace.Errorf("say 1 to 1000 characters")
			}
			m := newMessage(name, text)
			said.add(m)
			tell(log, ns.ServerSideEmit("said", m))
			return m, s.Broadcast().Emit("said", m) // the sender has it as the acknowledgement
		}))
		s.On("typing", func(context.Context, *namespace.Event) error {
			return s.Broadcast().Volatile().Emit("typing", name) // who is slow need not know
		})
		s.On("history", func(ctx context.Context, e *namespace.Event) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			replies, err := ns.ServerSideEmitWithAck(ctx, "history")
			tell(log, err) // some node did not answer; what the others have is better than nothing
			for _, r := range replies {
				var theirs []message
				if r.Args != nil && r.Args.Bind(&theirs) == nil {
					said.add(theirs...)
				}
			}
			return e.Ack(said.all())
		})
		s.On("who", func(ctx context.Context, e *namespace.Event) error {
			names, err := whoIsHere(ctx, ns)
			tell(log, err)
			return e.Ack(names)
		})
	})
}

// checkName lets those in who say who they are.
func checkName(_ context.Context, s *namespace.Socket) error {
	var user struct {
		Name string `json:"name"`
	}
	if err := s.Auth(&user); err != nil {
		return namespace.Errorf("auth must be {name: string}")
	}
	name := strings.TrimSpace(user.Name)
	if name == "" || utf8.RuneCountInString(name) > 20 {
		return namespace.Errorf("choose a name of 1 to 20 characters")
	}
	s.Data.Set(nameKey, name)
	return nil
}

// whoIsHere returns the names of the users on all nodes. An error says that
// some node did not answer; the names are then those of the others.
func whoIsHere(ctx context.Context, ns *namespace.Namespace) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	sockets, err := ns.FetchSockets(ctx)
	names := make([]string, 0, len(sockets))
	for _, s := range sockets {
		var data struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(s.Data, &data) == nil {
			names = append(names, data.Name)
		}
	}
	return names, err
}

// tell logs what went wrong on the way to others: no reason to fail this user.
func tell(log *slog.Logger, err error) {
	if err != nil {
		log.Warn("not everybody could be reached", "error", err)
	}
}
