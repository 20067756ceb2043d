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
	servers := map[string]*server{
		"ours":    startProgram(t, interop, "--redis", redis.URL(), "--node-id", "ours"),
		"serve":   startServer(t, "--redis", redis.URL(), "--node-id", "serve"),
		"node":    startNodeServer(t, redis.URL(), "redis"),
		"ioredis": startNodeServer(t, redis.URL(), "ioredis"),
	}
	runScript(t, "interop-classic.mjs", nil, "--peers", peers(redis, servers))
	for name, s := range servers {
		if !s.running() {
			t.Errorf("the server %s has ended: %v", name, s.cmd.ProcessState)
		}
	}
}

// startNodeServer runs a Node.js server whose adapter uses the npm package client.
func startNodeServer(t *testing.T, redisURL, client string) *server {
	t.Helper()
	name := strings.Replace(client, "redis", "node", 1)
	if client == "ioredis" {
		name = client
	}
	return startProgram(t, nodeJS, "interop-node.mjs", "--redis", redisURL, "--client", client, "--name", name)
}

// peers tells a script where the servers are.
func peers(redis *redistest.Server, servers map[string]*server) string {
	urls := map[string]string{"redis": redis.URL()}
	for name, s := range servers {
		urls[name] = s.url()
	}
	text, err := json.Marshal(urls)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(text)
}
