package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/cluster/bus"
	"github.com/dynamicio/dynamicio/cluster/wire"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Emitter publishes events into a cluster from a process that is no node of
// it. It keeps nothing and may be used from any goroutine.
type Emitter struct {
	client  redis.UniversalClient
	prefix  string
	dialect wire.Dialect
}

// EmitterOptions says which cluster it is, and how its nodes listen; they are those of [Config].
type EmitterOptions struct {
	Cluster   string // default "default"
	BusPrefix string // default [bus.PrefixFor] of the cluster
	GoDialect bool
}

// emitterID is what emitters of the ecosystem call themselves; nobody takes
// what comes from there for its own.
const emitterID = "emitter"

// NewEmitter makes an emitter over a client, which stays the caller's to
// close. It does not talk to Redis.
func NewEmitter(client redis.UniversalClient, o EmitterOptions) (*Emitter, error) {
	e := &Emitter{client: client, prefix: cmp.Or(o.BusPrefix, bus.PrefixFor(o.Cluster)), dialect: wire.Node}
	if o.GoDialect {
		e.dialect = wire.StockGo
	}
	return e, errors.Join(bus.CheckPrefix(e.prefix), bus.CheckDialect(e.prefix, e.dialect))
}

// Emit sends an event to the clients in a namespace (rooms is nil), or in any of
// its rooms, on all nodes, and returns how many servers Redis passed it on to. A
// list of rooms that is empty and not nil addresses nobody. The arguments are
// encoded as [namespace.Broadcast.Emit] does.
func (e *Emitter) Emit(ctx context.Context, fullName string, rooms []string, event string, args ...any) (servers int64, err error) {
	_, name := namespace.SplitFullName(fullName)
	all := append([]any{event}, args...)
	f, err := packet.Encode(packet.Header{Type: packet.Event, Namespace: name}, all...)
	if err != nil {
		return 0, fmt.Errorf("cluster: emit %q: %w", event, err)
	}
	if rooms != nil && len(rooms) == 0 {
		return 0, nil // on the wire it would be everybody
	}
	m := &namespace.Message{FullName: fullName, Name: name, Rooms: rooms, Event: f}
	payload, err := wire.AppendBroadcast(nil, e.dialect, emitterID, m)
	if err != nil {
		return 0, fmt.Errorf("cluster: emit %q: %w", event, err)
	}
	servers, err = e.client.Publish(ctx, bus.BroadcastChannel(e.prefix, e.dialect, fullName), payload).Result()
	if err != nil {
		return 0, hinted(e.client, &Error{Op: "emit", Err: err})
	}
	return servers, nil
}
