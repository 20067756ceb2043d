package node

import (
	"errors"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/status/metrics"
)

// join makes the node part of its cluster over Redis.
func (s *Server) join() (*cluster.Cluster, error) {
	o := &s.opts
	s.recorder = metrics.NewRecorder()
	return cluster.Open(cluster.Config{
		Redis: o.Redis, Cluster: o.Cluster, Node: o.NodeID, NodeTTL: o.NodeTTL, LeaseTTL: o.LeaseTTL,
		RefuseWhenAway: o.RefuseWhenAway, BusPrefix: o.BusPrefix, GoDialect: o.GoDialect, Logger: o.Logger,
		Observer: s.recorder.Observer(),
		Info: func() cluster.NodeInfo {
			return cluster.NodeInfo{Address: *s.address.Load(), Version: Version(), Started: s.started}
		},
		Counters: func() map[string]int64 { n := s.counts.node(); return n.Counters() },
		Trend:    s.counts.sampler.Text, Retired: s.recent.Add,
	})
}

// ready says why the node should not be given clients, nil if all is well.
func (s *Server) ready() error {
	if err := s.serving(); err != nil {
		return err
	}
	if s.cluster != nil {
		return s.cluster.Ready()
	}
	return nil
}

// serving is ready without what depends on Redis.
func (s *Server) serving() error {
	if s.leaving.Load() || s.draining.Load() {
		return errors.New("draining")
	}
	return s.accepting.check()
}
