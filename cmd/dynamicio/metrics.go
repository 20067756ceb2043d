package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
	"github.com/dynamicio/dynamicio/status/metrics"
)

// programMetrics are what the program counts beside its node, as the reference shows it.
var programMetrics = []metrics.Desc{
	{
		Name: "dynamicio_rule_refusals_total", Type: "counter", Labels: []string{"reason"},
		Help:   "CONNECTs and events of clients that the rules refused, or the program where there are none, by reason.",
		Values: map[string][]string{"reason": rules.Refusals()},
	},
	{
		Name: "dynamicio_config_reloads_total", Type: "counter", Labels: []string{"result"},
		Help:   "Reloads of the configuration file since the start; a failure changed nothing. Only with --config.",
		Values: map[string][]string{"result": {"failure", "success"}},
	},
	{
		Name: "dynamicio_config_last_reload_successful", Type: "gauge",
		Help: "0 from a reload of the configuration file that failed to the next that does not, else 1. Only with --config.",
	},
	{
		Name: "dynamicio_config_last_success_timestamp_seconds", Type: "gauge",
		Help: "When the configuration in force was read, as Unix time. Only with --config.",
	},
}

// programCollector collects them.
type programCollector struct {
	guard   *rules.Guard
	reloads *reloadCounts // nil: there is no file
	descs   []*prometheus.Desc
}

func newProgramCollector(guard *rules.Guard, reloads *reloadCounts) *programCollector {
	c := &programCollector{guard: guard, reloads: reloads}
	for _, d := range programMetrics {
		c.descs = append(c.descs, prometheus.NewDesc(d.Name, d.Help, d.Labels, nil))
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *programCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *programCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(i int, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.descs[i], kind, v, labels...)
	}
	for reason, n := range c.guard.Refused() {
		send(0, prometheus.CounterValue, float64(n), reason)
	}
	if c.reloads == nil {
		return
	}
	send(1, prometheus.CounterValue, float64(c.reloads.succeeded.Load()), "success")
	send(1, prometheus.CounterValue, float64(c.reloads.failed.Load()), "failure")
	ok := 1.0
	if c.reloads.lastFailed.Load() {
		ok = 0
	}
	send(2, prometheus.GaugeValue, ok)
	send(3, prometheus.GaugeValue, float64(c.reloads.last.Load())/float64(time.Second))
}
