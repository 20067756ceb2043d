package status

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

// collectLocal reports on this node alone.
func (c *Collector) collectLocal(q Query) *Report {
	now := time.Now()
	rep := c.newReport(now, q)
	self := c.opts.Local.Self()
	// Alone, the node decides by itself, and nobody can take that away.
	rep.Lease = Lease{
		Holder: c.opts.Node, Token: uint64(self.Started.UnixMicro()),
		TTLMS: c.opts.LeaseTTL.Milliseconds(), HeldMS: now.Sub(self.Started).Milliseconds(),
	}
	all := c.opts.Local.Namespaces()
	wanted := make([]*namespace.Info, 0, len(all))
	for i := range all {
		info := &all[i]
		if !q.Sees(info.FullName) {
			continue // a host is not told how busy the others are
		}
		self.Sockets += info.Sockets
		if info.Sockets > 0 {
			self.Namespaces++
		}
		rep.Totals.Namespaces++
		if left, ok := expiresIn(info, now); ok {
			rep.Totals.Empty++
			rep.Expiring = append(rep.Expiring, Expiring{info.FullName, left})
		}
		if q.wants(info.FullName) && (q.Namespace != "" || q.Page(info.FullName)) {
			wanted = append(wanted, info)
		}
	}
	slices.SortFunc(rep.Expiring, func(a, b Expiring) int {
		return cmp.Or(cmp.Compare(a.ExpiresInMS, b.ExpiresInMS), strings.Compare(a.FullName, b.FullName))
	})
	rep.Expiring = slices.Clip(rep.Expiring[:min(len(rep.Expiring), expiringListed)])
	self.hideTrend(q)
	rep.Nodes = []Node{self}
	rep.Totals.addNodes(rep.Nodes)
	c.pageLocal(rep, q, wanted)
	return rep
}

// pageLocal puts the page that is asked for into a report.
func (c *Collector) pageLocal(rep *Report, q Query, wanted []*namespace.Info) {
	slices.SortFunc(wanted, func(a, b *namespace.Info) int { return strings.Compare(a.FullName, b.FullName) })
	if q.Limit > 0 && len(wanted) > q.Limit {
		wanted = wanted[:q.Limit]
		rep.Next = wanted[q.Limit-1].FullName
	}
	rep.Namespaces = make([]Namespace, 0, len(wanted))
	for _, info := range wanted {
		n := describe(info, c.opts.Node, rep.Time)
		if q.Detailed || q.Namespace != "" {
			n.setClients(c.opts.Local.Clients(n.FullName))
		}
		rep.Namespaces = append(rep.Namespaces, n)
	}
}

// describe is a namespace as this node alone has it.
func describe(i *namespace.Info, node string, now time.Time) Namespace {
	n := Namespace{
		FullName: i.FullName, Host: i.Host, Name: i.Name, Epoch: i.Epoch,
		Permanent: i.Permanent, Sockets: i.Sockets, Nodes: map[string]int{},
	}
	if i.Sockets > 0 {
		n.Nodes[node] = i.Sockets
	}
	n.setLife(i.Retirement, i.Emptied, i.Emptied.Add(i.Retirement), now)
	return n
}

// expiresIn is how many milliseconds an empty namespace has left; ok is false
// if it has no end in sight.
func expiresIn(i *namespace.Info, now time.Time) (left int64, ok bool) {
	if i.Permanent || i.Sockets > 0 || i.Emptied.IsZero() {
		return 0, false
	}
	return i.Emptied.Add(i.Retirement).Sub(now).Milliseconds(), true
}

// addNodes sums up what nodes have.
func (t *Totals) addNodes(nodes []Node) {
	t.Nodes = len(nodes)
	for _, n := range nodes {
		t.SlowClosed += n.SlowClosed
		if n.silent() { // its clients may be with other nodes by now, and its rates are of another time
			t.SilentSockets += n.Sockets
			continue
		}
		t.Sockets += n.Sockets
		t.EventsPerSecond += n.EventsPerSecond
		t.DeliveriesPerSecond += n.DeliveriesPerSecond
	}
}

// hideTrend takes out of a node what was not asked for, and what a virtual host
// may not know: how busy the node is with other hosts' clients.
func (n *Node) hideTrend(q Query) {
	if q.Host != "" {
		n.EventsPerSecond, n.DeliveriesPerSecond, n.SlowClosed, n.Trend = 0, 0, 0, nil
	}
	if !q.Trend {
		n.Trend = nil
	}
}
