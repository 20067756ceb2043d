// Command stockgo is a server on github.com/zishang520/socket.io with its Redis
// adapter, and its emitter, that obeys the commands of interop.
//
//	stockgo --redis redis://127.0.0.1:6379 --prefix goio --name go --listen 127.0.0.1:0
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/zishang520/socket.io-go-redis/adapter"
	"github.com/zishang520/socket.io-go-redis/emitter"
	"github.com/zishang520/socket.io-go-redis/types"
	"github.com/zishang520/socket.io/v2/socket"
)

func main() {
	url := flag.String("redis", "redis://127.0.0.1:6379", "URL of the Redis")
	prefix := flag.String("prefix", "socket.io", "prefix of the channels")
	name := flag.String("name", "go", "name of this server")
	listen := flag.String("listen", "127.0.0.1:0", "address to serve on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *url, *prefix, *name, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "stockgo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, prefix, name, listen string) error {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	client := types.NewRedisClient(context.Background(), redis.NewClient(opts))
	client.On("error", func(args ...any) { fmt.Fprintln(os.Stderr, append([]any{"redis:"}, args...)...) })
	adapterOpts := adapter.DefaultRedisAdapterOptions()
	adapterOpts.SetKey(prefix)
	serverOpts := socket.DefaultServerOptions()
	serverOpts.SetAdapter(&adapter.RedisAdapterBuilder{Redis: client, Opts: adapterOpts})
	io := socket.NewServer(nil, serverOpts)
	// A namespace comes into being with its first client or with a command.
	if err := io.On("new_namespace", func(args ...any) { setup(args[0].(socket.Namespace), name) }); err != nil {
		return err
	}
	io.Of(regexp.MustCompile(`^/.+$`), nil)

	emitterOpts := emitter.DefaultEmitterOptions()
	emitterOpts.SetKey(prefix)
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", io.ServeHandler(nil))
	mux.Handle("POST /do", &commands{io, emitter.NewEmitter(client, emitterOpts)})
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println("listening on", l.Addr())
	served := make(chan error, 1)
	go func() { served <- http.Serve(l, mux) }() // until the process ends
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	return err
}

// setup gives a namespace the events that the scripts count on.
func setup(ns socket.Namespace, server string) {
	_ = ns.On("connection", func(args ...any) {
		s := args[0].(*socket.Socket)
		_ = s.On("join", func(args ...any) {
			s.Join(socket.Room(args[0].(string)))
			acknowledge(args, true)
		})
		_ = s.On("name", func(args ...any) { s.SetData(map[string]any{"name": args[0]}) })
		_ = s.On("echo", func(args ...any) { acknowledge(args, args[:len(args)-1]...) })
	})
	_ = ns.On("news", func(args ...any) { _ = ns.Local().Emit("heard", server, args) })
	_ = ns.On("ask", func(args ...any) {
		acknowledge(args, map[string]any{"from": server, "args": args[:len(args)-1]})
	})
}

// acknowledge calls the function that is the last argument of an event. In
// server-side events its type is unnamed.
func acknowledge(args []any, with ...any) {
	switch ack := args[len(args)-1].(type) {
	case socket.Ack:
		ack(with, nil)
	default:
		fmt.Fprintf(os.Stderr, "stockgo: an event without an acknowledgement: %T\n", ack)
	}
}

// command is what a script wants done; see interop/commands.go.
type command struct {
	Op      string
	NS      string
	Rooms   []socket.Room
	Except  []socket.Room
	Event   string
	Args    []arg
	Timeout int
	To      []socket.Room
	Close   bool
	Count   int
	Emitter bool // by way of the emitter instead of the server
}

// arg is an argument; {"$binary":"base64"} is binary data.
type arg struct{ value any }

func (a *arg) UnmarshalJSON(text []byte) error {
	var b struct {
		Binary *string `json:"$binary"`
	}
	if json.Unmarshal(text, &b) == nil && b.Binary != nil {
		data, err := base64.StdEncoding.DecodeString(*b.Binary)
		a.value = data
		return err
	}
	return json.Unmarshal(text, &a.value)
}

// commands carries out commands. It is safe for concurrent use.
type commands struct {
	io      *socket.Server
	emitter *emitter.Emitter
}

func (c *commands) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var cmd command
	if err := json.NewDecoder(r.Body).Decode(&cmd); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	args := make([]any, len(cmd.Args))
	for i, a := range cmd.Args {
		args[i] = a.value
	}
	do := c.serve
	if cmd.Emitter {
		do = c.emit
	}
	var out struct {
		Value any    `json:"value,omitempty"`
		Error string `json:"error,omitempty"`
	}
	var err error
	if out.Value, err = do(&cmd, args); err != nil {
		out.Error = err.Error()
	}
	_ = json.NewEncoder(w).Encode(out) // the script has gone if this fails
}

// emit carries out a command with the emitter.
func (c *commands) emit(cmd *command, args []any) (any, error) {
	e := c.emitter.Of(cmd.NS)
	b := e.To(cmd.Rooms...).Except(cmd.Except...)
	switch cmd.Op {
	case "emit":
		return nil, b.Emit(cmd.Event, args...)
	case "join":
		return nil, b.SocketsJoin(cmd.To...)
	case "leave":
		return nil, b.SocketsLeave(cmd.To...)
	case "disconnect":
		return nil, b.DisconnectSockets(cmd.Close)
	case "serverSide":
		return nil, e.ServerSideEmit(append([]any{cmd.Event}, args...)...)
	}
	return nil, fmt.Errorf("no such command of the emitter: %q", cmd.Op)
}

// serve carries out a command with the server.
func (c *commands) serve(cmd *command, args []any) (any, error) {
	ns := c.io.Of(cmd.NS, nil)
	b := ns.To(cmd.Rooms...).Except(cmd.Except...)
	answers := make(chan answer, 1)
	answered := func(values []any, err error) { answers <- answer{values, err} }
	switch cmd.Op {
	case "of":
		return nil, nil
	case "emit":
		return nil, b.Emit(cmd.Event, args...)
	case "burst":
		for i := range cmd.Count {
			if err := ns.To(cmd.Rooms...).Emit(cmd.Event, i); err != nil {
				return nil, err
			}
		}
		return nil, nil
	case "emitAck":
		b.Timeout(time.Duration(cmd.Timeout)*time.Millisecond).EmitWithAck(cmd.Event, args...)(answered)
		return wait(answers)
	case "join":
		b.SocketsJoin(cmd.To...)
		return nil, nil
	case "leave":
		b.SocketsLeave(cmd.To...)
		return nil, nil
	case "disconnect":
		b.DisconnectSockets(cmd.Close)
		return nil, nil
	case "rooms":
		all, ok := ns.Adapter().(adapter.RedisAdapter)
		if !ok {
			return nil, fmt.Errorf("not the adapter of Redis: %T", ns.Adapter())
		}
		all.AllRooms()(func(rooms *types.Set[socket.Room], err error) {
			if err != nil {
				answered(nil, err)
				return
			}
			answered([]any{rooms.Keys()}, nil)
		})
		return wait(answers)
	case "serverSide":
		return nil, ns.ServerSideEmit(cmd.Event, args...)
	case "serverSideAck":
		if err := ns.ServerSideEmitWithAck(cmd.Event, args...)(answered); err != nil {
			return nil, err
		}
		return wait(answers)
	}
	return nil, fmt.Errorf("no such command: %q", cmd.Op)
}

type answer struct {
	values []any
	err    error
}

// wait takes what the library calls back with, which it may never do.
func wait(answers <-chan answer) (any, error) {
	select {
	case a := <-answers:
		return a.values, a.err
	case <-time.After(10 * time.Second):
		return nil, errors.New("the library does not call back")
	}
}
