// Package wire reads and writes what Socket.IO servers say to each other over
// Redis: the payloads of the classic Redis adapter (@socket.io/redis-adapter 8
// with createAdapter, @socket.io/redis-emitter), which is the common tongue of
// the field.
//
// There are two dialects on the same channel names. Node's is the default: a
// broadcast is a msgpack array [uid, packet, opts] whose packet has type 2. Stock Go
// servers (socket.io-go-redis) write a map {uid, packet, opts} whose packet has
// type 50. Each breaks the other: a map makes a Node server exit, and a type 2 makes a
// Go server send its clients what cuts them off. So what is written is chosen by
// [Dialect], and what is read may be either.
//
// Nothing that this package encodes as [Node] makes a Node server exit or
// disconnects its clients: no packet type but 2, options always there,
// binary data as msgpack bin, valid UTF-8 only, nesting bounded by [MaxDepth] (Node
// packs and unpacks recursively), no server-side event that crashes an
// EventEmitter ([ErrReservedEvent]).
//
// The arguments of events pass between JSON text, which is how clients send them, and
// msgpack without becoming Go values in between.
//
// Decoding takes every form that Node's adapter takes, those of its older versions
// (msgpack extension type 0) and those of stock Go; anything else is an error, a
// [*SyntaxError] as a rule. Memory is bounded by the size of the payload and the
// limit that the caller gives. No input makes a function of this package panic.
//
// The package does no input or output and keeps no state. All functions may be
// called from any goroutine.
package wire
