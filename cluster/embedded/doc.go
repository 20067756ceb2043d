// Package embedded runs a small Redis inside the process, for a node that was given
// none and for the demo: alicebob/miniredis with what it lacks for being served for
// real. It keeps everything in memory, listens on the loopback interface, runs one
// command at a time and compiles a script at every call, so it is some ten to twenty
// times slower than Redis; and it ends with the process.
//
// What it adds: a run_id, and time that passes. Time passes only when a script is run
// that is given a key ending in ":lease", which is the only kind of key that gets a time
// to live in dynamicio. miniredis could let it pass at every command, but looks at all keys to do so:
// with 3,000 namespaces each join took 4 ms, and the time grew with their number.
package embedded
