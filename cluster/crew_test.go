package cluster

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// However many namespaces retire at once, a bounded number of callbacks runs at a time, and all run.
func TestCrew_Bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crew
		var running, most, done atomic.Int64
		const all = 10 * maxCallbacks
		for range all {
			c.Go(func() {
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Second)
				running.Add(-1)
				done.Add(1)
			})
		}
		synctest.Wait()
		if n := running.Load(); n != maxCallbacks {
			t.Errorf("%d callbacks run at a time, want %d", n, maxCallbacks)
		}
		c.Wait()
		if most.Load() > maxCallbacks || done.Load() != all {
			t.Errorf("%d at a time, %d in all", most.Load(), done.Load())
		}
	})
}
