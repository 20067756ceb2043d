package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// interop is a node on the public API that obeys commands of a script.
var interop = program("./interop")

// One Redis, two of our nodes and two Node.js servers with the adapter that everybody uses.
func TestInterop_NodeServers(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	runInterop(t, "interop-classic.mjs", redis, map[string]*server{
		"ours":    startProgram(t, interop, "--redis", redis.URL(), "--node-id", "ours"),
		"serve":   startServer(t, "--redis", redis.URL(), "--node-id", "serve"),
		"node":    startNodeServer(t, redis.URL(), "redis"),
		"ioredis": startNodeServer(t, redis.URL(), "ioredis"),
	})
}

// What an emitter says, and virtual hosts: all but the host of the test's own URLs are such.
func TestInterop_EmitterAndHosts(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	const host = `/^127\./`
	runInterop(t, "interop-emitter.mjs", redis, map[string]*server{
		"ours":  startProgram(t, interop, "--redis", redis.URL(), "--node-id", "ours", "--host", host),
		"serve": startServer(t, "--redis", redis.URL(), "--node-id", "serve", "--host", host),
		"node":  startNodeServer(t, redis.URL(), "redis"),
	})
}

// A server with the streams adapter cannot share a prefix with our nodes: they say so, once, and what to do.
// In a cluster of its own a node has its own prefix, and neither minds the other.
func TestInterop_StreamsAdapter(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	streams := func(name string) *server {
		return startProgram(t, nodeJS, "interop-node.mjs", "--redis", redis.URL(), "--name", name, "--adapter", "streams")
	}
	serve := startServer(t, "--redis", redis.URL(), "--node-id", "serve", "--public-status")
	apart := startServer(t, "--redis", redis.URL(), "--node-id", "apart", "--cluster", "apart", "--public-status")
	runInterop(t, "interop-streams.mjs", redis, map[string]*server{
		"serve": serve, "apart": apart, "one": streams("one"), "two": streams("two"),
	})
	const said = `use the prefix \"socket.io\", too`
	if n := strings.Count(serve.log.String(), "Servers with @socket.io/redis-streams-adapter "+said); n != 1 {
		t.Errorf("the log names the adapter %d times, want once:\n%s", n, serve.log.tail(20))
	}
	if log := apart.log.String(); strings.Contains(log, "adapter") || strings.Contains(log, "another cluster") {
		t.Errorf("the node apart has heard somebody:\n%s", apart.log.tail(20))
	}
}

// runInterop runs a script that knows the servers by name. All must be running at the end.
func runInterop(t *testing.T, script string, redis *redistest.Server, servers map[string]*server) {
	t.Helper()
	urls := map[string]string{"redis": redis.URL()}
	for name, s := range servers {
		urls[name] = s.url()
	}
	peers, err := json.Marshal(urls)
	if err != nil {
		t.Fatal(err)
	}
	runScript(t, script, nil, "--peers", string(peers))
	for name, s := range servers {
		if !s.running() {
			t.Errorf("the server %q has ended: %v", name, s.cmd.ProcessState)
		}
	}
}

// startNodeServer runs a Node.js server whose adapter uses the npm package client.
func startNodeServer(t *testing.T, redisURL, client string) *server {
	t.Helper()
	name := client
	if client == "redis" {
		name = "node"
	}
	return startProgram(t, nodeJS, "interop-node.mjs", "--redis", redisURL, "--client", client, "--name", name)
}
