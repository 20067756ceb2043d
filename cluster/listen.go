package cluster

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// listen passes the notices of the control channel on. What is said while nothing is
// subscribed, comparing finds out.
func (m *Member) listen() {
	for m.ctx.Err() == nil {
		m.hear()
		select {
		case <-m.ctx.Done():
		case <-time.After(minPause):
		}
	}
}

// hear listens over one subscription, until it breaks. A connection that only looks
// alive is found out by asking: nothing else is ever sent over it.
func (m *Member) hear() {
	sub := m.client.Subscribe(m.ctx, m.dir.ControlChannel(), m.leaseChannel())
	defer sub.Close()
	// A read that waits does not end with the context.
	stop := context.AfterFunc(m.ctx, func() { sub.Close() })
	defer stop()
	asked := false
	for {
		msg, err := sub.ReceiveTimeout(m.ctx, m.dir.NodeTTL())
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() && !asked && m.ctx.Err() == nil {
			asked = true
			if sub.Ping(m.ctx) == nil {
				continue
			}
		}
		if err != nil {
			return
		}
		asked = false
		switch msg := msg.(type) {
		case *redis.Subscription:
			signal(m.compare) // nothing was heard until now
			signal(m.decide)
		case *redis.Message:
			if msg.Channel != m.dir.ControlChannel() {
				signal(m.released)
			} else if n, ok := ParseNotice(msg.Payload); ok {
				m.notice(n)
			}
		}
	}
}
