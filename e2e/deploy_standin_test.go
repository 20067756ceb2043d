package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// standIn is a node that does what a test needs a node to do at that time.
type standIn struct {
	ready, alive atomic.Bool
	handshakes   atomic.Int32
	requests     atomic.Int32 // of the session
	handshake    atomic.Pointer[http.HandlerFunc]
}

func (s *standIn) onHandshake(h http.HandlerFunc) { s.handshake.Store(&h) }

func newStandIn(sid string) *standIn {
	s := &standIn{}
	s.ready.Store(true)
	s.alive.Store(true)
	s.onHandshake(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `0{"sid":"%s","upgrades":[]}`, sid) })
	return s
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/readyz" && !s.ready.Load(), r.URL.Path == "/healthz" && !s.alive.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/readyz", r.URL.Path == "/healthz":
	case r.URL.Query().Has("sid"):
		s.requests.Add(1)
	default:
		s.handshakes.Add(1)
		(*s.handshake.Load())(w, r)
	}
}

// startStandIns is startFleet with stand-ins "A", "B", ...
func startStandIns(t *testing.T, n int) (*fleet, []*standIn) {
	t.Helper()
	f := newFleet(t)
	var all []*standIn
	for i := range n {
		s := newStandIn(string(rune('A' + i)))
		all = append(all, s)
		f.fake(s)
	}
	f.startProxy()
	return f, all
}

// notReady is how HAProxy says that a health check of /readyz failed.
var notReady = regexp.MustCompile(`(?m)^Server ready/\S+ is DOWN`)

// down waits until HAProxy knows n nodes not to be ready.
func (f *fleet) down(n int) {
	f.t.Helper()
	f.eventually("haproxy knows who is not ready", func() error {
		if got := len(notReady.FindAllString(f.proxy.log.String(), -1)); got != n {
			return fmt.Errorf("%d nodes are", got)
		}
		return nil
	})
}

// handshake must succeed; it returns the session id and the cookie.
func (p *balancer) handshake(t *testing.T, cookie *http.Cookie) (sid string, set *http.Cookie) {
	t.Helper()
	status, body, set, err := do(http.MethodGet, p.url+engine, "", cookie)
	_, sid, found := strings.Cut(body, `0{"sid":"`)
	if err != nil || status != http.StatusOK || !found {
		t.Fatalf("handshake: %d %q %v", status, body, err)
	}
	sid, _, _ = strings.Cut(sid, `"`)
	return sid, set
}
