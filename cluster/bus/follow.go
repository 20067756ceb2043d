package bus

import (
	"errors"
	"fmt"
)

// The bus belongs to the server that the node is registered with. After a failover the old server may
// go on as a replica: it accepts PUBLISH, keeps it to itself, and lets a node hear its own probe
// there, so only its run_id tells that it is the wrong one.

// errOtherServer: the address leads to another server than the one that the node is registered with.
var errOtherServer = errors.New("bus: another server than the node is registered with")

// Follow says which server the node is registered with, by its run_id; empty means that it is not, or
// that the server does not say. Connections to another one are closed, and what was subscribed there
// does not count any more once Follow returns.
func (b *Bus) Follow(runID string) {
	b.mu.Lock()
	b.server = runID
	l := b.link
	if l != nil && !b.rightServerLocked(l.c) {
		b.forgetLocked()
	} else {
		l = nil
	}
	b.mu.Unlock()
	if l != nil {
		b.log.Info("bus: following the node to another server")
		l.c.close()
	}
	if c := b.out.current.Load(); c != nil && b.checkServer(c) != nil {
		c.close()
	}
}

// rightServerLocked says whether a connection leads to where the node is registered. b.mu must be held.
func (b *Bus) rightServerLocked(c *conn) bool {
	return b.server == "" || c.runID == "" || c.runID == b.server
}

// checkServer says why a connection is of no use.
func (b *Bus) checkServer(c *conn) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rightServerLocked(c) {
		return nil
	}
	return fmt.Errorf("%w (run_id %s, not %s)", errOtherServer, c.runID, b.server)
}
