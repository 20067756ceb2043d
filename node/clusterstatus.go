package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/status"
)

const (
	// statusTimeout bounds what a report waits for, in Redis and in other nodes.
	statusTimeout = time.Second
	// detailedPage is how many namespaces the page shows with their sockets
	// where that means asking other nodes.
	detailedPage = 50
	// askAtOnce is how many namespaces are asked about at a time.
	askAtOnce = 8
)

// collectCluster is collect for the whole cluster: counts come from Redis,
// rooms and sockets from the nodes. Where Redis does not answer, it reports on
// this node, and says so.
func (s *Server) collectCluster(ctx context.Context, q status.Query, host string, detailed bool) *status.Report {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	dir := s.cluster.Directory()
	o, err := dir.Overview(ctx)
	var page cluster.Page
	if err == nil {
		page, err = s.readPage(ctx, dir, q, host)
	}
	if err != nil {
		s.log.Debug("status without Redis", "error", err)
		rep := s.collect(q, host, detailed)
		rep.Redis = status.Redis{}
		rep.Lease = status.Lease{}
		return rep
	}
	rep := &status.Report{
		Cluster: s.opts.Cluster, Time: o.Time, Node: s.opts.NodeID,
		Redis:      status.Redis{OK: true, LatencyMS: float64(o.Latency.Microseconds()) / 1000},
		Lease:      status.Lease{Holder: o.Lease.Holder, Token: o.Lease.Token, TTLMS: o.Lease.TTL.Milliseconds()},
		Nodes:      make([]status.Node, 0, len(o.Nodes)),
		Totals:     status.Totals{Nodes: len(o.Nodes), Namespaces: o.Namespaces},
		Namespaces: make([]status.Namespace, 0, len(page.Namespaces)),
		Next:       page.Next,
	}
	for _, n := range o.Nodes {
		sockets := int(n.Counters["sockets"])
		rep.Totals.Sockets += sockets
		rep.Nodes = append(rep.Nodes, status.Node{
			ID: n.ID, Address: n.Address, Version: n.Version, Started: n.Started,
			HeartbeatAgeMS: n.HeartbeatAge.Milliseconds(), Draining: n.Draining,
			Sockets: sockets, Namespaces: n.Namespaces,
		})
	}
	for _, state := range page.Namespaces {
		rep.Namespaces = append(rep.Namespaces, describeState(state, o.Time))
	}
	rep.Totals.Namespaces += s.addPermanent(rep, q, host, o.Time)
	if host != "" {
		if err := s.countHost(ctx, dir, rep, host); err != nil {
			s.log.Debug("totals of a host", "host", host, "error", err)
		}
	}
	if q.Namespace != "" || detailed && len(rep.Namespaces) <= detailedPage {
		s.askDetails(ctx, rep)
	}
	return rep
}

// countHost makes the totals, and the counts of the nodes, those of one virtual
// host: it is not told how busy the others are.
func (s *Server) countHost(ctx context.Context, dir *cluster.Directory, rep *status.Report, host string) error {
	nodes := make(map[string]*status.Node, len(rep.Nodes))
	for i := range rep.Nodes {
		n := &rep.Nodes[i]
		n.Sockets, n.Namespaces = 0, 0
		nodes[n.ID] = n
	}
	rep.Totals.Namespaces, rep.Totals.Sockets = 0, 0
	for q := (cluster.PageQuery{Prefix: namespace.FullName(host, "/"), Limit: status.DefaultLimit}); ; {
		page, err := dir.Namespaces(ctx, q)
		if err != nil {
			return err
		}
		for _, state := range page.Namespaces {
			rep.Totals.Namespaces++
			rep.Totals.Sockets += state.Sockets()
			for id, sockets := range state.Nodes {
				if n := nodes[id]; n != nil {
					n.Namespaces++
					n.Sockets += sockets
				}
			}
		}
		if q.After = page.Next; q.After == "" {
			return nil
		}
	}
}

// readPage reads the part of the directory that is asked for.
func (s *Server) readPage(ctx context.Context, dir *cluster.Directory, q status.Query, host string) (cluster.Page, error) {
	prefix := ""
	if host != "" {
		prefix = namespace.FullName(host, "/")
	}
	if q.Namespace == "" {
		return dir.Namespaces(ctx, cluster.PageQuery{Prefix: prefix, After: q.After, Limit: q.Limit})
	}
	var page cluster.Page
	if !strings.HasPrefix(q.Namespace, prefix) {
		return page, nil
	}
	state, ok, err := dir.Namespace(ctx, q.Namespace)
	if ok {
		page.Namespaces = []cluster.NamespaceState{state}
	}
	return page, err
}

func describeState(state cluster.NamespaceState, now time.Time) status.Namespace {
	host, name := namespace.SplitFullName(state.FullName)
	n := status.Namespace{
		FullName: state.FullName, Host: host, Name: name, Epoch: state.Epoch,
		Permanent: state.Permanent, Sockets: state.Sockets(), Nodes: state.Nodes,
	}
	n.SetLife(state.Retirement, state.Emptied, now)
	return n
}

// addPermanent adds this node's permanent namespaces that the directory does
// not know, as nobody has been in them yet, and returns how many there are.
func (s *Server) addPermanent(rep *status.Report, q status.Query, host string, now time.Time) (added int) {
	for _, ns := range s.registry.Namespaces() {
		i := ns.Info()
		if !i.Permanent || i.Epoch != 0 || host != "" && i.Host != host {
			continue
		}
		if slices.ContainsFunc(rep.Namespaces, func(n status.Namespace) bool { return n.FullName == i.FullName }) {
			continue // another node has been in it
		}
		added++
		onPage := q.Page(i.FullName) && (rep.Next == "" || i.FullName <= rep.Next)
		if q.Namespace == "" && onPage || q.Namespace == i.FullName {
			rep.Namespaces = append(rep.Namespaces, describe(i, s.opts.NodeID, now))
		}
	}
	slices.SortFunc(rep.Namespaces, func(a, b status.Namespace) int { return strings.Compare(a.FullName, b.FullName) })
	return added
}

// askDetails fills in rooms and sockets, by asking the nodes.
func (s *Server) askDetails(ctx context.Context, rep *status.Report) {
	var (
		work    sync.WaitGroup
		mu      sync.Mutex // guards missing
		missing = make(map[string]struct{})
		slots   = make(chan struct{}, askAtOnce)
	)
	for i := range rep.Namespaces {
		n := &rep.Namespaces[i]
		n.Rooms, n.Clients = []status.Room{}, []status.Client{}
		if n.Sockets == 0 {
			continue
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			err := s.askDetail(ctx, n)
			late, ok := errors.AsType[*namespace.MissingError](err)
			mu.Lock()
			defer mu.Unlock()
			if ok {
				for _, node := range late.Nodes {
					missing[node] = struct{}{}
				}
			} else if err != nil {
				s.log.Debug("details of a namespace", "namespace", n.FullName, "error", err)
			}
		})
	}
	work.Wait()
	for node := range missing {
		rep.Missing = append(rep.Missing, node)
	}
	slices.Sort(rep.Missing)
}

func (s *Server) askDetail(ctx context.Context, n *status.Namespace) error {
	add := func(infos []namespace.SocketInfo, node string) {
		for _, i := range infos {
			n.Clients = append(n.Clients, status.Client{
				ID: i.ID, Node: node, Address: i.Handshake.Address, Transport: i.Transport,
				Connected: time.UnixMilli(i.Handshake.Issued), Rooms: i.Rooms,
			})
		}
	}
	if ns := s.registry.Lookup(n.FullName); ns != nil {
		for _, socket := range ns.Sockets() {
			add([]namespace.SocketInfo{socket.Info()}, s.opts.NodeID)
		}
	}
	m := &namespace.Message{Kind: namespace.KindFetch, FullName: n.FullName, Name: n.Name}
	err := s.cluster.Ask(ctx, m, func(a namespace.Answer) { add(a.Sockets, a.Node) })
	rooms := make(map[string]int)
	for i := range n.Clients {
		c := &n.Clients[i]
		c.Rooms = slices.DeleteFunc(c.Rooms, func(room string) bool { return room == c.ID })
		slices.Sort(c.Rooms)
		for _, room := range c.Rooms {
			rooms[room]++
		}
	}
	for name, sockets := range rooms {
		n.Rooms = append(n.Rooms, status.Room{Name: name, Sockets: sockets})
	}
	sortDetail(n)
	return err
}
