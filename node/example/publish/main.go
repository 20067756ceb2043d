// Publish sends events into a cluster from a process that is no node of it: a
// job, a command, another service. It needs nothing but the cluster's Redis.
//
//	dynamicio serve --redis redis://localhost:6379
//	go run ./node/example/publish --redis redis://localhost:6379 --namespace /clock --every 1s
//
// Every client in /clock, on whichever node, then gets "tick" with a number
// and the time. When the publisher is told to end (Ctrl-C, SIGTERM), it sends
// "stopped" with the number of ticks. While Redis is away ticks are lost, which
// the log tells, and afterwards it goes on.
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

	"github.com/redis/go-redis/v9/logging"

	"github.com/dynamicio/dynamicio/cluster"
)

func main() {
	redis := flag.String("redis", "redis://localhost:6379", "URL of the Redis where the nodes meet")
	name := flag.String("namespace", "/clock", `full name of the namespace: "/clock", or "//myhost.com/clock" on a virtual host`)
	room := flag.String("room", "", "room to send to; empty: the whole namespace")
	every := flag.Duration("every", time.Second, "time between ticks")
	flag.Parse()

	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log, *redis, *name, *room, *every); err != nil {
		log.Error("publish failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, redisURL, name, room string, every time.Duration) error {
	if every <= 0 {
		return fmt.Errorf("--every is %v, must be more than 0", every)
	}
	logging.Disable() // what go-redis would log to standard error is in the errors
	client, err := cluster.Connect(redisURL)
	if err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	defer client.Close()
	emitter, err := cluster.NewEmitter(client, cluster.EmitterOptions{})
	if err != nil {
		return err
	}
	p := &publisher{log: log, emitter: emitter, name: name}
	if room != "" {
		p.rooms = []string{room}
	}
	log.Info("publishing", "namespace", name, "every", every)

	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case now := <-ticker.C:
			p.publish(ctx, "tick", n, now.UTC())
		case <-ctx.Done():
			p.publish(ctx, "stopped", n-1)
			return nil
		}
	}
}

// publisher sends events to one namespace.
type publisher struct {
	log     *slog.Logger
	emitter *cluster.Emitter
	name    string
	rooms   []string // none: everybody
}

// publish sends one event. Events are for the moment: one that cannot be sent
// is logged, not kept.
func (p *publisher) publish(ctx context.Context, event string, args ...any) {
	// Not ended by ctx: what was begun is finished, and the last word is said when ctx is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	// How many servers took it, not how many clients: those without a client
	// in the namespace do not hear of it.
	servers, err := p.emitter.Emit(ctx, p.name, p.rooms, event, args...)
	if err != nil {
		p.log.Warn("not published", "event", event, "error", err)
		return
	}
	p.log.Debug("published", "event", event, "servers", servers)
}
