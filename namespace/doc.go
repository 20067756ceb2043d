// Package namespace is the heart of dynamicio: Socket.IO namespaces that come
// into being when a client asks for them and retire when they have been empty
// long enough, the sockets in them, their rooms, events and acknowledgements.
//
// # What it decides
//
// A [Registry] holds the namespaces that live on this node. A registration
// (an exact full name, everything, or a regular expression) says which names
// clients may bring to life and how such a namespace is set up. Exact beats
// pattern; among patterns the last registered wins; setup runs once for each
// incarnation and may refuse.
//
// # What it needs
//
// It knows nothing of the network and nothing of Redis. A [Conn] is what it
// writes frames to; a [Cluster] is where it announces namespaces, rooms and
// broadcasts, and who decides when a namespace has been empty everywhere for
// long enough. [NewSolo] is the Cluster of one node.
//
// # Order and concurrency
//
// Handlers of one connection run one after the other, in the order in which
// the client sent the events; those of different connections run in parallel.
// They do not run in the goroutine that reads the connection: a handler may
// wait for an acknowledgement of the very client whose event it handles, and a
// slow one does not keep heartbeats from being seen. Reading pauses when too
// many events of a connection wait ([Options.MaxPendingEvents]).
//
// Events that one goroutine emits reach each receiver in the order of the
// calls. All exported methods are safe for concurrent use.
//
// # Lock order
//
// Client.mu, then Registry.mu, then Namespace.mu, then Socket.mu. Each is held
// for a few map operations only; none while user code runs or while anybody
// waits. Conn.Send, and what a Cluster is asked or told without a wait, are called
// under them, and must neither block nor call back.
package namespace
