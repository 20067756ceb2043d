package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// taken describes the process that is registered as this node.
func (d *Directory) taken(ctx context.Context, conn *redis.Conn, wait time.Duration) error {
	record, err := conn.HGetAll(ctx, d.keys.node(d.opts.Node)).Result()
	if err != nil {
		return err
	}
	other := parseNode(record)
	return &TakenError{Node: d.opts.Node, Address: other.Address, Started: other.Started, Wait: wait}
}

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
	if record["instance"] == m.dir.instance {
		return err // a registration of our own that was given up has reached Redis, late
	}
	return fmt.Errorf("%w: another process (at %q, started %s) registered as node %q; every process needs a --node-id of its own",
		err, other.Address, other.Started.UTC().Format(time.RFC3339), m.dir.Node())
}
