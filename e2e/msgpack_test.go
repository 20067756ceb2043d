package e2e

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// Everything that the current client can do, it can do with the parser for msgpack.
func TestClientMsgpack(t *testing.T) {
	t.Parallel()
	eachTransport(t, "v4.mjs", "msgpack")
}

// Clients of both kinds in one room, on two nodes.
func TestClientMsgpack_MeetsJSON(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	a, b := startServer(t, "--redis", redis.URL()), startServer(t, "--redis", redis.URL())
	peers, err := json.Marshal(map[string]string{"a": a.url(), "b": b.url()})
	if err != nil {
		t.Fatal(err)
	}
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			runScript(t, "msgpack.mjs", nil, "--url", a.url(), "--peers", string(peers), "--transport", transport)
		})
	}
}

// Questions both ways, refusals with data, and errors.
func TestClientMsgpack_TypedExample(t *testing.T) {
	t.Parallel()
	s := startProgram(t, typedExample, "--token", "secret", "--patience", "500ms")
	runScript(t, "example-typed.mjs", logged(s), "--url", s.url(), "--client", "msgpack")
}

// The server takes what the npm parser takes, but for what the script names.
func TestClientMsgpack_AsTheParser(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	runScript(t, "msgpack-parser.mjs", nil, "--url", s.url(), "--transport", "websocket")
}

// The served file in Chromium.
func TestClientMsgpack_ServedFile(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium")); err != nil {
		t.Fatalf("this test needs Chromium: `make test` installs it (%v)", err)
	}
	eachTransport(t, "msgpack-bundle.mjs", "v4")
}
