package status

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/namespace"
)

// collectCluster reports on the whole cluster. An error means that Redis did
// not answer.
func (c *Collector) collectCluster(ctx context.Context, q Query) (*Report, error) {
	o, err := c.opts.Directory.Overview(ctx)
	if err != nil {
		return nil, err
	}
	page, err := c.readPage(ctx, q)
	if err != nil {
		return nil, err
	}
	due, err := c.opts.Directory.Expiring(ctx, q.prefix(), expiringListed)
	if err != nil {
		return nil, err
	}
	rep := c.newReport(o.Time, q)
	rep.Problems, rep.Notes = c.problems(&o), notes(&o)
	for _, d := range due {
		rep.Expiring = append(rep.Expiring, Expiring{d.FullName, d.At.Sub(o.Time).Milliseconds()})
	}
	rep.Redis.LatencyMS = float64(o.Latency.Microseconds()) / 1000
	rep.Lease = describeLease(&o)
	rep.Nodes = c.describeNodes(&o, q)
	rep.Totals.Namespaces, rep.Totals.Empty = o.Namespaces, o.Due
	rep.Next = page.Next
	rep.Namespaces = make([]Namespace, 0, len(page.Namespaces))
	for i := range page.Namespaces {
		rep.Namespaces = append(rep.Namespaces, describeState(&page.Namespaces[i], rep.Nodes, o.Time))
	}
	if q.Host != "" {
		if err := c.countHost(ctx, rep, q); err != nil {
			c.log.Debug("totals of a host", "host", q.Host, "error", err)
			rep.Problems = append(rep.Problems, "There was not enough time to count everything: the totals are too low.")
		}
	}
	rep.Totals.addNodes(rep.Nodes)
	if err := c.addPermanent(ctx, rep, q); err != nil {
		return nil, err
	}
	if q.Namespace != "" || q.Detailed && len(rep.Namespaces) <= detailedPage {
		c.askDetails(ctx, rep)
	}
	return rep, nil
}

// describeLease says who decides. A token is at least the time of its grant, by
// Redis's clock in microseconds, and nearly always that very time.
func describeLease(o *cluster.Overview) Lease {
	l := Lease{Holder: o.Lease.Holder, Token: o.Lease.Token, TTLMS: o.Lease.TTL.Milliseconds()}
	if l.Token != 0 {
		l.HeldMS = max(0, o.Time.Sub(time.UnixMicro(int64(l.Token))).Milliseconds())
	}
	return l
}

// What nodes write in their records with each heartbeat. Rates are a thousand
// times what they are a second, as counters are whole numbers.
const (
	counterSockets    = "sockets"
	counterEvents     = "events_milli"
	counterDeliveries = "deliveries_milli"
	counterSlow       = "slow_closed"
)

// Counters is what this node tells the others of itself, by name.
func (n *Node) Counters() map[string]int64 {
	return map[string]int64{
		counterSockets: int64(n.Sockets), counterSlow: n.SlowClosed,
		counterEvents: int64(n.EventsPerSecond * 1000), counterDeliveries: int64(n.DeliveriesPerSecond * 1000),
	}
}

func (c *Collector) describeNodes(o *cluster.Overview, q Query) []Node {
	nodes := make([]Node, 0, len(o.Nodes))
	for _, n := range o.Nodes {
		node := Node{
			ID: n.ID, Address: n.Address, Version: n.Version, Started: n.Started,
			HeartbeatAgeMS: n.HeartbeatAge.Milliseconds(), Draining: n.Draining, Silent: n.HeartbeatAge > silentAfter,
			Sockets: int(n.Counters[counterSockets]), Namespaces: n.Namespaces,
			EventsPerSecond:     float64(n.Counters[counterEvents]) / 1000,
			DeliveriesPerSecond: float64(n.Counters[counterDeliveries]) / 1000,
			SlowClosed:          n.Counters[counterSlow],
		}
		if q.Trend && q.Host == "" {
			node.Trend = ParseTrend(n.Trend)
		}
		if q.Host != "" {
			node.Sockets, node.Namespaces = 0, 0 // until its own are counted
		}
		node.hideTrend(q)
		nodes = append(nodes, node)
	}
	return nodes
}

// readPage reads the part of the directory that is asked for.
func (c *Collector) readPage(ctx context.Context, q Query) (cluster.Page, error) {
	if q.Namespace == "" {
		return c.opts.Directory.Namespaces(ctx, cluster.PageQuery{Prefix: q.prefix(), Search: q.Search, After: q.After, Limit: q.Limit})
	}
	var page cluster.Page
	if !q.Sees(q.Namespace) {
		return page, nil
	}
	state, ok, err := c.opts.Directory.Namespace(ctx, q.Namespace)
	if ok {
		page.Namespaces = []cluster.NamespaceState{state}
	}
	return page, err
}

func describeState(state *cluster.NamespaceState, nodes []Node, now time.Time) Namespace {
	host, name := namespace.SplitFullName(state.FullName)
	n := Namespace{
		FullName: state.FullName, Host: host, Name: name, Epoch: state.Epoch,
		Permanent: state.Permanent, Sockets: state.Sockets(), Nodes: state.Nodes,
	}
	for _, node := range nodes {
		if node.silent() {
			n.Silent += state.Nodes[node.ID]
		}
	}
	n.Sockets -= n.Silent
	n.setLife(state.Retirement, state.Emptied, state.Due, now)
	return n
}

// countHost makes the totals, and the counts of the nodes, those of one virtual
// host: it is not told how busy the others are.
func (c *Collector) countHost(ctx context.Context, rep *Report, q Query) error {
	t, err := c.opts.Directory.Tally(ctx, q.prefix())
	rep.Totals.Namespaces, rep.Totals.Empty = t.Namespaces, t.Empty
	for i := range rep.Nodes {
		n := &rep.Nodes[i]
		n.Namespaces, n.Sockets = t.Nodes[n.ID].Namespaces, t.Nodes[n.ID].Sockets
	}
	return err
}

// addPermanent adds this node's permanent namespaces that the directory does
// not know, as nobody has been in them yet.
func (c *Collector) addPermanent(ctx context.Context, rep *Report, q Query) error {
	for _, i := range c.opts.Local.Permanent() {
		if i.Epoch != 0 || !q.Sees(i.FullName) {
			continue
		}
		if slices.ContainsFunc(rep.Namespaces, func(n Namespace) bool { return n.FullName == i.FullName }) {
			continue // another node has been in it
		}
		onPage := q.Namespace != "" || q.Page(i.FullName) && (rep.Next == "" || i.FullName <= rep.Next)
		if !onPage || q.Namespace != "" || q.Search != "" { // otherwise it would be there
			if _, known, err := c.opts.Directory.Namespace(ctx, i.FullName); err != nil {
				return err
			} else if known {
				continue
			}
		}
		rep.Totals.Namespaces++
		if onPage && q.wants(i.FullName) {
			rep.Namespaces = append(rep.Namespaces, describe(&i, c.opts.Node, rep.Time))
		}
	}
	slices.SortFunc(rep.Namespaces, func(a, b Namespace) int { return strings.Compare(a.FullName, b.FullName) })
	if q.Namespace == "" && q.Limit > 0 && len(rep.Namespaces) > q.Limit {
		rep.Namespaces = rep.Namespaces[:q.Limit] // what they have pushed out is on the next page
		rep.Next = rep.Namespaces[q.Limit-1].FullName
	}
	return nil
}
