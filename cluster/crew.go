package cluster

import "sync"

// maxCallbacks is how many callbacks of retirements run at a time on a node. A hundred thousand namespaces may
// retire in the same second, and each callback may take as long as it likes.
const maxCallbacks = 256

// crew runs functions, up to a number at a time, in the order in which they came. The zero value is ready. Its methods
// may be called from any goroutine.
type crew struct {
	working sync.WaitGroup

	mu      sync.Mutex // guards what follows; a leaf
	waiting []func()
	workers int
}

// Go runs f soon. It does not wait.
func (c *crew) Go(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, f)
	if c.workers < maxCallbacks {
		c.workers++
		c.working.Go(c.work)
	}
}

// work runs what waits, until nothing does.
func (c *crew) work() {
	for f := c.next(); f != nil; f = c.next() {
		f()
	}
}

func (c *crew) next() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.waiting = nil
		c.workers--
		return nil
	}
	f := c.waiting[0]
	c.waiting[0] = nil
	c.waiting = c.waiting[1:]
	return f
}

// Wait waits until all functions have returned.
func (c *crew) Wait() { c.working.Wait() }
