package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// minTTL is the shortest node TTL: a third of it must be well above the pauses of an
// ordinary machine, or nodes evict each other all the time.
const minTTL = 100 * time.Millisecond

// Options says which cluster, and which node of it. Node is required; the zero value of
// the rest is fit for production.
type Options struct {
	// Cluster names the cluster; several can share a Redis. Default "default".
	Cluster string

	// Node is this node's id, of which there must be one in the cluster: a second
	// process with the same id is refused ([TakenError]) while the first one lives.
	Node string

	// NodeTTL is how long a node may be silent before it is evicted, and how long
	// after a loss of data nothing is decided. Default 10 seconds; at least 100 ms.
	NodeTTL time.Duration

	// Timeout bounds one round trip on a session. Default a third of NodeTTL, at most
	// 3 seconds: a node that waits for longer is no more fresh when the answer comes.
	Timeout time.Duration

	// Observer is told how long things take. Default: nobody is.
	Observer Observer

	// ServerID stands for the run_id of a Redis whose INFO has none. It must be another
	// one in each life of the server. Default: what INFO says, and an error without.
	ServerID string
}

func (o Options) withDefaults() (Options, error) {
	o.Cluster = cmp.Or(o.Cluster, "default")
	o.NodeTTL = cmp.Or(o.NodeTTL, 10*time.Second)
	if o.NodeTTL < minTTL {
		return o, fmt.Errorf("cluster: Options.NodeTTL is %v, must be at least %v", o.NodeTTL, minTTL)
	}
	o.Timeout = cmp.Or(o.Timeout, min(o.NodeTTL/3, 3*time.Second))
	if o.Timeout < 0 {
		return o, fmt.Errorf("cluster: Options.Timeout is %v, must not be negative", o.Timeout)
	}
	return o, errors.Join(checkName("Options.Cluster", o.Cluster), checkName("Options.Node", o.Node))
}

// Directory is one node's access to what the cluster agrees on. Its methods may
// be called from any goroutine.
type Directory struct {
	client redis.UniversalClient
	opts   Options
	keys   keys
	// instance tells this process from another with the same node id.
	instance string

	// seen is the highest epoch, era or session that this node has met. Redis is told, so
	// that the next one is higher even if it lost its data and its clock went back.
	seen atomic.Uint64
}

// New prepares the access; it does not talk to Redis. The client stays the caller's to
// close; [Connect] makes one for a single server, for Sentinel or for Redis Cluster.
func New(client redis.UniversalClient, o Options) (*Directory, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	switch client.(type) {
	case *redis.Client, *redis.ClusterClient:
	default:
		return nil, fmt.Errorf("cluster: a client of type %T is not supported", client)
	}
	return &Directory{client: client, opts: o, keys: newKeys(o.Cluster), instance: rand.Text()}, nil
}

// Node is the id of this node.
func (d *Directory) Node() string { return d.opts.Node }

// NodeTTL is how long a node may be silent.
func (d *Directory) NodeTTL() time.Duration { return d.opts.NodeTTL }

// LeaseKeys are the keys for package lease: of the lease and of its last token. The
// scripts of the lease holder look there.
func (d *Directory) LeaseKeys() (lease, token string) { return d.keys.lease, d.keys.token }

// ControlChannel is where the notices are published; see [ParseNotice].
func (d *Directory) ControlChannel() string { return d.keys.control }

// NodeInfo describes a node for the status page.
type NodeInfo struct {
	Address string    // host:port where clients reach it
	Version string    // of the program
	Started time.Time // by the node's own clock
	// Bus is what the node's broadcasts go by: prefix and dialect. Nodes with
	// different ones do not hear each other.
	Bus string
}

// Register begins a session, and ends the former one of this process, or of one that
// was silent for its node TTL. While another process lives that is registered under the
// node's id, the error wraps a [*TakenError]. The session counts as asserting, and
// holds up all retirement, until a [Session.Heartbeat] says that it is done; so
// assert at once. An error is an [*Error].
func (d *Directory) Register(ctx context.Context, info NodeInfo) (*Session, error) {
	sent := time.Now()
	s, err := d.register(ctx, info)
	if err != nil {
		err = &Error{Op: registerScript.name, Err: err}
	}
	d.opts.Observer.command([]*call{{script: registerScript}}, time.Since(sent), err)
	return s, err
}

func (d *Directory) register(ctx context.Context, info NodeInfo) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, d.opts.Timeout)
	defer cancel()
	conn, err := d.pin(ctx)
	if err != nil {
		return nil, err
	}
	s, err := d.registerOver(ctx, conn, info)
	if err != nil {
		conn.Close()
		if c, ok := d.client.(*redis.ClusterClient); ok {
			// The slot may have another master by now. The client does not see what goes
			// wrong on a connection of ours, and so would not ask.
			c.ReloadState(ctx)
		}
	}
	return s, err
}

// pin takes a connection to the server that has the cluster's keys. It is never dialled
// again: when it breaks, every further command on it fails.
func (d *Directory) pin(ctx context.Context) (*redis.Conn, error) {
	if c, ok := d.client.(*redis.ClusterClient); ok {
		master, err := c.MasterForKey(ctx, d.keys.era)
		if err != nil {
			return nil, err
		}
		return master.EphemeralConn(), nil
	}
	return d.client.(*redis.Client).EphemeralConn(), nil // New accepts no third type
}

func (d *Directory) registerOver(ctx context.Context, conn *redis.Conn, info NodeInfo) (*Session, error) {
	runID, err := d.runID(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := loadAll(ctx, conn); err != nil {
		return nil, err
	}
	k, node := d.keys, d.opts.Node
	sent := time.Now()
	res, err := conn.EvalSha(ctx, registerScript.sha, []string{
		k.era, k.clock, k.sessions, k.asserting, k.nodes, k.lease, k.stale, k.due,
		k.node(node), k.nodeNamespaces(node), k.control,
	}, node, runID, d.opts.NodeTTL.Milliseconds(), d.seen.Load(), k.nodePrefix, k.leftPrefix, d.instance, info.Address,
		"version", info.Version, "started", info.Started.UnixMilli(), "bus", info.Bus,
	).Int64Slice()
	if err == nil && len(res) != 3 {
		err = fmt.Errorf("%d values from the script, want 3", len(res))
	}
	if err != nil {
		return nil, err
	}
	if res[0] == 0 {
		return nil, d.taken(ctx, conn, time.Duration(res[1])*time.Microsecond)
	}
	s := &Session{
		dir: d, conn: conn, number: uint64(res[0]), era: uint64(res[1]), newEra: res[2] == 1,
		turn: make(chan struct{}, 1), ended: make(chan struct{}), beat: sent,
	}
	if d.opts.ServerID == "" {
		s.runID = runID
	}
	d.saw(s.number)
	return s, nil
}

// runID asks the server behind conn which process it is.
func (d *Directory) runID(ctx context.Context, conn *redis.Conn) (string, error) {
	if d.opts.ServerID != "" {
		return d.opts.ServerID, nil
	}
	info, err := conn.Info(ctx, "server").Result()
	if err != nil {
		return "", fmt.Errorf("INFO server, which tells one life of the server from another: %w", err)
	}
	for line := range strings.SplitSeq(info, "\n") {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok && id != "" {
			return id, nil
		}
	}
	return "", errors.New("INFO server has no run_id; set Options.ServerID")
}

// saw remembers a number of the hybrid clock.
func (d *Directory) saw(n uint64) {
	for {
		seen := d.seen.Load()
		if seen >= n || d.seen.CompareAndSwap(seen, n) {
			return
		}
	}
}
