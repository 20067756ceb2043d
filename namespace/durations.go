package namespace

import (
	"sync/atomic"
	"time"
)

// DurationBounds are the upper bounds of the buckets of a [Durations], the last one
// excepted, which has none.
var DurationBounds = [...]time.Duration{
	100 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second, 10 * time.Second,
}

// Durations is a histogram.
type Durations struct {
	Counts [len(DurationBounds) + 1]int64 // in each bucket alone
	Sum    time.Duration
}

// durations is a histogram that is being filled. It takes no lock.
type durations struct {
	counts [len(DurationBounds) + 1]atomic.Int64
	sum    atomic.Int64
}

func (d *durations) add(took time.Duration) {
	i := 0
	for i < len(DurationBounds) && took > DurationBounds[i] {
		i++
	}
	d.counts[i].Add(1)
	d.sum.Add(int64(took))
}

func (d *durations) snapshot() (s Durations) {
	for i := range d.counts {
		s.Counts[i] = d.counts[i].Load()
	}
	s.Sum = time.Duration(d.sum.Load())
	return s
}
