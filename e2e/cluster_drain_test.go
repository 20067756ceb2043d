package e2e

import (
	"testing"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// The fleet as it ships, one cluster behind HAProxy: a node gets SIGTERM, and its clients
// go on elsewhere without an error that a person would notice.
func TestCluster_DrainsBehindHAProxy(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.flags = []string{"--redis", redistest.Start(t).URL(), "--node-ttl", nodeTTL.String(), "--lease-ttl", leaseTTL.String()}
	for range 3 {
		f.scaleUp()
	}
	f.startProxy()
	runScript(t, "deploy-drain.mjs", f.asks(t), "--url", f.proxy.url, "--transport", "upgrade", "--client", "jar")
}
