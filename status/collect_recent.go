package status

import (
	"strings"
	"sync"
	"time"
)

// recentKept is how many retirements a node remembers: more than it lists, so
// that a host finds its own among those of others.
const recentKept = 200

// Recent remembers the retirements that a node has heard of last. The zero
// value is empty; its methods may be called from any goroutine.
type Recent struct {
	mu   sync.Mutex // guards the rest; a leaf
	ring [recentKept]Retired
	next int // where the next one goes
}

// Add notes a retirement, as of now.
func (r *Recent) Add(fullName string, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.next] = Retired{FullName: fullName, Epoch: epoch, Time: time.Now()}
	r.next = (r.next + 1) % recentKept
}

// list returns the last count of those whose full name begins with prefix, the
// latest first.
func (r *Recent) list(prefix string, count int) []Retired {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []Retired{}
	for i := range recentKept {
		one := r.ring[(r.next-1-i+2*recentKept)%recentKept]
		if one.Epoch == 0 || len(out) == count {
			break
		}
		if strings.HasPrefix(one.FullName, prefix) {
			out = append(out, one)
		}
	}
	return out
}
