package cluster

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/cluster/bus"
	"github.com/dynamicio/dynamicio/cluster/wire"
	"github.com/dynamicio/dynamicio/namespace"
)

// Config says which cluster a node is part of, and how.
type Config struct {
	// Redis is a URL that [Connect] understands. Required.
	Redis string
	// Dialer makes the connections to Redis: through a proxy, for example, or, in tests, in
	// memory. TLS is then its own to make. Default that of go-redis.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)
	// Cluster, Node and NodeTTL are those of [Options].
	Cluster, Node string
	NodeTTL       time.Duration
	// LeaseTTL, RefuseWhenAway, Info, Counters, Trend and Retired are those of
	// [MemberOptions].
	LeaseTTL       time.Duration
	RefuseWhenAway bool
	Info           func() NodeInfo
	Counters       func() map[string]int64
	Trend          func() string
	Retired        func(fullName string, epoch uint64)
	// BusPrefix begins the names of the channels. Default [bus.PrefixFor] of the cluster:
	// "socket.io", where Node's classic Redis adapter is heard and spoken to, for the one
	// called "default", and "socket.io-NAME" for each other.
	BusPrefix string
	// GoDialect writes what stock Go servers (zishang520/socket.io) understand,
	// and Node servers do not survive: it needs a prefix of its own.
	GoDialect bool
	// Observer is told how long things take.
	Observer Observer
	// Logger receives state changes. Default slog.Default().
	Logger *slog.Logger
}

// Cluster is a node's part in a cluster over Redis: the directory and the bus.
// It is a [namespace.Cluster].
type Cluster struct {
	client redis.UniversalClient
	dir    *Directory
	member *Member
	bus    *bus.Bus
	admit  bool // clients are let in while Redis is away
}

// Open prepares a node's part in a cluster. Redis need not be there yet: Start
// begins to try. Close it after the registry.
func Open(c Config) (*Cluster, error) {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	client, err := connectBy(c.Redis, c.Dialer)
	if err != nil {
		return nil, err
	}
	dir, err := New(client, Options{Cluster: c.Cluster, Node: c.Node, NodeTTL: c.NodeTTL, Observer: c.Observer})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	cl := &Cluster{client: client, dir: dir, admit: !c.RefuseWhenAway}
	o := bus.Options{
		Client: client, Cluster: dir.opts.Cluster, NodeID: c.Node, Prefix: c.BusPrefix,
		Away: func() bool { return cl.member.awayFor() > 0 }, Members: cl.members, Peers: dir.nodeIDs, ReplyTimeout: max(dir.opts.Timeout, time.Second), OnPublished: c.Observer.Published, Logger: c.Logger,
	}
	if c.GoDialect {
		o.Dialect = wire.StockGo
	}
	if cl.bus, err = bus.New(o); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	cl.member, err = NewMember(dir, client, MemberOptions{
		RefuseWhenAway: c.RefuseWhenAway, LeaseTTL: c.LeaseTTL,
		Info: func() NodeInfo {
			info := NodeInfo{}
			if c.Info != nil {
				info = c.Info()
			}
			info.Bus = cl.bus.Speaks()
			return info
		},
		Counters: c.Counters, Trend: c.Trend, Notes: cl.bus.Neighbors, Retired: c.Retired, Registered: cl.bus.Follow, Logger: c.Logger,
	})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return cl, nil
}

// Start implements [namespace.Cluster].
func (c *Cluster) Start(local namespace.Local) {
	c.bus.Start(local)
	c.member.Start(local)
}

// Drain shows the node as draining.
func (c *Cluster) Drain() { c.member.Drain() }

// Close leaves the cluster and frees all connections. What the node still has
// to say is said, within ctx.
func (c *Cluster) Close(ctx context.Context) error {
	err := c.member.Close(ctx)
	if !c.bus.Connected() { // what waits for a Redis that is away would keep the node from stopping
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, awayGrace)
		defer cancel()
	}
	c.bus.Close(ctx)
	return errors.Join(err, c.client.Close())
}

// Ready says why clients should be sent to other nodes, nil if all is well: the
// node is registered, and hears its own probe over the bus.
func (c *Cluster) Ready() error {
	if err := c.member.Ready(); err != nil {
		return err
	}
	switch {
	case !c.bus.Connected():
		return errors.New("not subscribed in Redis")
	case !c.bus.Healthy():
		return errors.New("does not hear its own probe over Redis")
	}
	return nil
}

// Connected says whether the node is subscribed to all it wants to hear.
func (c *Cluster) Connected() bool { return c.bus.Connected() }

// AwayFor is how long the node has not been registered in Redis; 0 while it is.
func (c *Cluster) AwayFor() time.Duration { return c.member.awayFor() }

// Directory is the node's access to what the cluster agrees on.
func (c *Cluster) Directory() *Directory { return c.dir }

// Stats returns what the node's member and bus have counted.
func (c *Cluster) Stats() (MemberStats, bus.Stats) { return c.member.Stats(), c.bus.Stats() }

// subscribeGrace is how long a join waits for its subscription at most, where
// clients are let in rather than kept out.
const subscribeGrace = 3 * time.Second

// Join implements [namespace.Cluster]: the directory is asked while the
// subscription is on its way.
func (c *Cluster) Join(fullName string, retirement time.Duration) func(context.Context) (uint64, error) {
	begun := time.Now()
	subscribed := c.bus.Enter(fullName)
	joined := c.member.Join(fullName, retirement)
	return func(ctx context.Context) (uint64, error) {
		epoch, err := joined(ctx)
		if err == nil {
			err = c.awaitBus(ctx, subscribed)
		}
		if err != nil { // the caller will not leave what it could not join
			c.Leave(fullName, epoch, retirement)
			return 0, err
		}
		observe(c.dir.opts.Observer.Joined, time.Since(begun))
		return epoch, nil
	}
}

func (c *Cluster) awaitBus(ctx context.Context, subscribed func(context.Context) error) error {
	if !c.admit {
		return subscribed(ctx)
	}
	grace := subscribeGrace
	if !c.bus.Connected() {
		// What the directory has been away for is waited for once, not by every client.
		grace = max(0, awayGrace-c.member.awayFor())
	}
	bounded, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err := subscribed(bounded)
	if bounded.Err() != nil && ctx.Err() == nil {
		return nil // Redis is away: it will be subscribed when it is back
	}
	return err
}

// Epoch implements [namespace.Cluster].
func (c *Cluster) Epoch(fullName string) uint64 { return c.member.epoch(fullName) }

// Admit implements [namespace.Cluster].
func (c *Cluster) Admit() error {
	if !c.admit && !c.bus.Connected() {
		return ErrAway
	}
	return c.member.Admit()
}

// Leave implements [namespace.Cluster].
func (c *Cluster) Leave(fullName string, epoch uint64, retirement time.Duration) {
	c.member.Leave(fullName, epoch, retirement)
	c.bus.Leave(fullName)
}

// EnterRoom implements [namespace.Cluster].
func (c *Cluster) EnterRoom(fullName, room string) func(context.Context) error {
	return c.bus.EnterRoom(fullName, room)
}

// LeaveRoom implements [namespace.Cluster].
func (c *Cluster) LeaveRoom(fullName, room string) { c.bus.LeaveRoom(fullName, room) }

// SocketEntered implements [namespace.Cluster].
func (c *Cluster) SocketEntered(fullName, id string) { c.bus.SocketEntered(fullName, id) }

// SocketLeft implements [namespace.Cluster].
func (c *Cluster) SocketLeft(fullName, id string) { c.bus.SocketLeft(fullName, id) }

// Publish implements [namespace.Cluster].
func (c *Cluster) Publish(m *namespace.Message) error { return c.bus.Publish(m) }

// Ask implements [namespace.Cluster].
func (c *Cluster) Ask(ctx context.Context, m *namespace.Message, each func(namespace.Answer)) error {
	return c.bus.Ask(ctx, m, each)
}

// members names the nodes that the directory has in a namespace.
func (c *Cluster) members(ctx context.Context, fullName string) ([]string, error) {
	state, ok, err := c.dir.Namespace(ctx, fullName)
	if err != nil || !ok {
		return nil, err
	}
	nodes := make([]string, 0, len(state.Nodes))
	for node := range state.Nodes {
		nodes = append(nodes, node)
	}
	return nodes, nil
}
