package node

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/address"
	"github.com/dynamicio/dynamicio/node/engineio"
	"github.com/dynamicio/dynamicio/status"
)

// newStatus makes the status pages' handler. A request from the main host sees
// the namespaces of all, one from another its own.
func (s *Server) newStatus() *status.Handler {
	o := status.CollectorOptions{
		Cluster: s.opts.Cluster, Node: s.opts.NodeID, LeaseTTL: s.opts.LeaseTTL,
		Local: statusLocal{s}, Recent: &s.recent, Logger: s.log,
	}
	if s.cluster != nil {
		o.Directory, o.Ask = s.cluster.Directory(), s.cluster.Ask
		o.Ready, o.Away = s.cluster.Ready, s.cluster.AwayFor
	}
	return status.NewHandler(status.NewCollector(o), status.Options{
		Path: s.opts.Path, Public: s.opts.PublicStatus, Token: s.opts.StatusToken, Actions: s.opts.StatusActions, Logger: s.log,
		MaxViewers: s.opts.StatusViewers, MaxViewersPerAddress: s.opts.StatusViewersPerAddress, WrongTokensPerMinute: s.opts.StatusWrongTokens,
		Address: func(r *http.Request) netip.Addr { return address.Group(r.RemoteAddr) },
		Host: func(r *http.Request) string {
			host, _ := s.hostOf(r)
			if s.opts.Host.Matches(host) {
				return ""
			}
			return host
		},
	})
}

// counts is what the node tells the others of how busy it is. They ask before
// all of the node is there.
type counts struct {
	registry atomic.Pointer[namespace.Registry]
	engine   atomic.Pointer[engineio.Server]
	sampler  *status.Sampler
}

func newCounts() *counts {
	c := new(counts)
	c.sampler = status.NewSampler(c.sample)
	return c
}

// sample waits for nothing.
func (c *counts) sample() status.Sample {
	r := c.registry.Load()
	if r == nil {
		return status.Sample{}
	}
	n := r.Stats()
	return status.Sample{Sockets: n.Sockets, Events: n.EventsIn, Deliveries: n.Deliveries}
}

// node is what is counted of this node.
func (c *counts) node() status.Node {
	n := status.Node{Sockets: int(c.sample().Sockets)}
	n.EventsPerSecond, n.DeliveriesPerSecond = c.sampler.Rates()
	if e := c.engine.Load(); e != nil {
		n.SlowClosed = e.Stats().SlowClosed
	}
	return n
}

// statusLocal is what the status has of this node. It copies what it reads:
// locks of the registry and of a namespace are held for slices of pointers.
type statusLocal struct{ s *Server }

func (l statusLocal) Self() status.Node {
	s, n := l.s, l.s.counts.node()
	n.ID, n.Address, n.Version, n.Started, n.Draining = s.opts.NodeID, *s.address.Load(), Version(), s.started, s.draining.Load()
	n.Sockets, n.Trend = 0, s.counts.sampler.Trend()
	return n
}

func (l statusLocal) Namespaces() []namespace.Info { return l.s.registry.Snapshot() }

func (l statusLocal) Permanent() []namespace.Info {
	all := l.s.registry.Permanent()
	infos := make([]namespace.Info, len(all))
	for i, ns := range all {
		infos[i] = ns.Info()
	}
	return infos
}

func (l statusLocal) Clients(fullName string) []status.Client {
	ns := l.s.registry.Lookup(fullName)
	if ns == nil {
		return nil
	}
	sockets := ns.Sockets()
	clients := make([]status.Client, len(sockets))
	for i, s := range sockets {
		h := s.Handshake()
		clients[i] = status.Client{
			ID: s.ID(), Node: l.s.opts.NodeID, Address: h.Address, Transport: s.Transport(), Connected: h.Time, Rooms: s.Rooms(),
			Session: strings.HasSuffix(s.ID(), s.ConnectionID()),
		}
	}
	return clients
}

func (l statusLocal) Disconnect(fullName, id string) error {
	return l.s.registry.Disconnect(fullName, id)
}

func (l statusLocal) Dismiss(ctx context.Context, fullName string) error {
	return l.s.registry.Dismiss(ctx, fullName)
}

// knownHost refuses requests that name no host, where hosts are kept apart: they
// would be taken for the main one's, which sees the namespaces of all.
func (s *Server) knownHost(next http.Handler) http.Handler {
	if s.opts.GetHost != nil || s.opts.Host.Matches("") {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "" {
			http.Error(w, "status: the request has no Host header, which says whose status is wanted", http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// shortestToken is how long a status token should be, in bytes, so that it cannot
// be guessed.
const shortestToken = 16

func (s *Server) warnOfToken() {
	if n := len(s.opts.StatusToken); n > 0 && n < shortestToken {
		s.log.Warn("the status token is short enough to be guessed; take a random one, of 16 characters or more", "length", n)
	}
}
