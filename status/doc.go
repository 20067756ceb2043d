// Package status says what a cluster looks like: the report that programs get
// as JSON, and the page that people look at. It works on snapshots and knows
// neither sockets nor Redis.
package status
