// Package packet reads and writes the packets of the Socket.IO protocol,
// version 5, and version 4 as the clients of Socket.IO 2 speak it over Engine.IO 3.
//
// A packet is one text message of the transport, followed by the binary
// attachments that the text announces:
//
//	type [attachments "-"] [namespace ","] [id] [JSON]
//
//	2["chat","hi"]                                  an event of the main namespace
//	2/admin,12["chat","hi"]                         in /admin, to be acknowledged as 12
//	51-["file",{"_placeholder":true,"num":0}]       an event and one attachment
//
// The other form is that of socket.io-msgpack-parser 3: one binary message, a msgpack
// map of type, nsp, data and id, with binary data where it belongs. A [Decoder] tells by
// the first message of a connection which one its client speaks, and [Msgpack] makes
// the one of the other. What reads or makes packets knows the text form only.
//
// The Engine.IO packet type ("4" before each of these on the wire) belongs to
// the transport; this package neither expects nor writes it. It does no input
// or output and starts no goroutine.
//
// [Decoder] is as strict as the parser of the JavaScript implementation
// (socket.io-parser 4.2.7) and stricter where that one lets something through
// by accident; its documentation lists the differences. Nothing that a peer
// sends makes a function of this package panic.
//
// Arguments stay JSON text until somebody wants them: [Args] knows where each
// begins and ends, [Raw.Bind] decodes one into a Go value, and [EncodeArgs]
// passes them on undecoded. Go values are encoded by [Encode]: as encoding/json
// would, except that a []byte, at any depth, becomes a binary attachment, and
// that <, > and & stay as they are.
//
// The protocol is described at https://github.com/socketio/socket.io-protocol.
package packet
