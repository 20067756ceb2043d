// Package embedded runs a small Redis inside the process, for a node that was given
// none and for the demo: alicebob/miniredis with what it lacks for being served for
// real. It keeps everything in memory, listens on the loopback interface, runs one
// command at a time and compiles a script at every call, so it is slower
// than Redis by a factor of some twenty; and it ends with the process.
package embedded
