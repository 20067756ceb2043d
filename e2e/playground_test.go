package e2e

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// playgroundFlags are those of the nodes behind the page, beside what docker-compose.yml gives them.
var playgroundFlags = []string{"--playground", "--trust-proxy", "--retirement", "3s", "--node-ttl", "2s", "--lease-ttl", "1s"}

// The page as a newcomer sees it: three nodes behind HAProxy, as docker-compose.yml has them.
func TestPlayground_BehindHAProxy(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.flags = append([]string{"--redis", redistest.Start(t).URL()}, playgroundFlags...)
	for range 3 {
		f.scaleUp()
	}
	f.startProxy()
	runScript(t, "playground.mjs", nil, "--url", f.proxy.url+"/")
}

// The same page where each node has an address of its own.
func TestPlayground_OfTheDemo(t *testing.T) {
	t.Parallel()
	bin, err := dynamicio()
	if err != nil {
		t.Fatal(err)
	}
	demo := &balancer{command: []string{bin, "demo", "--listen", "127.0.0.1:0", "--retirement", "3s"}, log: &logBuffer{}}
	t.Cleanup(demo.stop)
	demo.start(t)
	address := regexp.MustCompile(`node-1  (http://127\.0\.0\.1:\d+/)`)
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if m := address.FindStringSubmatch(demo.log.String()); m != nil {
			demo.url = m[1]
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("the demo does not say where it is:\n%s", demo.log)
		}
	}
	runScript(t, "playground.mjs", nil, "--url", demo.url)
}

// It exists where it was asked for, and says nothing that the status does not.
func TestPlayground_IsOffByDefault(t *testing.T) {
	t.Parallel()
	if err := wantStatus(startServer(t, "--public-status").url()+"/", 404); err != nil {
		t.Error(err)
	}
	body, err := fetch(startServer(t, "--status-token", "0123456789abcdef", "--playground", "--path", "/x").url() + "/")
	if err != nil || !strings.Contains(string(body), `<script src="/x/socket.io.js">`) {
		t.Errorf("the page is %s, %v", body, err)
	}
}
