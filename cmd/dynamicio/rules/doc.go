// Package rules decides what clients may do in the namespaces of the program:
// which namespaces there are, what a client presents to get in, which events
// it may send and how many.
//
// A [Set] is what a configuration says, and never changes. A [Guard] applies
// one to the namespaces of a node and can exchange it while clients are
// connected; looking it up takes no lock. Rules bind this node only: all nodes
// of a cluster should be given the same.
//
// Rules are looked at when a client connects and with each of its events. A
// client that is inside and would not be let in any more stays: an expired
// token, a namespace refused since, a lower limit of sockets throw nobody out.
package rules
