package engineio

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/dynamicio/dynamicio/namespace/address"
)

// maxAddresses bounds the table of a limiter: about 2 MiB when full.
const maxAddresses = 16384

// limiter allows each remote address a number of handshakes a second.
type limiter struct {
	rate  rate.Limit
	burst int

	// mu guards buckets. It is a leaf.
	mu      sync.Mutex
	buckets map[netip.Addr]*rate.Limiter
}

// newLimiter returns nil, which allows everything, for a negative rate.
func newLimiter(perSecond float64) *limiter {
	if perSecond < 0 {
		return nil
	}
	return &limiter{
		rate:    rate.Limit(perSecond),
		burst:   max(1, int(math.Ceil(perSecond))),
		buckets: make(map[netip.Addr]*rate.Limiter),
	}
}

// allow takes a token for the address of a request, in the form of
// http.Request.RemoteAddr. Addresses that are none share one bucket.
func (l *limiter) allow(remote string, now time.Time) bool {
	if l == nil {
		return true
	}
	key := address.Group(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		if len(l.buckets) >= maxAddresses {
			l.shrinkLocked(now)
		}
		b = rate.NewLimiter(l.rate, l.burst)
		l.buckets[key] = b
	}
	return b.AllowN(now, 1)
}

// shrinkLocked makes room: buckets that are full again say nothing about their
// address and go first. If none is, a quarter goes at random: an attacker with
// that many addresses gets past any table, the table must only stay bounded.
func (l *limiter) shrinkLocked(now time.Time) {
	for key, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.burst) {
			delete(l.buckets, key)
		}
	}
	for key := range l.buckets {
		if len(l.buckets) <= maxAddresses*3/4 {
			return
		}
		delete(l.buckets, key)
	}
}
