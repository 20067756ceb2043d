package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// ListenAndServe serves on a TCP address until ctx ends, then drains and
// closes. It returns nil after a stop in good order.
func (s *Server) ListenAndServe(ctx context.Context, addr string) error {
	// Engine.IO has heartbeats of its own: those of TCP would only cost five
	// system calls a connection.
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", addr)
	if err != nil {
		s.draining.Store(true) // nothing has been served that would have to be drained
		return errors.Join(err, s.Close(context.Background()))
	}
	return s.Serve(ctx, l)
}

// Serve is ListenAndServe on a listener, which it closes.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if s.opts.Address == "" {
		addr := l.Addr().String()
		s.address.Store(&addr)
	}
	h := s.newHTTP(s, mainListener)
	served := make(chan error, 1)
	go func() { served <- h.Serve(s.accepting.watch(l, &s.accepting.main)) }() // ends with h.Shutdown, or with l
	s.log.Info("listening", "address", l.Addr().String(), "node", s.opts.NodeID, "path", s.opts.Path)

	select {
	case err := <-served: // nobody comes any more
		return errors.Join(fmt.Errorf("node: %w", err), s.stop(h, s.opts.DrainTimeout, s.Close))
	case <-ctx.Done():
		return s.stop(h, s.opts.DrainDelay+s.opts.DrainTimeout, s.Shutdown)
	}
}

// stop closes the node in one of its ways within a time, and then what is left of
// the connections: idle ones, plain requests under way, and those whose answer
// nobody reads. That some of these had to be cut is no error of the node.
func (s *Server) stop(h *http.Server, within time.Duration, by func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := by(ctx)
	ctx, cancel = withGrace(ctx)
	defer cancel()
	if shut := h.Shutdown(ctx); shut != nil {
		s.log.Info("connections cut that were idle, or did not read their answer", "node", s.opts.NodeID)
		_ = h.Close() // its error would be the listener's, which is closed by now
	}
	s.log.Info("stopped", "node", s.opts.NodeID)
	return err
}

// ServeAdmin serves a handler of one's own, for metrics or profiles, on a listener
// beside the node's: with the same bounds, and its errors in the same log and
// metrics. stop ends it at once, and waits for that.
func (s *Server) ServeAdmin(l net.Listener, h http.Handler) (stop func()) {
	srv := s.newHTTP(h, adminListener)
	done := make(chan struct{})
	go func() { // ends when srv is closed
		defer close(done)
		_ = srv.Serve(s.accepting.watch(l, &s.accepting.admin)) // always an error: that it was closed
	}()
	return func() {
		_ = srv.Close() // of the listener, which is of no use any more
		<-done
	}
}
