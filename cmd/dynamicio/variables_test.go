package main

import (
	"slices"
	"strings"
	"testing"
)

// A variable that was meant to be one of ours is told, with the one that was
// meant; what Kubernetes and others put beside them is no mistake.
func TestStrangeVariables(t *testing.T) {
	mistyped, strange := strangeVariables([]string{
		"DYNAMICIO_CONFG=f.yaml", "DYNAMICIO_STATUS_TOKN=x", "DYNAMICIO_IMAGE=dynamicio:1", "DYNAMICIO_JWT_SECRET=x",
		"DYNAMICIO_LISTEN=:1", "DYNAMICIO_WATCH=true", "DYNAMICIO_REDIS=redis://h", "PATH=/bin", "DYNAMICIO=x",
		// The variables of the Services dynamicio and dynamicio-redis.
		"DYNAMICIO_SERVICE_HOST=10.0.0.1", "DYNAMICIO_SERVICE_PORT=80", "DYNAMICIO_SERVICE_PORT_HTTP=80", "DYNAMICIO_PORT=tcp://10.0.0.1:80",
		"DYNAMICIO_PORT_80_TCP=tcp://10.0.0.1:80", "DYNAMICIO_PORT_80_TCP_PROTO=tcp", "DYNAMICIO_PORT_80_TCP_PORT=80",
		"DYNAMICIO_PORT_80_TCP_ADDR=10.0.0.1", "DYNAMICIO_REDIS_SERVICE_HOST=10.0.0.2", "DYNAMICIO_REDIS_PORT=tcp://10.0.0.2:6379",
	}, []string{"DYNAMICIO_JWT_SECRET"})
	if want := []string{"DYNAMICIO_IMAGE"}; !slices.Equal(strange, want) {
		t.Errorf("strange are %v, want %v", strange, want)
	}
	if len(mistyped) != 2 || !strings.Contains(mistyped[0].Error(), "DYNAMICIO_CONFG names no flag; did you mean DYNAMICIO_CONFIG?") ||
		!strings.Contains(mistyped[1].Error(), "DYNAMICIO_STATUS_TOKEN?") {
		t.Errorf("mistyped are %v", mistyped)
	}
}

func TestServe_MistypedVariable(t *testing.T) {
	t.Setenv("DYNAMICIO_CONFG", "f.yaml")
	if code, _, stderr := command(t, "serve"); code != exitUsage || !strings.Contains(stderr, "did you mean DYNAMICIO_CONFIG?") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("status %d, error %q", code, stderr)
	}
}

// A variable that the configuration names for a secret is no stranger.
func TestSettings_VariablesOfTheFile(t *testing.T) {
	t.Setenv("DYNAMICIO_TOKNS", "a token that is long enough")
	t.Setenv("DYNAMICIO_OTHER", "x")
	s, err := loadSettings(given(t, "--config", configFile(t, "namespaces: [{match: /x, connect: {tokens-env: DYNAMICIO_TOKNS}}]\n")))
	if err != nil || !slices.Equal(s.strange, []string{"DYNAMICIO_OTHER"}) {
		t.Errorf("strange are %v, %v", s.strange, err)
	}
}
