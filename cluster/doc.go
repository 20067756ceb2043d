// Package cluster keeps, in Redis, what the nodes of a cluster must agree on:
// which namespaces there are, which nodes have sockets in them, and when an empty
// one is retired everywhere.
//
// # The directory
//
// A [Directory] is one node's access to it. [Directory.Register] begins a
// [Session], over one connection of its own; every command of the node goes over it, in order,
// and carries the session's number. Redis refuses it ([ErrFenced]) when that session
// does not stand any more. So a command that is left over from a broken connection can do
// nothing late, and a server that came back with an old dump is never spoken to
// before it was registered with. Any error but lease.ErrLost ends the session: the node
// registers anew and asserts what it has.
//
// What Redis keeps is grouped into eras, one for each life of its data: a server
// with another run_id (restarted, failed over to), or without a record (flushed), begins
// one at the next registration. Everything of an older era counts as absent. A new era is settled when
// a node TTL has gone by; until then, and while any session has not said that it is
// done asserting, nothing is retired.
//
// Epochs (of incarnations), sessions and eras are hybrid clocks: the larger of the last
// one plus one and Redis's time in microseconds. They grow through restarts,
// failovers and flushes.
//
// # Who may do what
//
// A process registers under a node id. While another process lives that is registered under the same,
// the newcomer is refused ([TakenError]) and tries again, so it takes the place of one that was killed after
// a node TTL.
//
// Every node may join, leave, assert and count. The holder of the lease (package
// lease) also retires, evicts and sweeps; the scripts check its token. All scripts look at a bounded
// number of namespaces in a call, so that none holds Redis up for long.
//
// The scripts are in lua/, one file each, with their contracts. They touch one
// hash slot: every key carries the tag {<cluster>}. Redis 6.2 or later, or Valkey.
//
// # Rights in Redis
//
// A [Cluster] needs a Redis user like this one, and no more; another prefix of the
// bus takes the place of socket.io. What is written here fits every cluster that has its own
// prefix by default, since those begin with socket.io, too:
//
//	ACL SETUSER NODE on >PASSWORD -@all resetkeys resetchannels
//	  ~dynamicio:* &dynamicio:* &socket.io*
//	  +@string +@hash +@set +@sortedset +del +unlink +exists +rename +pexpire +pttl
//	  +eval +evalsha +script|load +time +info
//	  +publish +subscribe +unsubscribe +pubsub|numsub +ping
//	  +client|setname
//
// The last line may be missing: it names the connections in CLIENT LIST. In a Redis
// Cluster the user needs, on every server,
//
//	+cluster|slots +command
//
// besides.
//
// # What is not promised
//
// Redis replicates without waiting: a failover can lose the last writes, and then the
// nodes assert again, as after a restart. An older master that was cut off may still answer a
// node for a while; what it says there counts for nothing once the node registers with the new one.
// Moving the cluster's hash slot to another server begins an era.
package cluster
