// Package msgpack reads and writes MessagePack as Socket.IO uses it, and turns
// JSON text into it and back without Go values in between.
//
// Two wires of Socket.IO carry it: the packets of clients that are built with
// socket.io-msgpack-parser, and what servers say to each other over Redis. Both
// are written and read by one JavaScript library, notepack.io, so its choices are
// those of this package: every value in its shortest form, integers without a sign
// as unsigned, dates as ISO text once they are JSON, undefined as null.
//
// Binary data, which JSON lacks, stands beside the text: [ToJSON] puts a
// placeholder in its place, as the text form of the Socket.IO protocol does, and
// [AppendJSON] the data in place of the placeholder.
//
// Depth and size are bounded by what the caller says. No input makes a function of
// this package panic. It does no input or output and keeps no state; all functions may
// be called from any goroutine.
package msgpack
