// Package status says what a cluster looks like: the report that programs get
// as JSON, and the page that people look at. It works on snapshots: a [Local]
// has this node's, a [Directory] what Redis knows, and the other nodes answer
// questions about one namespace. It knows neither sockets nor Redis, and holds
// no lock of theirs.
package status
