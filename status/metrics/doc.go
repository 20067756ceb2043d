// Package metrics shows what a node does to Prometheus.
//
// # What it decides
//
// The names, types, labels and help texts of all metrics of dynamicio, which
// [Describe] lists without a running node. Counters and gauges are read when
// Prometheus asks, from a [Snapshot] of what the node counts anyway: between two
// scrapes they cost nothing. Durations cannot be read afterwards; a [Recorder] puts
// them into histograms as they happen, off the path of an event from client to
// client. Those of event handlers package namespace counts itself, at the cost of a
// look at the clock for each event.
//
// No label holds what a client has chosen: the number of series does not depend
// on how many namespaces, rooms or clients there are, nor on what they are called.
// The names of the node and of its cluster are labels of dynamicio_node_info alone,
// with which others can be joined.
//
// # What it does not promise
//
// The numbers of one scrape are read one after the other while the node goes on,
// so that two of them may be a moment apart. A namespace is counted by every node
// that has it: the sum over all nodes is not the number of namespaces of the
// cluster, which its status page shows.
//
// All functions and methods may be called from any goroutine.
package metrics
