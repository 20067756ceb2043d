package node

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/status/metrics"
)

// MetricsHandler serves the node's metrics to Prometheus, with those of the Go runtime
// and of the process. It is what the node serves as /metrics unless
// [Options.DisableMetrics] is set.
func (s *Server) MetricsHandler() http.Handler { return s.metrics }

// Collector is the node's metrics alone, for a registry of the program's own, which
// brings its own ones of the Go runtime and of the process.
func (s *Server) Collector() prometheus.Collector { return s.collector }

// snapshot is what a scrape shows. It holds up nobody: each client's queues are
// looked at under the client's own locks, one client after the other.
func (s *Server) snapshot() *metrics.Snapshot {
	snap := &metrics.Snapshot{
		Node: s.opts.NodeID, Cluster: s.opts.Cluster, Version: Version(), Commit: Commit(),
		Draining: s.draining.Load(), Ready: s.ready() == nil,
		AcceptErrors: s.accepting.errors(), Status: s.status.Stats(),
		Transport: s.engine.Stats(), Namespaces: s.registry.Stats(), Waiting: s.waiting(),
	}
	if s.cluster != nil {
		member, bus := s.cluster.Stats()
		snap.Member, snap.Bus, snap.Connected = &member, &bus, s.cluster.Connected()
		snap.Unanswered = s.recorder.Unanswered()
	}
	return snap
}

// waiting sums up the queues of all clients.
func (s *Server) waiting() (w metrics.Waiting) {
	for c := range s.engine.Conns() {
		packets, bytes := c.Queue()
		w.Packets += packets
		w.Bytes += bytes
		w.MostBytes = max(w.MostBytes, bytes)
		if bytes > 0 {
			w.Clients++
		}
		held := c.Held()
		w.HeldBytes += held
		w.MostHeldBytes = max(w.MostHeldBytes, held+bytes)
		if client, ok := c.Handler().(*namespace.Client); ok {
			events, bytes := client.Pending()
			w.Events += events
			w.EventBytes += bytes
		}
	}
	return w
}
