package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/dynamicio/dynamicio/cluster/bus"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// serveFlags are the flags of serve, as given.
type serveFlags struct {
	listen, adminListen  string
	host, hostPort       string
	whenAway, busDialect string
	logFormat, logLevel  string
	options              node.Options
}

func serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run one node until SIGTERM or SIGINT",
		Long: `Run one node until SIGTERM or SIGINT; then drain and exit 0.

The node accepts every namespace and answers these events, each with an
acknowledgement if the client wants one:

  join ROOM                  the socket joins the room
  leave ROOM                 the socket leaves it
  broadcast EVENT [ARG...]   sends the event to every other socket of the namespace
  to ROOM EVENT [ARG...]     sends it to every other socket in the room
  echo [ARG...]              sends the arguments back`,
		Example: `  dynamicio serve --listen 127.0.0.1:8080 --public-status
  dynamicio serve --host myhost.com --retirement 30s --cors-origin https://myhost.com`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := environ(cmd.Flags()); err != nil {
				return err
			}
			return serve(cmd.Context(), f, cmd.ErrOrStderr())
		},
	}
	o := &f.options
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.listen, "listen", ":8080", "address to serve on; port 0 picks a free one")
	flags.StringVar(&f.adminListen, "admin-listen", "", "address of its own for metrics, health checks and pprof (default: metrics and health checks on the main one, no pprof)")
	flags.StringVar(&o.Redis, "redis", "", "URL of the Redis that nodes meet in (default: the node is alone)")
	flags.StringVar(&o.Cluster, "cluster", "default", "name of the cluster; clusters that share a Redis need a --bus-prefix each, too")
	flags.StringVar(&o.NodeID, "node-id", "", "name of this node (default: host name and a random suffix)")
	flags.StringVar(&o.Path, "path", "/socket.io", "path of Engine.IO, the client and the status")
	flags.StringVar(&f.host, "host", "*", `main host: "*", a name, "/regexp/", or "true" (no host is the main one)`)
	flags.StringVar(&f.hostPort, "host-port", "keep", `the port in host names: "keep" or "drop"`)
	flags.DurationVar(&o.Retirement, "retirement", 10*time.Second, "how long a namespace stays empty before it is retired")
	flags.BoolVar(&o.PublicStatus, "public-status", false, "show the status page to everybody")
	flags.StringVar(&o.StatusToken, "status-token", "", "show the status page to those who present this token")
	flags.StringArrayVar(&o.Origins, "cors-origin", nil, `origin whose pages may connect from another host, "*" for all; repeatable`)
	flags.BoolVar(&o.TrustProxy, "trust-proxy", false, "take clients' addresses from X-Forwarded-For, which a proxy in front must set")
	flags.DurationVar(&o.PingInterval, "ping-interval", 25*time.Second, "time between heartbeats")
	flags.DurationVar(&o.PingTimeout, "ping-timeout", 20*time.Second, "time a client has to answer one")
	flags.IntVar(&o.MaxPayload, "max-payload", 1_000_000, "largest message of a client, in bytes")
	flags.BoolVar(&o.AllowEIO3, "allow-eio3", false, "let clients of Socket.IO v2 in")
	flags.DurationVar(&o.LeaseTTL, "lease-ttl", 5*time.Second, "how long nothing is decided after the deciding node has died")
	flags.DurationVar(&o.NodeTTL, "node-ttl", 10*time.Second, "how long a node may be silent before it is counted out")
	flags.StringVar(&f.whenAway, "when-away", "admit", `while Redis is away, "admit" or "refuse" clients`)
	flags.StringVar(&o.BusPrefix, "bus-prefix", "socket.io", "prefix of the Redis channels")
	flags.StringVar(&f.busDialect, "bus-dialect", "node", `what is written there: "node", or "go" for zishang520/socket.io (needs a prefix of its own)`)
	flags.DurationVar(&o.DrainTimeout, "drain-timeout", 10*time.Second, "time for clients to go when the node stops")
	flags.StringVar(&f.logFormat, "log-format", "text", `"text" or "json"`)
	flags.StringVar(&f.logLevel, "log-level", "info", `"debug", "info", "warn" or "error"`)
	return cmd
}

// complete checks what the flag package cannot, and fills in the options.
func (f *serveFlags) complete(logs io.Writer) error {
	o := &f.options
	var err error
	if o.Host, err = namespace.ParsePattern(f.host); err != nil {
		return usagef("--host: %v", err)
	}
	switch f.hostPort {
	case "keep", "drop":
		o.DropHostPort = f.hostPort == "drop"
	default:
		return usagef(`--host-port is %q, must be "keep" or "drop"`, f.hostPort)
	}
	switch f.whenAway {
	case "admit", "refuse":
		o.RefuseWhenAway = f.whenAway == "refuse"
	default:
		return usagef(`--when-away is %q, must be "admit" or "refuse"`, f.whenAway)
	}
	switch f.busDialect {
	case "node", "go":
		o.GoDialect = f.busDialect == "go"
	default:
		return usagef(`--bus-dialect is %q, must be "node" or "go"`, f.busDialect)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"retirement", o.Retirement}, {"lease-ttl", o.LeaseTTL}, {"node-ttl", o.NodeTTL}, {"ping-interval", o.PingInterval},
		{"ping-timeout", o.PingTimeout}, {"drain-timeout", o.DrainTimeout},
	} {
		if d.value <= 0 {
			return usagef("--%s is %v, must be above 0", d.flag, d.value)
		}
	}
	if o.MaxPayload <= 0 {
		return usagef("--max-payload is %d, must be above 0", o.MaxPayload)
	}
	if o.Path == "" || o.Path[0] != '/' {
		return usagef("--path is %q, must begin with a slash", o.Path)
	}
	if err := checkAddress("listen", f.listen); err != nil {
		return err
	}
	if f.adminListen != "" {
		if err := checkAddress("admin-listen", f.adminListen); err != nil {
			return err
		}
		o.DisableMetrics = true // they are on that one
	}
	if o.GoDialect && o.BusPrefix == bus.DefaultPrefix {
		return usagef("--bus-dialect go needs a --bus-prefix of its own: it makes Node servers exit")
	}
	o.Logger, err = newLogger(logs, f.logFormat, f.logLevel)
	return err
}

func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef(`--log-level is %q, must be "debug", "info", "warn" or "error"`, level)
	}
	opts := &slog.HandlerOptions{Level: l}
	var log *slog.Logger
	switch format {
	case "text":
		log = slog.New(slog.NewTextHandler(w, opts))
	case "json":
		log = slog.New(slog.NewJSONHandler(w, opts))
	default:
		return nil, usagef(`--log-format is %q, must be "text" or "json"`, format)
	}
	redis.SetLogger(redisLog{log})
	return log, nil
}

// redisLog takes what the Redis client says of its connections, which our own
// log says in fewer words.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, args ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, fmt.Sprintf(format, args...))
	}
}

func serve(ctx context.Context, f serveFlags, logs io.Writer) error {
	if err := f.complete(logs); err != nil {
		return err
	}
	srv, err := node.New(f.options)
	if err != nil {
		return &usageError{errors.New(flagNames.Replace(err.Error()))} // what is left to go wrong is a wrong option
	}
	rules.Serve(srv.Registry())
	if f.adminListen != "" {
		stop, err := serveAdmin(f.adminListen, srv, f.options.Logger)
		if err != nil {
			return fmt.Errorf("--admin-listen: %w", err)
		}
		defer stop()
	}
	if err := srv.ListenAndServe(ctx, f.listen); err != nil {
		return fmt.Errorf("--listen %s: %w", f.listen, err)
	}
	return nil
}
