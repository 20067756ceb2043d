package e2e

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// pageToken is what the nodes of these tests want for actions.
const pageToken = "page-token"

// The status page as people see it: in Chromium, against two nodes with namespaces
// from none to 10,000. The script says what it looks at.
func TestPage_InChromium(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium")); err != nil {
		t.Fatalf("this test needs Chromium: `make test` installs it (%v)", err)
	}
	redis := redistest.Start(t)
	urls := map[string]string{}
	for _, id := range []string{"n1", "n2"} {
		urls[id] = startServer(t, "--redis", redis.URL(), "--node-id", id, "--node-ttl", "2s", "--lease-ttl", "1s", "--retirement", "3s",
			"--host", `/^(127\.0\.0\.1|localhost)$/`, "--host-port", "drop",
			"--public-status", "--status-token", pageToken, "--status-actions",
			"--max-connection-namespaces", "1000", "--max-namespaces-per-address", "20000").url()
	}
	// Another is its main host: who comes by 127.0.0.1 sees a host without namespaces.
	empty := startServer(t, "--host", "main.test", "--public-status")
	urls["empty"] = empty.url()
	urls["private"] = startServer(t, "--status-token", pageToken).url()
	peers, err := json.Marshal(urls)
	if err != nil {
		t.Fatal(err)
	}
	restart := asks{
		"end":   func([]json.RawMessage) { empty.terminate() },
		"start": func([]json.RawMessage) { empty.start() },
	}
	runScript(t, "page.mjs", restart, "--url", urls["n1"], "--peers", string(peers))
}
