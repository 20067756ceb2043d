package node

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/status"
)

// newStatus makes the status pages' handler. A request from the main host sees
// the namespaces of all, one from another its own.
func (s *Server) newStatus() *status.Handler {
	return status.NewHandler(statusSource{s}, status.Options{
		Path: s.opts.Path, Public: s.opts.PublicStatus, Token: s.opts.StatusToken, Actions: s.opts.StatusActions, Logger: s.log,
		Host: func(r *http.Request) string {
			host, _ := s.hostOf(r)
			if _, main := s.opts.Host.Match(host); main {
				return ""
			}
			return host
		},
	})
}

// statusSource is the node as the status pages see it.
type statusSource struct{ s *Server }

func (src statusSource) Collect(ctx context.Context, q status.Query) *status.Report {
	if src.s.cluster != nil {
		return src.s.collectCluster(ctx, q, q.Host, q.Detailed)
	}
	return src.s.collect(q, q.Host, q.Detailed)
}

func (src statusSource) Disconnect(context.Context, string, string) error { return status.ErrNotFound }

func (src statusSource) Retire(context.Context, string) error { return status.ErrNotFound }

// collect reports on this node. host limits the namespaces to those of a
// virtual host; empty shows all. detailed shows rooms and sockets of every
// namespace on the page, not only of the one asked for.
func (s *Server) collect(q status.Query, host string, detailed bool) *status.Report {
	now := time.Now()
	self := status.Node{
		ID: s.opts.NodeID, Address: *s.address.Load(), Version: Version(), Started: s.started, Draining: s.draining.Load(),
	}
	rep := &status.Report{
		Cluster: s.opts.Cluster, Time: now, Node: s.opts.NodeID,
		Redis: status.Redis{OK: true},
		// Alone, the node decides by itself, and nobody can take that away.
		Lease:      status.Lease{Holder: s.opts.NodeID, Token: uint64(s.started.UnixMicro()), TTLMS: s.opts.LeaseTTL.Milliseconds()},
		Namespaces: []status.Namespace{},
	}
	all := s.registry.Namespaces()
	slices.SortFunc(all, func(a, b *namespace.Namespace) int { return strings.Compare(a.FullName(), b.FullName()) })
	for _, ns := range all {
		info := ns.Info()
		if host != "" && info.Host != host {
			continue // a host is not told how busy the others are
		}
		self.Sockets += info.Sockets
		if info.Sockets > 0 {
			self.Namespaces++
		}
		rep.Totals.Namespaces++
		rep.Totals.Sockets += info.Sockets
		if q.Namespace != "" && q.Namespace != info.FullName || !q.Page(info.FullName) || rep.Next != "" {
			continue
		}
		if len(rep.Namespaces) == q.Limit {
			rep.Next = rep.Namespaces[q.Limit-1].FullName
			continue
		}
		n := describe(info, s.opts.NodeID, now)
		if detailed || q.Namespace != "" {
			addDetail(&n, ns, s.opts.NodeID)
		}
		rep.Namespaces = append(rep.Namespaces, n)
	}
	rep.Nodes = []status.Node{self}
	rep.Totals.Nodes = 1
	return rep
}

func describe(i namespace.Info, node string, now time.Time) status.Namespace {
	n := status.Namespace{
		FullName: i.FullName, Host: i.Host, Name: i.Name, Epoch: i.Epoch,
		Permanent: i.Permanent, Sockets: i.Sockets, Nodes: map[string]int{},
	}
	if i.Sockets > 0 {
		n.Nodes[node] = i.Sockets
	}
	n.SetLife(i.Retirement, i.Emptied, now)
	return n
}

func addDetail(n *status.Namespace, ns *namespace.Namespace, node string) {
	n.Rooms, n.Clients = []status.Room{}, []status.Client{}
	for name, sockets := range ns.Rooms() {
		n.Rooms = append(n.Rooms, status.Room{Name: name, Sockets: sockets})
	}
	for _, s := range ns.Sockets() {
		h, rooms := s.Handshake(), s.Rooms()
		slices.Sort(rooms)
		n.Clients = append(n.Clients, status.Client{
			ID: s.ID(), Node: node, Address: h.Address, Transport: s.Transport(), Connected: h.Time, Rooms: rooms,
		})
	}
	sortDetail(n)
}

// sortDetail puts rooms in the order of their names and clients in that of
// their coming.
func sortDetail(n *status.Namespace) {
	slices.SortFunc(n.Rooms, func(a, b status.Room) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(n.Clients, func(a, b status.Client) int {
		if c := a.Connected.Compare(b.Connected); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}
