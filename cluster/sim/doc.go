// Package sim runs whole clusters in virtual time and breaks them.
//
// It has tests only. A simulated cluster is made of the real parts: for each node
// a namespace.Registry and a cluster.Cluster (directory, member, lease, bus), over
// a miniredis with the real Lua scripts. What is not real is time, which is that
// of a testing/synctest bubble, the network, which is memory, and the clients'
// transport. Five minutes pass in about a second.
//
// A seed decides a [schedule]: what clients do (connect, leave, join rooms,
// broadcast), and what breaks when: connections cut, stalled or slowed down in one
// direction or both, Redis flushed, stalled, restarted without its data or with
// old data, failed over with the last writes lost, nodes killed, stopped and
// started. An oracle watches every callback and every message, and looks at all nodes
// twice a second; its rules are in oracle_test.go.
//
//	make sim                                           the seeds of every day, as make test runs them
//	make sim SEEDS=2000 SIM="-sim.length 5m"           more, and longer
//	go test ./cluster/sim -run Seeds -sim.seed 4711    one seed, with its trace
//	    -sim.minimise                                  and the shortest schedule that fails, which takes minutes
//
// A seed fixes the schedule, not the order in which goroutines run: a failure that needs a
// certain order may take several runs of the same seed to show again.
package sim
