// Package client serves the JavaScript client of Socket.IO from the program
// itself, so that a page needs no other server:
//
//	<script src="/socket.io/socket.io.js"></script>
//
// The files are those that the npm package socket.io-client publishes in its
// dist folder, unchanged, and the same eight that Node's Socket.IO server
// serves. They are embedded gzipped: four fifths smaller, and in the form
// nearly every browser asks for. A client that does not take gzip gets them
// decompressed on the way. Their licence is the file LICENSE in this folder.
//
// After a change of version in e2e/package.json, `make client-bundle` writes
// the folder dist, LICENSE and version.go anew; a test in e2e compares them with
// the npm package.
//
// All functions may be called from any goroutine.
package client

//go:generate go run generate.go ../../e2e/node_modules/socket.io-client
