package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// rollingSpread is over how long a node of the rolling restart ends its connections.
const rollingSpread = 3 * time.Second

// restart starts a node's program again, on the address it had, and waits until HAProxy
// gives it the next session: it has the fewest.
func (f *fleet) restart(r *replica) {
	f.t.Helper()
	f.launch(r)
	f.eventually("haproxy has found the node again", func() error {
		var status struct{ Node string }
		body, err := fetch(f.proxy.url + "/socket.io/status.json?limit=1")
		if err == nil {
			err = json.Unmarshal(body, &status)
		}
		if err == nil && status.Node != r.id {
			err = fmt.Errorf("%s answers", status.Node)
		}
		return err
	})
}

// Three nodes behind the configuration that ships are restarted one after the other, with
// clients that talk all the time. Nobody is refused, nobody moves twice for one node, and
// the others are not run over.
func TestHAProxy_RollingRestart(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	// HAProxy needs a second and a quarter to find out that a node leaves; until then it sends newcomers there.
	f.flags = []string{"--redis", redistest.Start(t).URL(), "--trust-proxy", "--drain-delay", "2s", "--drain-spread", rollingSpread.String()}
	for range 3 {
		f.scaleUp()
	}
	f.startProxy()
	settings, err := json.Marshal(map[string]any{"nodes": len(f.nodes), "spread": rollingSpread.Milliseconds()})
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	runScript(t, "deploy-rolling.mjs", asks{
		"stop": func([]json.RawMessage) { f.nodes[next].srv.terminate() },
		"start": func([]json.RawMessage) {
			f.restart(f.nodes[next])
			next++
		},
	}, "--url", f.proxy.url, "--transport", "upgrade", "--peers", string(settings))
}
