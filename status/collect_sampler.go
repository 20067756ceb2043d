package status

import (
	"slices"
	"sync"
	"time"
)

// SampleEvery is how often a [Sampler] looks.
const SampleEvery = 5 * time.Second

// Sample is what a node has counted since it started, and the sockets that it
// has now.
type Sample struct {
	Sockets, Events, Deliveries int64
}

// Sampler keeps what a node did in the last five minutes, and how fast. It
// owns one goroutine, from Start to Close. Its other methods may be called
// from any goroutine, before Start too.
type Sampler struct {
	read   func() Sample
	ending sync.Once
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed by the goroutine on its way out; nil before Start

	// mu guards the rest. It is a leaf.
	mu                 sync.Mutex
	trend              Trend
	text               string
	events, deliveries float64 // a second, in the last step
}

// NewSampler returns a sampler of what read says. read is called every five
// seconds and waits for nothing.
func NewSampler(read func() Sample) *Sampler {
	return &Sampler{read: read, stop: make(chan struct{}), trend: Trend{StepMS: SampleEvery.Milliseconds()}}
}

// Start begins to look. It is called once, and not together with Close.
func (s *Sampler) Start() {
	s.done = make(chan struct{})
	go s.run()
}

// Close ends the goroutine and waits for it. What was sampled stays.
func (s *Sampler) Close() {
	s.ending.Do(func() { close(s.stop) })
	if s.done != nil {
		<-s.done
	}
}

func (s *Sampler) run() {
	defer close(s.done)
	tick := time.NewTicker(SampleEvery)
	defer tick.Stop()
	last, at := s.read(), time.Now()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		now := s.read()
		// By the clock, not by the step: the process may have stood still.
		seconds := time.Since(at).Seconds()
		at = time.Now()
		s.add(now.Sockets, float64(now.Events-last.Events)/seconds, float64(now.Deliveries-last.Deliveries)/seconds)
		last = now
	}
}

func (s *Sampler) add(sockets int64, events, deliveries float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.deliveries = events, deliveries
	s.trend.add(sockets, events, deliveries)
	s.text = s.trend.Text()
}

// Rates are the events received and the deliveries, a second, of the last step.
func (s *Sampler) Rates() (events, deliveries float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events, s.deliveries
}

// Text is the trend for [ParseTrend]; empty before the first sample.
func (s *Sampler) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

// Trend returns a copy, nil before the first sample.
func (s *Sampler) Trend() *Trend {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == "" {
		return nil
	}
	t := s.trend
	t.Sockets, t.Events, t.Deliveries = slices.Clone(t.Sockets), slices.Clone(t.Events), slices.Clone(t.Deliveries)
	return &t
}
