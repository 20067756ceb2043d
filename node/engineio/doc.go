// Package engineio is the server side of Engine.IO: it turns HTTP long polling
// and WebSocket into connections that carry text and binary messages, in
// order, with a heartbeat, and lets a client change from the first transport
// to the second without losing a message. It speaks revision 4 of the protocol
// and, behind an option, revision 3 (the one of Socket.IO v2 clients).
//
// It knows nothing of Socket.IO. A [Server] is an http.Handler; its [Accept]
// function gets each new [Conn] and answers with the [Handler] of its messages
// before anything is read from the client, so that no message can arrive too
// early.
//
// # Sending
//
// A message is a [frame.Frame]: immutable, and shared by all its receivers.
// Each wire form of it (a WebSocket frame, compressed or not; a piece of a
// polling body) is made once, however many connections send it. Conn.Send
// queues and never blocks; the Send that finds a WebSocket idle starts its
// writer, which takes everything queued, sends it in one system call and ends
// when the queue is empty. An idle connection therefore costs one goroutine,
// its reader, which holds no buffer while it waits, and one timer.
//
// The queue is bounded by what it takes. A client that does not read is closed
// and counted; it delays neither the sender nor any other client, and holds no
// copy of what others get, too. What its handler keeps for it counts as well, see
// Conn.Reserve.
//
// # Receiving
//
// The messages of one connection are handed over one at a time, in the order
// sent, also across the change of transport. A handler may block: nothing more
// is read from that client meanwhile, and its silence is not held against it, as
// long as it takes the pings that are sent to it.
//
// # What it does not do
//
// JSONP polling, WebTransport, gzip of polling answers, WebSocket over HTTP/2.
//
// All methods of Server and Conn may be called from any goroutine.
//
// Sources: the Engine.IO protocol (github.com/socketio/engine.io-protocol),
// RFC 6455 (WebSocket), RFC 7692 (permessage-deflate). Error bodies and the
// reasons of a close are those of Node's engine.io and socket.io.
package engineio
