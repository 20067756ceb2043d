package bus

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// prober sends the bus messages to itself. Times are nanoseconds since start.
type prober struct {
	channel string
	start   time.Time

	queued    atomic.Bool  // one waits to be published
	published atomic.Int64 // when the newest that Redis took was sent
	heard     atomic.Int64 // when one was last heard; 0 if never
	latency   atomic.Int64 // of the last one, in nanoseconds
}

// probeLoop sends probes, and ends connections that are no good. It is a goroutine of the bus.
func (b *Bus) probeLoop() {
	tick := time.NewTicker(b.opts.ProbeInterval)
	defer tick.Stop()
	for n := 0; ; n++ {
		b.sendProbe()
		if n%announceEvery == 0 {
			b.announce()
		}
		b.watch()
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			return
		}
	}
}

// sendProbe queues a probe if none is.
func (b *Bus) sendProbe() {
	p := &b.probe
	if !p.queued.CompareAndSwap(false, true) {
		return
	}
	sent := int64(time.Since(p.start))
	b.out.push(b, outItem{
		channel: p.channel, payload: strconv.AppendInt([]byte(b.uid+":"), sent, 10),
		done: func(_ int, err error) {
			p.queued.Store(false)
			if err == nil {
				p.published.Store(sent)
			}
		},
	})
}

func (b *Bus) probeHeard(payload []byte) {
	uid, sent, _ := strings.Cut(string(payload), ":")
	at, err := strconv.ParseInt(sent, 10, 64)
	if err != nil || uid != b.uid {
		// Another process under our name, perhaps the one that we replace.
		b.stats.malformed.Add(1)
		return
	}
	now := int64(time.Since(b.probe.start))
	b.probe.heard.Store(now)
	b.probe.latency.Store(now - at)
}

// watch closes both connections when Redis owes one of them something for too long: a reply to what was
// published, or a probe that it took. What one of them is stuck in, the other is likely to be, and if only one moved
// on to another server, nodes would not hear each other.
func (b *Bus) watch() {
	now := time.Since(b.probe.start)
	b.mu.Lock()
	l := b.link
	b.mu.Unlock()
	since := b.out.waiting.Load()
	late := since != 0 && time.Since(time.Unix(0, since)) > b.opts.ReplyTimeout
	deaf := false
	if l != nil {
		heard := max(b.probe.heard.Load(), int64(l.since.Sub(b.probe.start)))
		taken := b.probe.published.Load()
		deaf = taken > heard && now-time.Duration(heard) > b.opts.ReplyTimeout+b.opts.ProbeInterval
	}
	if !late && !deaf {
		return
	}
	b.stats.timeouts.Add(1)
	b.log.Warn("bus: Redis does not answer; connecting again", "publish", late, "subscribe", deaf)
	if c := b.out.current.Load(); c != nil {
		c.close()
	}
	if l != nil {
		l.c.close()
	}
}

// ProbeAge is how long ago the node last heard its own probe; the time since Start if never.
// It is about the probe interval at most while all is well.
func (b *Bus) ProbeAge() time.Duration {
	return time.Since(b.probe.start) - time.Duration(b.probe.heard.Load())
}

// Healthy says whether the node receives what is published: it has heard its own probe within the last
// three intervals. A node can be deaf while its pings of Redis succeed.
func (b *Bus) Healthy() bool {
	return b.probe.heard.Load() != 0 && b.ProbeAge() <= 3*b.opts.ProbeInterval
}
