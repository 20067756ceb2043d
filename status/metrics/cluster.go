package metrics

import (
	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/cluster/bus"
)

var memberMetrics = []*metric{
	gauge("registered", "1 while the node is registered in Redis and not about to be evicted, else 0.",
		oneIf(func(s *Snapshot) bool { return s.Member.Registered })),
	gauge("heartbeat_age_seconds", "Seconds since the last heartbeat that Redis took was sent.",
		one(func(s *Snapshot) float64 { return s.Member.HeartbeatAge.Seconds() })),
	counter("registrations_total", "Times that the node registered in Redis: more than one means that it lost touch.",
		one(func(s *Snapshot) int64 { return s.Member.Registrations })),
	counter("epochs_adopted_total", "Namespaces that went on under another epoch after Redis had been away.",
		one(func(s *Snapshot) int64 { return s.Member.Adopted })),
	gauge("lease_held", "1 while this node holds the lease and so decides for the cluster, else 0.",
		oneIf(func(s *Snapshot) bool { return s.Member.LeaseToken != 0 })),
	gauge("lease_token", "Fencing token of the lease that this node holds; 0 while it holds none.",
		one(func(s *Snapshot) uint64 { return s.Member.LeaseToken })),
	counter("retirements_decided_total", "Namespaces whose retirement everywhere this node decided, as the holder of the lease.",
		one(func(s *Snapshot) int64 { return s.Member.Decided })),
	counter("evictions_total", "Silent nodes that this node evicted, as the holder of the lease.",
		one(func(s *Snapshot) int64 { return s.Member.Evicted })),
	counter("redis_errors_total", "Calls to Redis that failed or had no answer, by operation.", func(s *Snapshot, out send) {
		each(s.Unanswered, out)
		out(float64(s.Bus.PublishErrors), "publish")
		out(float64(s.Bus.SubscribeErrors), "subscribe")
	}).by("operation", append(cluster.Commands(), "publish", "subscribe")...),
}

var busMetrics = []*metric{
	gauge("bus_connected", "1 while the node is subscribed to all it wants to hear on the bus, else 0.",
		oneIf(func(s *Snapshot) bool { return s.Connected })),
	gauge("bus_probe_age_seconds", "Seconds since the node last heard the message that it sends itself over Redis every second.",
		one(func(s *Snapshot) float64 { return s.Bus.ProbeAge.Seconds() })),
	gauge("bus_probe_latency_seconds", "Seconds that the last message to itself took.",
		one(func(s *Snapshot) float64 { return s.Bus.ProbeLatency.Seconds() })),
	counter("bus_received_messages_total", "Messages received over the bus, probes and answers included.",
		one(func(s *Snapshot) uint64 { return s.Bus.MessagesIn })),
	counter("bus_sent_messages_total", "Messages published on the bus, probes and answers included.",
		one(func(s *Snapshot) uint64 { return s.Bus.MessagesOut })),
	counter("bus_received_bytes_total", "Payload bytes received over the bus.", one(func(s *Snapshot) uint64 { return s.Bus.BytesIn })),
	counter("bus_sent_bytes_total", "Payload bytes published on the bus.", one(func(s *Snapshot) uint64 { return s.Bus.BytesOut })),
	counter("bus_delivered_messages_total", "Messages of other nodes that were carried out here.", one(func(s *Snapshot) uint64 { return s.Bus.Delivered })),
	counter("bus_ignored_messages_total", "Messages that were not for this node: its own, and those to rooms that it does not have.",
		one(func(s *Snapshot) uint64 { return s.Bus.Ignored })),
	counter("bus_dropped_messages_total", "Messages that were lost or refused, by reason.", func(s *Snapshot, out send) {
		each(s.Bus.Dropped, out)
	}).by("reason", bus.DropReasons()...),
	gauge("bus_queue_bytes", "Bytes that wait to be published.", one(func(s *Snapshot) int { return s.Bus.Queue })),
	gauge("bus_backlog_bytes", "Bytes that were received over the bus and wait to be carried out.", one(func(s *Snapshot) int { return s.Bus.Backlog })),
	gauge("bus_subscriptions", "Redis channels that the node is subscribed to.", one(func(s *Snapshot) int { return s.Bus.Subscriptions })),
	gauge("bus_namespaces", "Namespaces whose channels the node wants to hear.", one(func(s *Snapshot) int { return s.Bus.Namespaces })),
	counter("bus_subscribe_batches_total", "Batches of SUBSCRIBE and UNSUBSCRIBE that were sent.", one(func(s *Snapshot) uint64 { return s.Bus.SubscribeCommands })),
	counter("bus_reconnects_total", "Times that everything was subscribed again, on a new connection.", one(func(s *Snapshot) uint64 { return s.Bus.Reconnects })),
	counter("bus_timeouts_total", "Connections of the bus that were given up because Redis was silent.", one(func(s *Snapshot) uint64 { return s.Bus.Timeouts })),
	counter("bus_questions_total", "Questions to the other nodes.", one(func(s *Snapshot) uint64 { return s.Bus.Asked })),
	counter("bus_questions_unanswered_total", "Questions that not every node answered in time.", one(func(s *Snapshot) uint64 { return s.Bus.Unanswered })),
}
