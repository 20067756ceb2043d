package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// emitFlags are the flags of emit, as given.
type emitFlags struct {
	redis, redisFile   string
	name, host         string
	rooms              []string
	cluster            string
	busPrefix, dialect string
	timeout            time.Duration
}

func emitCommand() *cobra.Command {
	var f emitFlags
	cmd := &cobra.Command{
		Use:   "emit --redis URL [flags] EVENT [JSON...]",
		Short: "Publish one event into a cluster",
		Long: `Publish one event to the clients in a namespace, or in a room of it, on all
nodes. Arguments are JSON; what is not JSON is taken for a string. Flags stand
before the event. Only servers with clients in the namespace are counted.`,
		Example: `  dynamicio emit --redis redis://localhost:6379 --namespace /chat news '"dinner is ready"'
  dynamicio emit --redis redis://localhost:6379 --namespace /chat --host other.com \
      --room kitchen menu '{"soup":true}' 2`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("emit needs the name of an event")
			}
			for _, arg := range args[1:] {
				// Taken for a string, a --room would go to the whole namespace.
				if strings.HasPrefix(arg, "--") {
					return usagef("%q stands after the event; flags stand before it, and a text like this is written as JSON, in double quotes", arg)
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := environSecret(cmd.Flags(), "redis", "host", "namespace"); err != nil {
				return err
			}
			var err error
			if f.redis, err = secretFrom("redis", f.redis, f.redisFile); err != nil {
				return err
			}
			servers, err := emit(cmd.Context(), f, args[0], args[1:])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "published to %s\n", count(int(servers), "server"))
			return nil
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.SetInterspersed(false) // an argument may be -1
	flags.StringVar(&f.redis, "redis", "", "URL of the Redis that the nodes meet in (required)")
	fileFlag(flags, &f.redisFile, "redis")
	flags.StringVar(&f.name, "namespace", "/", "namespace, as clients call it")
	flags.StringVar(&f.host, "host", "", "virtual host of the namespace (default: the main one)")
	flags.StringArrayVar(&f.rooms, "room", nil, "room to send to, or a socket's id; repeatable (default: the whole namespace)")
	flags.StringVar(&f.cluster, "cluster", "default", "name of the cluster")
	flags.StringVar(&f.busPrefix, "bus-prefix", "", busPrefixUsage)
	flags.StringVar(&f.dialect, "bus-dialect", "node", `"node", or "go" for zishang520/socket.io`)
	flags.DurationVar(&f.timeout, "timeout", 5*time.Second, "how long to wait for Redis")
	return cmd
}

// emit publishes one event and returns how many servers it went to.
func emit(ctx context.Context, f emitFlags, event string, args []string) (int64, error) {
	if f.redis == "" {
		return 0, usagef("--redis is missing: the URL of the Redis that the nodes meet in")
	}
	if f.dialect != "node" && f.dialect != "go" {
		return 0, usagef(`--bus-dialect is %q, must be "node" or "go"`, f.dialect)
	}
	if strings.HasPrefix(f.name, "//") {
		return 0, usagef("--namespace is %q; the host goes into --host", f.name)
	}
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)}) // the error says it all
	client, err := cluster.Connect(f.redis)
	if err != nil {
		return 0, usagef("--redis: %v", err)
	}
	defer client.Close()
	emitter, err := cluster.NewEmitter(client, cluster.EmitterOptions{Cluster: f.cluster, BusPrefix: f.busPrefix, GoDialect: f.dialect == "go"})
	if err != nil {
		return 0, usagef("--bus-prefix: %s", strings.TrimPrefix(err.Error(), "bus: "))
	}
	values := make([]any, len(args))
	for i, arg := range args {
		if values[i], err = packet.NewRaw([]byte(arg)); err != nil {
			values[i] = arg
		}
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return emitter.Emit(ctx, namespace.FullName(f.host, f.name), f.rooms, event, values...)
}
