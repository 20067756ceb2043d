package node_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws/wsutil"

	"github.com/dynamicio/dynamicio/namespace"
)

const invalid = `{"message":"Invalid namespace"}`

var dynamic = regexp.MustCompile(`^/dyn/`)

// journal notes what happened, and when.
type journal struct {
	mu      sync.Mutex // guards the rest
	entries []entry
	changed chan struct{} // closed at the next entry
}

type entry struct {
	what string
	at   time.Time
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry{fmt.Sprintf(format, args...), time.Now()})
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) list() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]string, len(j.entries))
	for i, e := range j.entries {
		all[i] = e.what
	}
	return all
}

// wait waits for an entry and returns when it was made.
func (j *journal) wait(t testing.TB, what string) time.Time {
	t.Helper()
	return j.waitN(t, what, 1)
}

// waitN waits for the nth entry of a kind.
func (j *journal) waitN(t testing.TB, what string, n int) time.Time {
	t.Helper()
	deadline := time.After(patience)
	for {
		j.mu.Lock()
		seen := 0
		for _, e := range j.entries {
			if e.what == what {
				if seen++; seen == n {
					j.mu.Unlock()
					return e.at
				}
			}
		}
		changed := j.changed
		j.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%q happened %d times of %d; what did: %q", what, seen, n, j.list())
		}
	}
}

// want compares all that happened, in order.
func (j *journal) want(t testing.TB, entries ...string) {
	t.Helper()
	if got := j.list(); !slices.Equal(got, entries) {
		t.Fatalf("happened: %q\nwant:     %q", got, entries)
	}
}

// waitFor waits until something holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// accept is a setup that accepts and notes the full name.
func (j *journal) accept(ns *namespace.Namespace, _ namespace.Match) error {
	j.add("setup %s", ns.FullName())
	return nil
}

// named is accept for one of several registrations.
func (j *journal) named(name string) namespace.SetupFunc {
	return func(ns *namespace.Namespace, _ namespace.Match) error {
		j.add("%s: %s", name, ns.FullName())
		return nil
	}
}

// accept accepts everything without a word.
func accept(*namespace.Namespace, namespace.Match) error { return nil }

// exists says whether a namespace is live.
func (s *testServer) exists(full string) bool { return s.Registry().Lookup(full) != nil }

// live returns a namespace that has to be there.
func (s *testServer) live(full string) *namespace.Namespace {
	s.t.Helper()
	ns := s.Registry().Lookup(full)
	if ns == nil {
		s.t.Fatalf("%s is not live", full)
	}
	return ns
}

// get makes a request to the node and returns its answer.
func (s *testServer) get(path, host string) (*http.Response, string) {
	s.t.Helper()
	return s.getWith(path, host, nil)
}

func (s *testServer) getWith(path, host string, header http.Header) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = host
	for k, v := range header {
		r.Header[k] = v
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: tr, Timeout: patience}).Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, string(b)
}

// raw sends bytes and returns all that comes back until the node closes.
func (s *testServer) raw(request string) string {
	s.t.Helper()
	conn, err := s.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// readText reads one WebSocket text message.
func readText(t testing.TB, r io.Reader) string {
	t.Helper()
	data, err := wsutil.ReadServerText(struct {
		io.Reader
		io.Writer
	}{r, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
