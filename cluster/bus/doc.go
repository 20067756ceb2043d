// Package bus carries messages between the nodes of a cluster, and between them and
// other Socket.IO servers, by Redis publish/subscribe.
//
// # Channels
//
// The payloads are those of package wire; the channels are those of Node's classic
// adapter. For a namespace that the node has entered, with its full name N:
//
//	PREFIX#N#                 broadcasts
//	PREFIX#N#ROOM#            broadcasts of other servers to one room or socket
//	PREFIX-request#N#         questions and commands
//	PREFIX-response#N#        answers
//	PREFIX-response#N#UID#    answers to this node
//
// and, in the stock Go dialect, PREFIX#N## for our own broadcasts. Questions are heard, and answered, for
// a second after the namespace was left. There is never a
// pattern among the subscriptions: one makes every PUBLISH of the whole Redis
// dearer.
//
// Our nodes publish every broadcast on the channel of the namespace, those to one
// room, too, where Node would use the room's: then all that a node says about a
// namespace stays in one order; a room that sockets were just made to join from afar hears the next
// broadcast although its subscription is still on its way; and each receiver has one copy,
// since every broadcast is on one channel only. A node drops a broadcast to rooms that it does not
// have before it decodes the arguments. Node servers take both forms.
//
// # Connections
//
// A bus has two connections to Redis, however many namespaces there are: one that it
// subscribes with and one that it publishes with. They are its own, made with the
// address, TLS and credentials of the client: go-redis repeats a pipeline that failed
// while it was written, which would publish some messages twice, and resubscribes without telling.
// In a Redis Cluster both go to the master of one slot; its messages pass all servers of the
// cluster, and the order is that of the one connection.
//
// Both lead to the server that the node is registered with, which [Bus.Follow] says: after a failover the old
// server may go on answering, and who stayed there would hear nothing of the others. What Redis owes a
// reply, a confirmation or the probe for longer than Options.ReplyTimeout is broken, and then both connections
// are made anew.
//
// # What is promised
//
// Messages from one node to one namespace are delivered in the order of Publish, each
// at most once: what a connection that was given up brings late is dropped, by the connection's
// number behind the sender's uid. A message published after a wait function of [Bus.Enter] has returned is
// delivered while both connections of both nodes stand. Namespaces do not wait for each other. What is under
// way when a connection breaks may be lost: nothing is published again unless it certainly
// was not, which an answer such as BUSY or LOADING says. While Redis is unavailable, messages are kept, up to a bound,
// and published when it is back and the other nodes are subscribed again (Options.PeerWait at most).
//
// Everything dropped is counted, by reason, in [Stats].
package bus
