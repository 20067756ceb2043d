package e2e

import "testing"

// The statements of the public protocols that a client can check, one case
// each, against the program that the official suites run against.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"Engine.IO 4": "conformance-eio4.mjs",
		"Engine.IO 3": "conformance-eio3.mjs",
		"Socket.IO 5": "conformance-sio5.mjs",
	} {
		t.Run(name, func(t *testing.T) {
			s := startProgram(t, conformance)
			runScript(t, script, nil, "--url", s.url())
		})
	}
}
