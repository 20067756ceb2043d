// Package redistest starts Redis servers for tests.
//
// A test gets a process of its own, so that it may flush, stall, kill and
// restart it. A machine without redis-server fails the test: a suite that
// skips what it is for would look green and prove nothing. `make test`
// installs the binary.
package redistest
