// Package lease lets one of several processes do what only one may do, under
// a lease kept in Redis.
//
// # Usage
//
// A candidate campaigns; whoever is granted the lease works under its context
// and sends its token with every write:
//
//	l, err := lease.New(client, lease.Options{Key: "jobs:lease", Holder: hostname})
//	held, err := l.Campaign(ctx)         // waits for its turn
//	work(held.Context(), held.Token())   // the context ends when the lease is lost
//	err = held.Release(ctx)              // hands over at once
//
// # Promises
//
// No two holders trust their leases at the same time, each by its own
// monotonic clock, as long as Redis keeps its data and clocks run at the same
// rate within one part in a hundred. A holder counts the lease from the moment
// the granting call went out, so from before Redis began to count, and gives
// up a hundredth of it early; a renewal that hangs does not delay that. A holder
// that was stopped (SIGSTOP, a long collection, a starved machine) finds on waking that
// [Held.Check] fails, before any timer has had its turn.
//
// Every grant has a higher token than all grants before it. A token is a hybrid
// clock, the larger of the last token plus one and Redis's time in
// microseconds, so it goes on growing after FLUSHALL or a restart with an old
// dump, when a plain counter would start over.
//
// Release wakes the waiting candidates through a Redis channel.
//
// # What is not promised
//
// Redis replicates without waiting. A failover can undo a grant, and then two
// processes hold the lease for up to a TTL; FLUSHALL and an operator's DEL do
// the same. If moreover the clock of the new master is behind, the same token
// can be granted twice. Therefore the writes made under a lease must be checked
// against its token where they take effect (the script of a write compares the
// token with the key, see [Options]), and whatever that lets through in a
// failover must be harmless when done twice. This is Martin Kleppmann's argument
// ("How to do distributed locking", 2016): a lease alone excludes nobody, since
// its holder can be paused between looking at the clock and acting on it.
//
// The monotonic clock of most systems stands still while a machine is
// suspended or a virtual machine is moved; such a holder does not know by
// itself that time has gone by. Its token does not help it any more either.
//
// A call without an answer may still take effect later. A grant which nobody
// knows about then stands for at most one TTL.
//
// # Concurrency
//
// All methods may be called from any goroutine. A [Held] owns one goroutine,
// which ends with its context; a [Lease] owns none.
package lease
