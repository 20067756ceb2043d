// Package e2e runs the program as its users do: real processes, real Socket.IO
// clients of two generations, raw requests that no client sends.
//
// It has tests only. Each starts the servers that it needs on free ports of
// 127.0.0.1 and drives them with a Node.js script of this folder; each case of
// a script is a subtest. The binaries are built by the tests, with the race detector if the
// tests have it (go test -race), and a report of it fails the test.
//
// The tests of the cluster (cluster_*, faults_*) run nodes of their own program, storm, on a
// redis-server of their own, with a client in Go that knows which incarnation it is
// in; what must hold whatever happens is judged from what all nodes have counted.
//
// The scripts need Node.js 18 or later and the packages of package-lock.json:
// `make deps` installs them, `make test` does so by itself. Without them the
// tests fail; they are never skipped. A script also runs by hand, against any server:
//
//	node v4.mjs --url http://127.0.0.1:8080 --transport polling --only echo
package e2e
