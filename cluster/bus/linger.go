package bus

import "time"

// lingerTime is how long a node that has left a namespace still answers questions about it. Whoever asks
// has counted the subscribers first, and waits in vain for one that was counted and is gone; and "who
// is left?" is asked above all when somebody has just left.
const lingerTime = time.Second

// lingerOn keeps the questions of a space that is being left. b.mu must be held.
func (b *Bus) lingerOn(sp *space) {
	sp.leftAt = time.Now()
	b.lingering[sp.full] = sp
}

// lingerOff gives them up. A space that follows takes them over in the same step: both would
// answer otherwise. b.mu must be held.
func (b *Bus) lingerOff(sp *space) {
	delete(b.lingering, sp.full)
	b.release(sp.request, sp)
}

// linger gives up what was kept long enough. It is a goroutine of the bus.
func (b *Bus) linger() {
	tick := time.NewTicker(lingerTime / 4)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		}
		b.mu.Lock()
		for _, sp := range b.lingering {
			if time.Since(sp.leftAt) >= lingerTime {
				b.lingerOff(sp)
			}
		}
		b.mu.Unlock()
	}
}
