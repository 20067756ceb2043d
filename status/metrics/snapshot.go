package metrics

import (
	"runtime"
	"slices"
	"strings"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/cluster/bus"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node/engineio"
	"github.com/dynamicio/dynamicio/status"
)

// Snapshot is what one scrape shows.
type Snapshot struct {
	Node, Cluster   string // names
	Version, Commit string // of the program
	Draining        bool
	Ready           bool // what /readyz says

	AcceptErrors map[string]int64 // by listener
	Status       status.Stats

	Transport  engineio.Stats
	Namespaces namespace.Stats
	Waiting    Waiting

	// Member and Bus are nil on a node without a Redis.
	Member    *cluster.MemberStats
	Bus       *bus.Stats
	Connected bool // the bus is subscribed
	// Unanswered counts calls to Redis that had no answer, by the name of the command.
	Unanswered map[string]uint64
}

// Waiting is what waits in the queues of the node's clients.
type Waiting struct {
	Packets, Bytes int // to be sent
	MostBytes      int // to be sent to one client
	Clients        int // that have something to be sent
	HeldBytes      int // kept for connections, apart from what is to be sent
	MostHeldBytes  int // kept for one connection, with what is to be sent

	Events, EventBytes int // that wait for their handlers
}

var nodeMetrics = []*metric{
	gauge("build_info", "Always 1; the labels say which program runs.", func(s *Snapshot, out send) {
		out(1, s.Version, s.Commit, runtime.Version())
	}).by("version").by("commit").by("goversion"),
	gauge("node_info", "Always 1; the labels name the node and its cluster.", func(s *Snapshot, out send) {
		out(1, s.Cluster, s.Node)
	}).by("cluster").by("node"),
	gauge("ready", "1 while /readyz answers 200, else 0.", oneIf(func(s *Snapshot) bool { return s.Ready })),
	gauge("draining", "1 while the node takes no new connections because it is about to stop, else 0.",
		oneIf(func(s *Snapshot) bool { return s.Draining })),
	counter("accept_errors_total", "Connections that could not be accepted, mostly for want of file descriptors, by listener. The node is not ready meanwhile.",
		func(s *Snapshot, out send) { each(s.AcceptErrors, out) }).by("listener", "main", "admin"),
	gauge("status_viewers", "Status pages that are kept up to date, by who looks: a visitor, or one who has presented the token.", func(s *Snapshot, out send) {
		out(float64(s.Status.Visitors), "visitor")
		out(float64(s.Status.Signed), "token")
	}).by("kind", "visitor", "token"),
	counter("status_wrong_tokens_total", "Wrong status tokens that were presented.", one(func(s *Snapshot) int64 { return s.Status.WrongTokens })),
	counter("status_throttled_total", "Requests for the status whose token was not looked at, because their address had presented too many wrong ones.",
		one(func(s *Snapshot) int64 { return s.Status.Throttled })),
}

var transportMetrics = []*metric{
	gauge("connections", "Engine.IO connections that are open, by transport.", func(s *Snapshot, out send) {
		out(float64(s.Transport.Polling), engineio.TransportPolling)
		out(float64(s.Transport.WebSocket), engineio.TransportWebSocket)
	}).by("transport", engineio.TransportPolling, engineio.TransportWebSocket),
	counter("handshakes_total", "Engine.IO connections that were opened.", one(func(s *Snapshot) int64 { return s.Transport.Handshakes })),
	counter("upgrades_total", "Connections that changed from polling to WebSocket.", one(func(s *Snapshot) int64 { return s.Transport.Upgrades })),
	counter("requests_refused_total", "HTTP requests to Engine.IO that were refused, by reason.", func(s *Snapshot, out send) {
		each(s.Transport.Refused, out)
	}).by("reason", labelValues(engineio.RefuseReasons())...),
	counter("received_messages_total", "Engine.IO messages received from clients; an attachment is one of its own.",
		one(func(s *Snapshot) int64 { return s.Transport.MessagesIn })),
	counter("sent_messages_total", "Engine.IO messages written to clients; an attachment is one of its own.",
		one(func(s *Snapshot) int64 { return s.Transport.MessagesOut })),
	counter("received_bytes_total", "Payload bytes received from clients.", one(func(s *Snapshot) int64 { return s.Transport.BytesIn })),
	counter("sent_bytes_total", "Bytes written to clients, framing included, HTTP headers excluded.",
		one(func(s *Snapshot) int64 { return s.Transport.BytesOut })),
	counter("slow_clients_closed_total", "Clients that were closed because they fell behind by more than a client's queue may hold.",
		one(func(s *Snapshot) int64 { return s.Transport.SlowClosed })),
	counter("flooding_clients_closed_total", "Clients that were closed because they sent more pings, pongs and nearly empty fragments than a client may.",
		one(func(s *Snapshot) int64 { return s.Transport.FloodClosed })),
	counter("volatile_dropped_total", "Volatile events that were dropped because the client could not take them at once.",
		one(func(s *Snapshot) int64 { return s.Transport.VolatileDropped })),
	gauge("send_queue_bytes", "Bytes that wait to be sent to clients, with an allowance of 240 bytes a message.",
		one(func(s *Snapshot) int { return s.Waiting.Bytes })),
	gauge("send_queue_max_bytes", "Bytes that wait to be sent to the client that has the most of them.",
		one(func(s *Snapshot) int { return s.Waiting.MostBytes })),
	gauge("send_queue_packets", "Packets that wait to be sent to clients, without those that are being written; an event with its attachments is one.",
		one(func(s *Snapshot) int { return s.Waiting.Packets })),
	gauge("connection_held_bytes", "Bytes kept for connections apart from what waits to be sent: request headers, data of CONNECTs, events that wait for handlers, incomplete packets.",
		one(func(s *Snapshot) int { return s.Waiting.HeldBytes })),
	gauge("connection_held_max_bytes", "Bytes kept for the connection that has the most of them, with what waits to be sent to it.",
		one(func(s *Snapshot) int { return s.Waiting.MostHeldBytes })),
	counter("connection_budget_refused_total", "Times that a connection held as much as it may and something more was refused or had to wait.",
		one(func(s *Snapshot) int64 { return s.Transport.BudgetRefused })),
	gauge("send_queue_clients", "Clients for which something waits to be sent.", one(func(s *Snapshot) int { return s.Waiting.Clients })),
}

var namespaceMetrics = []*metric{
	gauge("sockets", "Socket.IO sockets: a client has one in each namespace that it is in.", one(func(s *Snapshot) int64 { return s.Namespaces.Sockets })),
	gauge("namespaces", "Namespaces that live on this node, permanent ones included, by whether they have a socket here: occupied or empty.", func(s *Snapshot, out send) {
		out(float64(s.Namespaces.Occupied), "occupied")
		out(float64(s.Namespaces.Namespaces-s.Namespaces.Occupied), "empty")
	}).by("state", "occupied", "empty"),
	counter("namespaces_created_total", "Namespaces that came to life on this node, those included that their setup then refused.",
		one(func(s *Snapshot) int64 { return s.Namespaces.NamespacesCreated })),
	counter("namespaces_retired_total", "Namespaces that were retired and so went from this node.",
		one(func(s *Snapshot) int64 { return s.Namespaces.NamespacesRetired })),
	counter("connects_total", "Sockets that were let into a namespace.", one(func(s *Snapshot) int64 { return s.Namespaces.Connects })),
	counter("disconnects_total", "Sockets that have left a namespace, by reason.", func(s *Snapshot, out send) {
		each(s.Namespaces.DisconnectsBy, out)
	}).by("reason", labelValues(namespace.DisconnectReasons())...),
	counter("connects_refused_total", "CONNECT packets of clients that were refused, by reason.", func(s *Snapshot, out send) {
		each(s.Namespaces.Refused, out)
	}).by("reason", labelValues(namespace.RefuseReasons())...),
	counter("received_events_total", "Events of clients that were passed to their handlers.", one(func(s *Snapshot) int64 { return s.Namespaces.EventsIn })),
	counter("events_throttled_total", "Pauses in reading connections that sent more events than a connection may a second.",
		one(func(s *Snapshot) int64 { return s.Namespaces.Throttled })),
	durations("handler_duration_seconds", "How long the handlers of an event from a client took, all of them together; what they wait for counts.",
		func(s *Snapshot) namespace.Durations { return s.Namespaces.Handlers }),
	counter("connection_overruns_total", "Connections that were closed because more would have been held for them than they may have: events behind a handler that waits for their client, or attachments of an incomplete event.",
		one(func(s *Snapshot) int64 { return s.Namespaces.Overruns })),
	counter("incomplete_packets_total", "Connections that were closed because the attachments of an event did not come in time.",
		one(func(s *Snapshot) int64 { return s.Namespaces.Incomplete })),
	counter("delivered_events_total", "Events queued for clients of this node: a broadcast counts once for each receiver.",
		one(func(s *Snapshot) int64 { return s.Namespaces.Deliveries })),
	counter("broadcasts_total", "Broadcasts that were passed to this node's clients, those of other nodes included.",
		one(func(s *Snapshot) int64 { return s.Namespaces.Broadcasts })),
	gauge("pending_events", "Events, joins and leaves of clients that wait for the handlers of what came before.",
		one(func(s *Snapshot) int { return s.Waiting.Events })),
	gauge("pending_events_bytes", "Memory that these take, in bytes.", one(func(s *Snapshot) int { return s.Waiting.EventBytes })),
	counter("panics_total", "Panics that were caught, in handlers of the application for the most part; the log has their stacks.",
		one(func(s *Snapshot) int64 { return s.Namespaces.Panics + s.Transport.Panics })),
}

// labelValue is a reason as the packages name it, in the form that labels have.
func labelValue(reason string) string { return strings.ReplaceAll(reason, " ", "_") }

func labelValues(reasons []string) []string {
	all := slices.Clone(reasons)
	for i, reason := range all {
		all[i] = labelValue(reason)
	}
	return all
}
