package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dynamicio/dynamicio/cluster"
)

// Upper bounds of the buckets, in seconds. A round trip to a Redis nearby takes a
// tenth of a millisecond, and is given up after three seconds.
var buckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// histogram describes durations.
type histogram struct{ Desc }

func (h *histogram) opts() prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: h.Name, Help: h.Help, Buckets: buckets}
}

var (
	joinHistogram    = newHistogram("join_duration_seconds", "How long the first client of a namespace on this node waited for the cluster: for the directory and for the bus.")
	leaveHistogram   = newHistogram("leave_duration_seconds", "How long it took until the cluster knew that the last socket of this node had left a namespace.")
	retireHistogram  = newHistogram("retirement_lateness_seconds", "How long after its time a namespace was retired everywhere, on the node that decided it.")
	publishHistogram = newHistogram("publish_duration_seconds", "How long the oldest message of a batch waited until Redis had taken it; probes are messages too.")
	commandHistogram = newHistogram("redis_command_duration_seconds", "Round trips to Redis for the directory and the lease, by operation; those without an answer included.").by("operation", cluster.Commands())

	// histograms lists them all.
	histograms = []*histogram{joinHistogram, leaveHistogram, retireHistogram, publishHistogram, commandHistogram}
)

func newHistogram(name, help string) *histogram {
	return &histogram{Desc{Name: prefix + name, Type: typeHistogram, Help: help, Cluster: true}}
}

// by gives the histogram a label with these values.
func (h *histogram) by(label string, values []string) *histogram {
	h.Labels, h.Values = []string{label}, map[string][]string{label: values}
	return h
}

// Recorder takes the durations of one node in a cluster. Make it with NewRecorder.
type Recorder struct {
	join, leave, retire, publish prometheus.Histogram
	commands                     *prometheus.HistogramVec
	// Neither map is changed once made.
	command    map[string]prometheus.Observer
	unanswered map[string]*atomic.Uint64
}

// NewRecorder makes a recorder with nothing in it. All its series are there from
// the start, at 0, so that a first error is an increase.
func NewRecorder() *Recorder {
	r := &Recorder{
		join: prometheus.NewHistogram(joinHistogram.opts()), leave: prometheus.NewHistogram(leaveHistogram.opts()),
		retire: prometheus.NewHistogram(retireHistogram.opts()), publish: prometheus.NewHistogram(publishHistogram.opts()),
		commands: prometheus.NewHistogramVec(commandHistogram.opts(), commandHistogram.Labels),
		command:  make(map[string]prometheus.Observer), unanswered: make(map[string]*atomic.Uint64),
	}
	for _, name := range cluster.Commands() {
		r.command[name], r.unanswered[name] = r.commands.WithLabelValues(name), new(atomic.Uint64)
	}
	return r
}

// Observer is what a cluster tells durations to.
func (r *Recorder) Observer() cluster.Observer {
	return cluster.Observer{
		Command: func(name string, took time.Duration, err error) {
			if h := r.command[name]; h != nil {
				h.Observe(took.Seconds())
				if err != nil {
					r.unanswered[name].Add(1)
				}
			}
		},
		Joined:    into(r.join),
		Left:      into(r.leave),
		Retired:   into(r.retire),
		Published: into(r.publish),
	}
}

func into(h prometheus.Histogram) func(time.Duration) {
	return func(d time.Duration) { h.Observe(d.Seconds()) }
}

// Unanswered returns how many commands had no answer, by their names.
func (r *Recorder) Unanswered() map[string]uint64 {
	out := make(map[string]uint64, len(r.unanswered))
	for name, n := range r.unanswered {
		out[name] = n.Load()
	}
	return out
}

// collectors are the histograms.
func (r *Recorder) collectors() []prometheus.Collector {
	return []prometheus.Collector{r.join, r.leave, r.retire, r.publish, r.commands}
}
