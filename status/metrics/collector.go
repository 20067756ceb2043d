package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dynamicio/dynamicio/namespace"
)

// Collector makes a collector of one node's metrics, without those of the Go runtime
// and of the process. snapshot is called at each scrape, and must be safe for
// concurrent use; r is nil for a node without a Redis. Two nodes of one process cannot
// share a registry, unless [prometheus.WrapRegistererWith] tells them apart.
func Collector(snapshot func() *Snapshot, r *Recorder) prometheus.Collector {
	return &collector{snapshot, r}
}

type collector struct {
	snapshot func() *Snapshot
	recorder *Recorder
}

// shown says whether the node has the metric.
func (c *collector) shown(m *metric) bool { return c.recorder != nil || !m.Cluster }

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range table {
		if c.shown(m) {
			ch <- m.desc
		}
	}
	if c.recorder != nil {
		for _, h := range c.recorder.collectors() {
			h.Describe(ch)
		}
	}
}

// Collect implements [prometheus.Collector]. What cannot be read is reported as
// an error, and costs nothing else.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	if c.recorder != nil {
		for _, h := range c.recorder.collectors() {
			h.Collect(ch)
		}
	}
	s, err := guarded(c.snapshot)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(table[0].desc, err)
		return
	}
	for _, m := range table {
		if c.shown(m) {
			m.collect(s, ch)
		}
	}
}

// sample makes the one sample of a histogram.
func (m *metric) sample(d namespace.Durations) (prometheus.Metric, error) {
	below, count := make(map[float64]uint64, len(namespace.DurationBounds)), uint64(0)
	for i, n := range d.Counts {
		count += uint64(n)
		if i < len(namespace.DurationBounds) {
			below[namespace.DurationBounds[i].Seconds()] = count
		}
	}
	return prometheus.NewConstHistogram(m.desc, count, d.Sum.Seconds(), below)
}

// collect sends the samples of one metric.
func (m *metric) collect(s *Snapshot, ch chan<- prometheus.Metric) {
	kind := prometheus.GaugeValue
	if m.Type == typeCounter {
		kind = prometheus.CounterValue
	}
	_, err := guarded(func() struct{} {
		if m.histogram != nil {
			sample, err := m.sample(m.histogram(s))
			if err != nil {
				sample = prometheus.NewInvalidMetric(m.desc, err)
			}
			ch <- sample
			return struct{}{}
		}
		m.read(s, func(v float64, labels ...string) {
			sample, err := prometheus.NewConstMetric(m.desc, kind, v, labels...)
			if err != nil {
				sample = prometheus.NewInvalidMetric(m.desc, err)
			}
			ch <- sample
		})
		return struct{}{}
	})
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.desc, err)
	}
}

// guarded makes an error of a panic: collectors run in goroutines of the registry,
// where it would end the program.
func guarded[T any](f func() T) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("metrics: panic: %v", p)
		}
	}()
	return f(), nil
}
