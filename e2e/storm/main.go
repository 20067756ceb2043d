// Command storm is a node whose namespaces say who they are: every socket is
// told the incarnation that it is in, and what became of all incarnations of
// the node can be read as JSON. The tests of the cluster run it.
//
//	storm -listen 127.0.0.1:0 -redis redis://127.0.0.1:6379 -node-id n1
//
// On connect a socket is sent "incarnation" {epoch, id, node}; id is another for
// each setup. Clients may send "echo", "join", "broadcast" (to all others) and
// "to", as with `dynamicio serve`, each with an acknowledgement.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

func main() {
	var o node.Options
	listen := flag.String("listen", "127.0.0.1:3000", "address to serve on")
	flag.StringVar(&o.Redis, "redis", "", "URL of the Redis")
	flag.StringVar(&o.NodeID, "node-id", "", "name of the node")
	flag.DurationVar(&o.NodeTTL, "node-ttl", 0, "as of serve")
	flag.DurationVar(&o.LeaseTTL, "lease-ttl", 0, "as of serve")
	flag.DurationVar(&o.Retirement, "retirement", 0, "as of serve")
	flag.DurationVar(&o.DrainTimeout, "drain-timeout", 0, "as of serve")
	flag.BoolVar(&o.RefuseWhenAway, "refuse-when-away", false, "keep clients out while Redis is away")
	flag.Parse()
	o.PublicStatus = true
	o.Logger = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	srv, err := node.New(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
	b := &book{node: srv.NodeID(), names: map[string]*life{}}
	srv.SetupNamespace("*", b.setup)
	srv.OnRetire(b.retired)
	srv.Handle("/counts", b)
	if err := srv.ListenAndServe(ctx, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

// book is what the node has seen of its namespaces.
type book struct {
	node string

	mu    sync.Mutex // guards the rest
	next  int
	names map[string]*life
}

// life is what happened to one name. The tests know it as JSON.
type life struct {
	Setups      int              `json:"setups"`
	Expiries    int              `json:"expiries"`
	Retirements []retirement     `json:"retirements"` // decided by this node
	Expired     map[string]int64 `json:"expired"`     // by id, when, in Unix microseconds
	// Wrong counts what may never be: a connect to what has expired, and an
	// expiry with sockets.
	Wrong []string `json:"wrong"`
}

type retirement struct {
	Epoch uint64 `json:"epoch"`
	At    int64  `json:"at"` // Unix microseconds
}

// incarnation is what a socket is told.
type incarnation struct {
	Epoch uint64 `json:"epoch"`
	ID    string `json:"id"`
	Node  string `json:"node"`
}

// lifeLocked returns the record of a name. b.mu must be held.
func (b *book) lifeLocked(name string) *life {
	l := b.names[name]
	if l == nil {
		l = &life{Retirements: []retirement{}, Expired: map[string]int64{}, Wrong: []string{}}
		b.names[name] = l
	}
	return l
}

func (b *book) setup(ns *namespace.Namespace, _ namespace.Match) error {
	name := ns.FullName()
	b.mu.Lock()
	b.next++
	id := fmt.Sprintf("%s-%d", b.node, b.next)
	b.lifeLocked(name).Setups++
	b.mu.Unlock()
	ns.OnExpire(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		l := b.lifeLocked(name)
		l.Expiries++
		if _, twice := l.Expired[id]; twice {
			l.Wrong = append(l.Wrong, id+" expires twice")
		}
		if n := ns.SocketCount(); n != 0 {
			l.Wrong = append(l.Wrong, fmt.Sprintf("%s expires with %d sockets", id, n))
		}
		l.Expired[id] = time.Now().UnixMicro()
	})
	ns.OnConnect(func(s *namespace.Socket) {
		b.mu.Lock()
		l := b.lifeLocked(name)
		if _, gone := l.Expired[id]; gone {
			l.Wrong = append(l.Wrong, "a client connects to "+id+", which has expired")
		}
		b.mu.Unlock()
		_ = s.Emit("incarnation", incarnation{ns.Epoch(), id, b.node})
	})
	addVerbs(ns)
	return nil
}

func (b *book) retired(name string, epoch uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lifeLocked(name)
	l.Retirements = append(l.Retirements, retirement{epoch, time.Now().UnixMicro()})
}

// ServeHTTP shows the book.
func (b *book) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(b.names)
}

func addVerbs(ns *namespace.Namespace) {
	ns.On("echo", func(_ context.Context, e *namespace.Event) error { return e.AckArgs(e.Args) })
	ns.On("join", func(_ context.Context, e *namespace.Event) error {
		var room string
		if err := e.At(0).Bind(&room); err != nil {
			return err
		}
		if err := e.Socket().Join(room); err != nil {
			return err
		}
		return e.Ack("ok")
	})
	ns.On("broadcast", func(_ context.Context, e *namespace.Event) error {
		var event string
		if err := e.At(0).Bind(&event); err != nil {
			return err
		}
		if err := e.Socket().Broadcast().EmitArgs(event, e.From(1)); err != nil {
			return err
		}
		return e.Ack("ok")
	})
	ns.On("to", func(_ context.Context, e *namespace.Event) error {
		var room, event string
		if err := e.At(0).Bind(&room); err != nil {
			return err
		}
		if err := e.At(1).Bind(&event); err != nil {
			return err
		}
		if err := e.Socket().To(room).EmitArgs(event, e.From(2)); err != nil {
			return err
		}
		return e.Ack("ok")
	})
}
