package namespace

import (
	"context"
	"sync"
	"time"
)

// Solo is the [Cluster] of a single node: it keeps the time of empty
// namespaces in memory and retires them by timers of this process.
type Solo struct {
	local Local

	// mu guards the rest. Nobody is called while it is held.
	mu     sync.Mutex
	last   uint64 // the newest epoch given out
	live   map[string]*soloRecord
	closed bool
	firing sync.WaitGroup
}

// soloRecord is what Redis would hold of a namespace. due is nil while it is
// occupied, or empty with no end.
type soloRecord struct {
	epoch   uint64
	due     *time.Timer
	emptied time.Time // zero while occupied
}

// NewSolo returns the directory of a node that is alone.
func NewSolo() *Solo { return &Solo{live: make(map[string]*soloRecord)} }

// Start implements [Cluster].
func (c *Solo) Start(l Local) { c.local = l }

// Close stops all countdowns and waits for retirements under way. Nothing is
// retired afterwards.
func (c *Solo) Close() {
	c.stop()
	c.firing.Wait()
}

// stop is Close without the wait.
func (c *Solo) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, rec := range c.live {
		rec.stop(&c.firing)
	}
}

// stop ends a countdown; one that is already firing finds out by itself.
func (rec *soloRecord) stop(firing *sync.WaitGroup) {
	if rec.due != nil && rec.due.Stop() {
		firing.Done()
	}
	rec.due = nil
}

// Join implements [Cluster]: an incarnation that stands goes on, a countdown
// is over; otherwise a new one begins.
func (c *Solo) Join(fullName string, _ time.Duration) func(context.Context) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rec := c.live[fullName]
	if rec == nil {
		// An epoch is at least the time in microseconds, as in the cluster, so
		// that it grows across restarts of the process.
		c.last = max(c.last+1, uint64(time.Now().UnixMicro()))
		rec = &soloRecord{epoch: c.last}
		c.live[fullName] = rec
	}
	rec.stop(&c.firing)
	rec.emptied = time.Time{}
	epoch := rec.epoch
	return func(context.Context) (uint64, error) { return epoch, nil }
}

// Epoch implements [Cluster].
func (c *Solo) Epoch(fullName string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rec := c.live[fullName]; rec != nil {
		return rec.epoch
	}
	return 0
}

// Admit implements [Cluster]: there is nobody to lose touch with.
func (c *Solo) Admit() error { return nil }

// Leave implements [Cluster]: the countdown begins.
func (c *Solo) Leave(fullName string, epoch uint64, retirement time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rec := c.live[fullName]; rec != nil && rec.epoch == epoch {
		rec.emptied = time.Now()
		c.countLocked(fullName, rec, retirement)
	}
}

// SetRetirement implements [Cluster]: a countdown goes on with another end.
func (c *Solo) SetRetirement(fullName string, epoch uint64, retirement time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rec := c.live[fullName]; rec != nil && rec.epoch == epoch && !rec.emptied.IsZero() {
		c.countLocked(fullName, rec, retirement)
	}
}

// Dismiss implements [Cluster]: a countdown ends now.
func (c *Solo) Dismiss(_ context.Context, fullName string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	rec := c.live[fullName]
	switch {
	case rec == nil || c.closed:
		return ErrUnknown
	case rec.emptied.IsZero():
		return ErrOccupied
	case rec.due == nil:
		return ErrPermanent
	}
	c.countLocked(fullName, rec, 0)
	return nil
}

// countLocked lets an empty namespace retire when it has been empty for the
// retirement time, in place of any countdown before. c.mu must be held.
func (c *Solo) countLocked(fullName string, rec *soloRecord, retirement time.Duration) {
	rec.stop(&c.firing)
	if c.closed || retirement == Never {
		return
	}
	c.firing.Add(1)
	var due *time.Timer
	due = time.AfterFunc(time.Until(rec.emptied.Add(retirement)), func() {
		defer c.firing.Done()
		c.retire(fullName, rec, &due)
	})
	rec.due = due
}

// retire ends the incarnation, unless the countdown was called off while its
// timer was already firing. due is read under mu: the timer can fire before
// countLocked has stored it.
func (c *Solo) retire(fullName string, rec *soloRecord, due **time.Timer) {
	c.mu.Lock()
	stands := !c.closed && c.live[fullName] == rec && rec.due != nil && rec.due == *due
	if stands {
		delete(c.live, fullName)
	}
	c.mu.Unlock()
	if stands {
		c.local.Retire(fullName, rec.epoch)
		c.local.Retired(fullName, rec.epoch)
	}
}

// EnterRoom implements [Cluster]; there is nobody to hear from.
func (c *Solo) EnterRoom(string, string) func(context.Context) error {
	return nil
}

// LeaveRoom implements [Cluster].
func (c *Solo) LeaveRoom(string, string) {}

// SocketEntered implements [Cluster].
func (c *Solo) SocketEntered(string, string) {}

// SocketLeft implements [Cluster].
func (c *Solo) SocketLeft(string, string) {}

// Publish implements [Cluster]; there is nobody to tell.
func (c *Solo) Publish(*Message) error { return nil }

// Ask implements [Cluster]; there is nobody to answer.
func (c *Solo) Ask(context.Context, *Message, func(Answer)) error { return nil }
