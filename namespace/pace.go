package namespace

import "time"

// leastPause is how long reading pauses at least, so that a connection at its
// bound costs a hundred wake-ups a second and not one for each event.
const leastPause = 10 * time.Millisecond

// pace bounds the events of a connection a second. It is used by Receive alone.
// The ordinary event only counts: the clock is looked at twice a burst, so that
// after a silence two of them may come at once.
type pace struct {
	spent  int           // events since the allowance was whole, less what has been given back
	filled time.Duration // when that was last reckoned, since the handshake
}

// throttle takes one event of what the connection may send. Beyond that it
// blocks, so that the connection is not read, until there is more or it is closed.
func (c *Client) throttle() {
	perSecond := c.reg.opts.EventsPerSecond
	burst := max(1, int(perSecond))
	if perSecond < 0 {
		return
	}
	if c.pace.spent == 0 {
		c.pace.filled = time.Since(c.handshake.Time)
	}
	if c.pace.spent < burst {
		c.pace.spent++
		return
	}
	counted := false
	for {
		now := time.Since(c.handshake.Time)
		earned := min(float64(burst), (now-c.pace.filled).Seconds()*perSecond)
		if whole := int(earned); whole > 0 {
			c.pace.spent -= min(c.pace.spent, whole)
			c.pace.filled = now - time.Duration((earned-float64(whole))/perSecond*float64(time.Second))
			c.pace.spent++
			return
		}
		if !counted {
			counted = true
			c.reg.stats.throttled.Add(1)
		}
		if !c.pause(max(leastPause, time.Duration((1-earned)/perSecond*float64(time.Second)))) {
			return
		}
	}
}

// pause waits for d. It reports false, at once, if the connection is closed.
func (c *Client) pause(d time.Duration) bool {
	over := time.NewTimer(d)
	defer over.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.reason == "" {
		c.space = make(chan struct{}) // closed with the connection, and when the queue empties
		space := c.space
		c.mu.Unlock()
		select {
		case <-over.C:
			c.mu.Lock()
			if c.space == space {
				c.space = nil
			}
			return c.reason == ""
		case <-space:
			c.mu.Lock()
		}
	}
	return false
}
