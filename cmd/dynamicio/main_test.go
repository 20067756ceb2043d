package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/e2e/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// command runs one command line to its end.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

// A mistake in usage ends with status 2 and one line that names the flag.
func TestRun_WrongUsage(t *testing.T) {
	for _, test := range []struct {
		args  string
		names string
	}{
		{"", "no command"},
		{"bogus", `"bogus"`},
		{"serve extra", "extra"},
		{"serve --bogus", "--bogus"},
		{"serve --retirement soon", "--retirement"},
		{"serve --retirement 0s", "--retirement"},
		{"serve --ping-interval -1s", "--ping-interval"},
		{"serve --node-ttl 0s", "--node-ttl"},
		{"serve --lease-ttl -1s", "--lease-ttl"},
		{"serve --max-payload 0", "--max-payload"},
		{"serve --host /(/", "--host"},
		{"serve --host a/b", "--host"},
		{"serve --host-port maybe", "--host-port"},
		{"serve --when-away maybe", "--when-away"},
		{"serve --bus-dialect klingon", "--bus-dialect"},
		{"serve --bus-dialect go --redis redis://127.0.0.1:1", "prefix"},
		{"serve --path socket.io", "--path"},
		{"serve --listen 8080", "--listen"},
		{"serve --listen :99999", "--listen"},
		{"serve --bus-dialect go", "--bus-prefix"},
		{"serve --bus-prefix a#b", "--bus-prefix"},
		{"serve --bus-prefix socket.io-request", "--bus-prefix"},
		{"emit --redis redis://127.0.0.1:1 --bus-prefix a#b e", "--bus-prefix"},
		{"serve --redis redis://127.0.0.1:1 --lease-ttl 1ms", "--lease-ttl"},
		{"serve --redis redis://127.0.0.1:1 --cluster x{y}", "--cluster"},
		{"demo --listen 127.0.0.1:70000", "--listen"},
		{"serve --admin-listen nowhere", "--admin-listen"},
		{"serve --playground", "--public-status"},
		{"serve --playground --public-status --path /", "--path"},
		{"serve --log-format xml", "--log-format"},
		{"serve --log-level loud", "--log-level"},
		{"serve --cors-origin example.com", "--cors-origin"},
		{"serve --redis ftp://x", "--redis"},
		{"serve --redis redis://127.0.0.1:1 --node-ttl 1ms", "--node-ttl"},
		{"demo --nodes 0", "--nodes"},
		{"demo --listen here", "--listen"},
		{"demo --retirement 0s", "--retirement"},
		{"healthcheck extra", "extra"},
		{"version extra", "extra"},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := command(t, strings.Fields(test.args)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, test.names) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("status %d, output %q, error %q; want status 2 and one line with %q", code, stdout, stderr, test.names)
			}
		})
	}
}

// A password in the URL of Redis is in no error.
func TestRun_NoSecretInErrors(t *testing.T) {
	_, _, stderr := command(t, "serve", "--redis", "redis://user:hunter2@host:port:what")
	if strings.Contains(stderr, "hunter2") || stderr == "" {
		t.Errorf("error %q", stderr)
	}
}

// Each flag has an environment variable; the command line beats it.
func TestRun_Environment(t *testing.T) {
	t.Setenv("DYNAMICIO_RETIREMENT", "soon")
	if code, _, stderr := command(t, "serve"); code != exitUsage || !strings.Contains(stderr, "DYNAMICIO_RETIREMENT") {
		t.Errorf("status %d, error %q", code, stderr)
	}
	t.Setenv("DYNAMICIO_HOST_PORT", "maybe")
	if code, _, stderr := command(t, "serve", "--retirement", "1s"); code != exitUsage || !strings.Contains(stderr, "--host-port") {
		t.Errorf("status %d, error %q: the flag should beat the environment", code, stderr)
	}
}

// A boolean flag takes its value with or without an equals sign.
func TestRun_BooleanFlags(t *testing.T) {
	root := rootCommand()
	got := joinBools(root, strings.Fields("serve --public-status true --allow-eio3 --listen true --public-status=false"))
	if want := "serve --public-status=true --allow-eio3 --listen true --public-status=false"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRun_Help(t *testing.T) {
	code, stdout, _ := command(t, "help")
	for _, word := range []string{"serve", "demo", "healthcheck", "version", "DYNAMICIO_"} {
		if code != exitDone || !strings.Contains(stdout, word) {
			t.Errorf("status %d; help does not mention %s", code, word)
		}
	}
	code, stdout, _ = command(t, "version")
	if code != exitDone || !strings.HasPrefix(stdout, "dynamicio ") || !strings.Contains(stdout, "go1.") {
		t.Errorf("status %d, version %q", code, stdout)
	}
}

func TestRun_Healthcheck(t *testing.T) {
	ready := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz":
			w.WriteHeader(ready)
		case "/healthz":
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	if code, _, stderr := command(t, "healthcheck", "--url", srv.URL); code != exitDone {
		t.Errorf("status %d, error %q", code, stderr)
	}
	ready = http.StatusServiceUnavailable
	if code, _, stderr := command(t, "healthcheck", "--url", srv.URL); code != exitFailed || !strings.Contains(stderr, "503") {
		t.Errorf("status %d, error %q", code, stderr)
	}
	// Alive is not ready: Redis may be unavailable.
	for _, args := range [][]string{{"--live", "--url", srv.URL}, {"--url", srv.URL + "/healthz"}} {
		if code, _, stderr := command(t, append([]string{"healthcheck"}, args...)...); code != exitDone {
			t.Errorf("%q: status %d, error %q", args, code, stderr)
		}
	}
	ready = http.StatusOK
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	t.Setenv("DYNAMICIO_CONFIG", configFile(t, "listen: \":"+port+"\""))
	if code, _, stderr := command(t, "healthcheck"); code != exitDone {
		t.Errorf("the port of the file: status %d, error %q", code, stderr)
	}
	t.Setenv("DYNAMICIO_LISTEN", "127.0.0.1:1")
	if code, _, stderr := command(t, "healthcheck"); code != exitFailed || !strings.Contains(stderr, ":1/") {
		t.Errorf("the port of the environment: status %d, error %q", code, stderr)
	}
	srv.Close()
	if code, _, _ := command(t, "healthcheck", "--url", srv.URL); code != exitFailed {
		t.Errorf("status %d without a server", code)
	}
	http.DefaultClient.CloseIdleConnections()
}

// A port in use is a failure while running, which names the address.
func TestRun_PortInUse(t *testing.T) {
	srv := httptest.NewServer(nil)
	defer srv.Close()
	addr := strings.TrimPrefix(srv.URL, "http://")
	for _, args := range [][]string{{"serve", "--listen", addr}, {"demo", "--listen", addr}} {
		if code, _, stderr := command(t, args...); code != exitFailed || !strings.Contains(stderr, addr) {
			t.Errorf("%s: status %d, error %q", args[0], code, stderr)
		}
	}
}

// stopped is a context that is over: what starts under it stops at once.
func stopped() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A stop in good order is no failure.
func TestRun_StopsWithItsContext(t *testing.T) {
	for _, args := range [][]string{
		{"serve", "--listen", "127.0.0.1:0"},
		{"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--public-status", "true"},
		{"demo", "--listen", "127.0.0.1:0"},
	} {
		var out, err bytes.Buffer
		if code := run(stopped(), args, &out, &err); code != exitDone {
			t.Errorf("%v: status %d, error %q", args, code, err.String())
		}
	}
}
