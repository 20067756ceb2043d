package e2e

import "testing"

// transports are the choices that a client has; each test of clients runs with all.
var transports = []string{"polling", "websocket", "upgrade"}

// eachTransport runs a script against a server of its own per choice of transports.
func eachTransport(t *testing.T, script string, client string, flags ...string) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, flags...)
			runScript(t, script, lifecycle(s), "--url", s.url(), "--transport", transport, "--client", client)
		})
	}
}

// The current client, without Engine.IO 3 in the way.
func TestClientV4(t *testing.T) {
	t.Parallel()
	eachTransport(t, "v4.mjs", "v4")
}

func TestClientV2(t *testing.T) {
	t.Parallel()
	eachTransport(t, "v2.mjs", "v2", "--allow-eio3")
}

func TestClientV2_MeetsV4(t *testing.T) {
	t.Parallel()
	eachTransport(t, "mixed.mjs", "", "--allow-eio3")
}

func TestClientV2_RefusedByDefault(t *testing.T) {
	t.Parallel()
	eachTransport(t, "eio3-refused.mjs", "v2")
}

// With Engine.IO 3 allowed nothing changes for the current client.
func TestClientV4_BesideEIO3(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--allow-eio3")
	runScript(t, "v4.mjs", nil, "--url", s.url(), "--transport", "upgrade")
}

func TestServer_ClientsComeBack(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"v4", "v2"} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			eachTransport(t, "lifecycle.mjs", client, "--allow-eio3")
		})
	}
}

func TestServer_VirtualHosts(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"polling", "websocket"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, "--host", `/^main\./`)
			runScript(t, "hosts.mjs", nil, "--url", s.url(), "--transport", transport)
		})
	}
}

// Clients in other languages, and older ones.
func TestServer_ClientsInTheField(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--allow-eio3")
	runScript(t, "field.mjs", nil, "--url", s.url(), "--transport", "polling")
}

// Whatever is sent: the protocol's error or a closed connection, and nobody else is harmed.
func TestServer_BadInput(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	runScript(t, "raw.mjs", nil, "--url", s.url(), "--transport", "websocket")
}
