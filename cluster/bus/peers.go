package bus

import (
	"context"
	"errors"
	"slices"
	"time"
)

// When Redis is back, the nodes find out one after the other. What a node kept meanwhile would be lost
// to those that are not subscribed again, so it waits for them.

// peerPoll is how often a publisher asks whether all are there.
const peerPoll = 50 * time.Millisecond

// probeChannel is a channel that every node subscribes to, after all others that it wants.
func (b *Bus) probeChannel(node string) string {
	return "dynamicio:{" + b.opts.Cluster + "}:probe:" + node
}

// keepPeers remembers which nodes there are. It is a goroutine of the bus.
func (b *Bus) keepPeers() {
	if b.opts.Peers == nil {
		return
	}
	tick := time.NewTicker(b.opts.PeerWait)
	defer tick.Stop()
	var before []string // a restart of Redis empties the list for a moment
	for {
		ctx, cancel := context.WithTimeout(b.ctx, b.opts.ReplyTimeout)
		nodes, err := b.opts.Peers(ctx)
		cancel()
		if err == nil { // otherwise those known last are the ones to wait for
			channels := make([]string, 0, len(nodes))
			for _, n := range nodes {
				if n != b.opts.NodeID {
					channels = append(channels, b.probeChannel(n))
				}
			}
			both := slices.Concat(channels, before)
			slices.Sort(both)
			both = slices.Compact(both)
			b.peers.Store(&both)
			before = channels
		}
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			return
		}
	}
}

// awaitPeers returns when all nodes that were there are subscribed, or PeerWait is over. c must owe no reply.
func (b *Bus) awaitPeers(c *conn) error {
	channels := b.peers.Load()
	if channels == nil || len(*channels) == 0 {
		return nil
	}
	for deadline := time.Now().Add(b.opts.PeerWait); time.Now().Before(deadline); {
		all, err := c.subscribed(*channels)
		if err != nil && !errors.As(err, new(redisError)) {
			return err
		}
		if all || err != nil {
			return nil // a user who may not ask goes on at once
		}
		select {
		case <-time.After(peerPoll):
		case <-b.ctx.Done():
			return ErrClosed
		}
	}
	return nil
}
