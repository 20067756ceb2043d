package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/cluster/wire"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Emitter publishes events into a cluster from a process that is no node of
// it. It keeps nothing and may be used from any goroutine.
type Emitter struct {
	client redis.UniversalClient
	opts   EmitterOptions
}

// EmitterOptions says how the nodes listen; they are those of [Config].
type EmitterOptions struct {
	BusPrefix string // default "socket.io"
	GoDialect bool
}

// emitterID is what emitters of the ecosystem call themselves; nobody takes
// what comes from there for its own.
const emitterID = "emitter"

// NewEmitter makes an emitter over a client, which stays the caller's to
// close. It does not talk to Redis.
func NewEmitter(client redis.UniversalClient, o EmitterOptions) (*Emitter, error) {
	o.BusPrefix = cmp.Or(o.BusPrefix, "socket.io")
	if o.GoDialect && o.BusPrefix == "socket.io" {
		return nil, errors.New("cluster: the stock Go dialect needs a prefix of its own: it makes Node servers exit")
	}
	return &Emitter{client, o}, nil
}

// Emit sends an event to the clients in a namespace, or in any of its rooms,
// on all nodes, and returns how many servers Redis passed it on to. The
// arguments are encoded as [namespace.Broadcast.Emit] does.
func (e *Emitter) Emit(ctx context.Context, fullName string, rooms []string, event string, args ...any) (servers int64, err error) {
	_, name := namespace.SplitFullName(fullName)
	all := append([]any{event}, args...)
	f, err := packet.Encode(packet.Header{Type: packet.Event, Namespace: name}, all...)
	if err != nil {
		return 0, fmt.Errorf("cluster: emit %q: %w", event, err)
	}
	payload, err := e.encode(&namespace.Message{FullName: fullName, Name: name, Rooms: rooms, Event: f, Flags: frame.Flags{}})
	if err != nil {
		return 0, fmt.Errorf("cluster: emit %q: %w", event, err)
	}
	servers, err = e.client.Publish(ctx, e.channel(fullName), payload).Result()
	if err != nil {
		return 0, &Error{Op: "emit", Err: err}
	}
	return servers, nil
}

func (e *Emitter) encode(m *namespace.Message) ([]byte, error) {
	dialect := wire.Node
	if e.opts.GoDialect {
		dialect = wire.StockGo
	}
	return wire.AppendBroadcast(nil, dialect, emitterID, m)
}

// channel is the one that every node in the namespace listens to.
func (e *Emitter) channel(fullName string) string {
	c := e.opts.BusPrefix + "#" + fullName + "#"
	if e.opts.GoDialect {
		c += "#" // an empty room: stock Go servers ignore the plain channel
	}
	return c
}
