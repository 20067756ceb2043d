// Package node puts a dynamicio server together: Engine.IO transports, the
// namespaces, virtual hosts, the status page, metrics and health checks, on one
// [http.Handler].
//
// A [Server] is made with [New]. It serves as soon as it gets requests:
// mount it in a program of your own, or let [Server.ListenAndServe] run it
// until its context ends, when it drains: it is not ready any more, takes no new
// connections, ends those it has one after the other (clients reconnect by
// themselves, to another node if there is one), and waits for the handlers.
package node
