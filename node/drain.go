package node

import (
	"context"
	"errors"
	"time"
)

// Drain stops taking new connections and lets those that exist go on; the
// readiness check fails from then on, so that load balancers look elsewhere.
func (s *Server) Drain() {
	if !s.draining.Swap(true) {
		s.log.Info("draining", "node", s.opts.NodeID)
		s.engine.Drain()
		s.status.Close()
		if s.cluster != nil {
			s.cluster.Drain()
		}
	}
}

// Shutdown stops the node as one that others take over from: it fails the
// readiness check for DrainDelay, drains, ends the connections one after the
// other over DrainSpread, and closes. When ctx ends it closes at once; the time
// of both belongs into it.
func (s *Server) Shutdown(ctx context.Context) error {
	s.leave(ctx)
	s.Drain()
	s.engine.Shed(ctx, s.opts.DrainSpread)
	return s.Close(ctx)
}

// leave waits until load balancers have had the time to see that the node is not
// ready, or until ctx ends.
func (s *Server) leave(ctx context.Context) {
	s.leaving.Store(true)
	if s.opts.DrainDelay == 0 {
		return
	}
	s.log.Info("about to drain", "node", s.opts.NodeID, "in", s.opts.DrainDelay)
	delay := time.NewTimer(s.opts.DrainDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
	}
}

// Close ends all connections at once and waits for their handlers, or until ctx is
// over. Clients see their transport close, and reconnect by themselves. That
// connections had to be cut because nobody read from them is no error; that a
// handler was still running is one.
func (s *Server) Close(ctx context.Context) error {
	s.Drain()
	s.registry.Stop() // first: what the leaving sockets empty must not retire
	late, cancel := withGrace(ctx)
	defer cancel()
	err := s.engine.Close(ctx)
	if err != nil { // what is left has been cut off, which takes a moment
		err = s.engine.Close(late)
	}
	return errors.Join(err, s.closeRest(late))
}

// cutGrace is how much longer than its context a Close may take to cut off what
// is left, and then to leave the cluster, which otherwise would have to find out.
const cutGrace = 2 * time.Second

// withGrace returns a context that ends a little after ctx, if ctx has a deadline.
func withGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(context.WithoutCancel(ctx), deadline.Add(cutGrace))
}

// closeRest closes what stands behind the transports.
func (s *Server) closeRest(ctx context.Context) error {
	var err error
	if s.registry != nil { // New may have failed to make it
		err = s.registry.Close(ctx)
	}
	s.counts.sampler.Close()
	if s.cluster == nil {
		return err
	}
	if ctx.Err() != nil { // a handler took all the time; the other nodes are told all the same
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), cutGrace)
		defer cancel()
	}
	return errors.Join(err, s.cluster.Close(ctx))
}
