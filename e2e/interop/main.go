// Command interop is a node on the public API that a script commands over HTTP: it
// emits, asks and steers from the server's side, as `dynamicio serve` does not let
// clients do. interop-node.mjs and stockgo obey the same commands, so that one
// script drives servers of three makes.
//
//	interop --redis redis://127.0.0.1:6379 --node-id ours --listen 127.0.0.1:0
//	curl -d '{"op":"emit","ns":"/chat","event":"hello","args":[1]}' http://.../do
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

func main() {
	opts := node.Options{
		Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
		// Long enough that no namespace retires between two steps of a script.
		Retirement: time.Minute, DrainTimeout: 2 * time.Second,
	}
	var listen, host string
	var goDialect bool
	flag.StringVar(&listen, "listen", "127.0.0.1:0", "address to serve on")
	flag.StringVar(&opts.Redis, "redis", "", "URL of the Redis that nodes meet in")
	flag.StringVar(&opts.NodeID, "node-id", "interop", "name of this node")
	flag.StringVar(&opts.Cluster, "cluster", "", "name of the cluster")
	flag.StringVar(&opts.BusPrefix, "bus-prefix", "", "prefix of the Redis channels")
	flag.BoolVar(&goDialect, "go-dialect", false, "write what stock Go servers understand")
	flag.StringVar(&host, "host", "*", "main host")
	flag.Parse()
	opts.GoDialect = goDialect
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, opts, listen, host); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, opts node.Options, listen, host string) error {
	var err error
	if opts.Host, err = namespace.ParsePattern(host); err != nil {
		return err
	}
	srv, err := node.New(opts)
	if err != nil {
		return err
	}
	srv.SetupNamespace("*", func(ns *namespace.Namespace, _ namespace.Match) error {
		setup(ns, opts.NodeID)
		return nil
	})
	srv.Handle("POST /do", commands{srv})
	return srv.ListenAndServe(ctx, listen)
}

// setup gives a namespace the events that the scripts count on.
func setup(ns *namespace.Namespace, server string) {
	ns.On("join", namespace.Handle(func(ctx context.Context, room string) (bool, error) {
		return true, namespace.SocketFrom(ctx).Join(room)
	}))
	ns.On("name", namespace.Receive(func(ctx context.Context, name string) error {
		namespace.SocketFrom(ctx).Data.Set("name", name)
		return nil
	}))
	ns.On("echo", func(_ context.Context, e *namespace.Event) error { return e.AckArgs(e.Args) })
	// What servers say to each other is told to the clients here, or answered.
	ns.OnServerSide("news", func(_ context.Context, e *namespace.Event) error {
		return ns.Local().Emit("heard", server, e.Args)
	})
	ns.OnServerSide("ask", func(_ context.Context, e *namespace.Event) error {
		return e.Ack(map[string]any{"from": server, "args": e.Args})
	})
}
