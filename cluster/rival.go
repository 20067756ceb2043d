package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// explain says more about why a session of this node was fenced, where another process
// has registered under the node's name. Any other error it returns as it is.
func (m *Member) explain(s *Session, err error) error {
	if !errors.Is(err, ErrFenced) {
		return err
	}
	ctx, cancel := context.WithTimeout(m.ctx, m.dir.opts.Timeout)
	defer cancel()
	record, read := m.dir.client.HGetAll(ctx, m.dir.keys.node(m.dir.Node())).Result()
	if read != nil {
		return err
	}
	other := parseNode(record)
	if other.Session <= s.Number() {
		return err // evicted, or the data is gone
	}
	// A registration of our own that was given up may still have reached Redis, late.
	if m.opts.Info != nil && other.Started.UnixMilli() == m.opts.Info().Started.UnixMilli() {
		return err
	}
	return fmt.Errorf("%w: another process (at %q, started %s) registered as node %q; every process needs a --node-id of its own",
		err, other.Address, other.Started.UTC().Format(time.RFC3339), m.dir.Node())
}
