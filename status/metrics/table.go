package metrics

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dynamicio/dynamicio/namespace"
)

// Desc describes one metric, for a reference document.
type Desc struct {
	Name   string
	Type   string   // "counter", "gauge" or "histogram"
	Labels []string // in the order in which they are shown; nil: none
	Help   string
	// Values are those that a label can have, by its name. Labels that describe the
	// program or the node, once each, are not listed.
	Values map[string][]string
	// Cluster: only a node with a Redis has it.
	Cluster bool
}

// prefix begins the names of all metrics.
const prefix = "dynamicio_"

const (
	typeCounter   = "counter"
	typeGauge     = "gauge"
	typeHistogram = "histogram"
)

// send takes one sample, with the values of its labels.
type send func(value float64, labels ...string)

// metric is read from a snapshot.
type metric struct {
	Desc
	read      func(s *Snapshot, out send)
	histogram func(s *Snapshot) namespace.Durations // instead of read, for a histogram
	desc      *prometheus.Desc
}

func counter(name, help string, read func(*Snapshot, send)) *metric {
	return newMetric(typeCounter, name, help, read)
}

func gauge(name, help string, read func(*Snapshot, send)) *metric {
	return newMetric(typeGauge, name, help, read)
}

// durations is a histogram of which the packages keep count.
func durations(name, help string, read func(*Snapshot) namespace.Durations) *metric {
	m := newMetric(typeHistogram, name, help, nil)
	m.histogram = read
	return m
}

func newMetric(kind, name, help string, read func(*Snapshot, send)) *metric {
	return &metric{Desc: Desc{Name: prefix + name, Type: kind, Help: help}, read: read}
}

// by gives the metric a label. values are all that it can have; none: see [Desc].
func (m *metric) by(label string, values ...string) *metric {
	m.Labels = append(m.Labels, label)
	if len(values) > 0 {
		if m.Values == nil {
			m.Values = make(map[string][]string)
		}
		slices.Sort(values)
		m.Values[label] = values
	}
	return m
}

// one reads a metric that has no labels.
func one[T int | int64 | uint64 | float64](read func(*Snapshot) T) func(*Snapshot, send) {
	return func(s *Snapshot, out send) { out(float64(read(s))) }
}

// oneIf reads a metric that is 1 or 0.
func oneIf(read func(*Snapshot) bool) func(*Snapshot, send) {
	return func(s *Snapshot, out send) {
		if read(s) {
			out(1)
		} else {
			out(0)
		}
	}
}

// each sends one sample for each entry, under its key in the form that labels have.
func each[T int64 | uint64](values map[string]T, out send) {
	for key, n := range values {
		out(float64(n), labelValue(key))
	}
}

// table lists all that is read from a snapshot.
var table = prepare(nodeMetrics, transportMetrics, namespaceMetrics, inCluster(memberMetrics), inCluster(busMetrics))

// inCluster marks metrics that only a node with a Redis has.
func inCluster(list []*metric) []*metric {
	for _, m := range list {
		m.Cluster = true
	}
	return list
}

func prepare(groups ...[]*metric) []*metric {
	all := slices.Concat(groups...)
	for _, m := range all {
		m.desc = prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
	}
	return all
}

// Describe lists all metrics of a node, those of the Go runtime and of the process
// excepted, in the order of their names.
func Describe() []Desc {
	var all []Desc
	for _, m := range table {
		all = append(all, m.Desc)
	}
	for _, h := range histograms {
		all = append(all, h.Desc)
	}
	for i := range all {
		all[i].Labels, all[i].Values = slices.Clone(all[i].Labels), maps.Clone(all[i].Values)
	}
	slices.SortFunc(all, func(a, b Desc) int { return strings.Compare(a.Name, b.Name) })
	return all
}
