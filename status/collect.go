package status

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/namespace"
)

const (
	// collectTimeout bounds what a report waits for, in Redis and in other nodes.
	collectTimeout = time.Second
	// detailedPage is how many namespaces the page shows with their sockets
	// where that means asking other nodes.
	detailedPage = 50
	// collectAtOnce is how many reports of the cluster are collected at a time for visitors,
	// and as many for the others. Where the status is public, anybody can ask, and each
	// costs Redis something.
	collectAtOnce = 4
	// askAtOnce is how many namespaces are asked about at a time.
	askAtOnce = 8
	// How many namespaces a report lists as expiring, and how many as retired, at
	// most.
	expiringListed, retiredListed = 10, 20
)

// Local is what this node itself has. What it returns are copies; no lock
// outlives a call.
type Local interface {
	// Self describes this node, all but the namespaces and sockets counted in it.
	Self() Node
	// Namespaces describes all that are live here, in no order.
	Namespaces() []namespace.Info
	// Permanent describes those that never retire, in no order.
	Permanent() []namespace.Info
	// Clients describes the sockets of a namespace, with their rooms, in no order.
	Clients(fullName string) []Client
	// Disconnect ends a socket's part in a namespace, on whichever node it is.
	Disconnect(fullName, id string) error
	// Dismiss retires an empty namespace without waiting for its time. It returns
	// the errors that package namespace has for it.
	Dismiss(ctx context.Context, fullName string) error
}

// Directory is what Redis knows of the cluster; *cluster.Directory is one.
type Directory interface {
	Overview(context.Context) (cluster.Overview, error)
	Namespaces(context.Context, cluster.PageQuery) (cluster.Page, error)
	Namespace(ctx context.Context, fullName string) (cluster.NamespaceState, bool, error)
	Expiring(ctx context.Context, prefix string, count int) ([]cluster.Due, error)
	Tally(ctx context.Context, prefix string) (cluster.Tally, error)
}

// CollectorOptions says what a [Collector] collects from. Local is required.
type CollectorOptions struct {
	Cluster, Node string // their names
	LeaseTTL      time.Duration
	Local         Local
	Recent        *Recent // what has retired; nil: nothing
	// Directory is nil where the node is alone; the rest is then not used.
	Directory Directory
	// Ready says what keeps the node from its part in the cluster, nil if all is
	// well; Away how long it has been without Redis, 0 if it is not.
	Ready func() error
	Away  func() time.Duration
	// Ask asks the other nodes about a namespace, as [namespace.Cluster] does.
	Ask func(ctx context.Context, m *namespace.Message, each func(namespace.Answer)) error
	// Logger receives why a report is incomplete. Default slog.Default().
	Logger *slog.Logger
}

// Collector is the [Source] of a node. It keeps nothing; its methods may be
// called from any goroutine.
type Collector struct {
	opts  CollectorOptions
	log   *slog.Logger
	slots map[bool]chan struct{} // for visitors, and for others: holds one for each report that is being collected
}

// NewCollector returns a collector. It starts nothing.
func NewCollector(o CollectorOptions) *Collector {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Collector{opts: o, log: o.Logger, slots: map[bool]chan struct{}{
		true: make(chan struct{}, collectAtOnce), false: make(chan struct{}, collectAtOnce),
	}}
}

// Collect implements [Source]: counts come from Redis, rooms and sockets from
// the nodes. Where Redis does not answer, it reports on this node alone, and says so.
func (c *Collector) Collect(ctx context.Context, q Query) *Report {
	rep := c.collect(ctx, q)
	if q.Visitor {
		rep.hideSessions()
	}
	return rep
}

func (c *Collector) collect(ctx context.Context, q Query) *Report {
	if c.opts.Directory == nil {
		rep := c.collectLocal(q)
		rep.Redis.Alone = true
		return rep
	}
	select {
	case c.slots[q.Visitor] <- struct{}{}:
		defer func() { <-c.slots[q.Visitor] }()
	case <-ctx.Done(): // who asked has gone
		return c.newReport(time.Now(), q)
	}
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	rep, err := c.collectCluster(ctx, q)
	if err != nil {
		c.log.Debug("status without Redis", "error", err)
		rep = c.collectLocal(q)
		rep.Redis, rep.Lease = Redis{}, Lease{}
		rep.Problems = append(rep.Problems, c.away())
	}
	return rep
}

// newReport is a report without what has to be counted.
func (c *Collector) newReport(now time.Time, q Query) *Report {
	rep := &Report{
		Cluster: c.opts.Cluster, Time: now, Node: c.opts.Node, Redis: Redis{OK: true},
		Nodes: []Node{}, Namespaces: []Namespace{}, Problems: []string{}, Notes: []string{}, Expiring: []Expiring{}, Retired: []Retired{},
	}
	if c.opts.Recent != nil {
		rep.Retired = c.opts.Recent.list(q.prefix(), retiredListed)
	}
	return rep
}

// Disconnect implements [Source].
func (c *Collector) Disconnect(_ context.Context, fullName, id string) error {
	if id == "" {
		return errors.New("status: no socket id given")
	}
	return c.opts.Local.Disconnect(fullName, id)
}

// Retire implements [Source].
func (c *Collector) Retire(ctx context.Context, fullName string) error {
	err := c.opts.Local.Dismiss(ctx, fullName)
	switch {
	case errors.Is(err, namespace.ErrUnknown):
		return ErrNotFound
	case errors.Is(err, namespace.ErrOccupied):
		return ErrOccupied
	case errors.Is(err, namespace.ErrPermanent):
		return ErrPermanent
	}
	return err
}

// prefix begins the full names of all that the asker may see.
func (q Query) prefix() string {
	if q.Host == "" {
		return ""
	}
	return namespace.FullName(q.Host, "/")
}

// Sees reports whether who asks may know of a namespace: a host has its own,
// the main host all.
func (q Query) Sees(fullName string) bool { return strings.HasPrefix(fullName, q.prefix()) }

// wants reports whether a namespace is among those asked for, whatever the page.
func (q Query) wants(fullName string) bool {
	if q.Namespace != "" {
		return fullName == q.Namespace && q.Sees(fullName)
	}
	return q.Sees(fullName) && namespace.ContainsFold(fullName, q.Search)
}
