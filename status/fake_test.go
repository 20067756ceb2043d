package status

import (
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeSource is a Source whose report the test writes.
type fakeSource struct {
	mu       sync.Mutex // guards the rest
	began    time.Time
	report   Report
	queries  []Query
	actions  []string
	fail     error
	collects func(context.Context) // called without the lock by each Collect
}

// defaults are the bounds of the handlers of most tests.
var defaults = Defaults()

func (s *fakeSource) Collect(ctx context.Context, q Query) *Report {
	s.mu.Lock()
	s.queries = append(s.queries, q)
	collects := s.collects
	s.mu.Unlock()
	if collects != nil {
		collects(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.report
	if r.Time.IsZero() {
		r.Time = time.Now()
		if s.began.IsZero() {
			s.began = r.Time
		}
		// The lease is held on, and not renewed.
		r.Lease.HeldMS += r.Time.Sub(s.began).Milliseconds()
		r.Lease.TTLMS -= r.Time.Sub(s.began).Milliseconds()
	}
	r.Namespaces = nil
	for _, n := range s.report.Namespaces {
		if q.Namespace != "" && q.Namespace != n.FullName || !q.Page(n.FullName) || !strings.Contains(n.FullName, q.Search) || !q.Sees(n.FullName) {
			continue
		}
		if len(r.Namespaces) == q.Limit {
			r.Next = r.Namespaces[q.Limit-1].FullName
			break
		}
		if !q.Detailed && q.Namespace == "" {
			n.Rooms, n.Clients = nil, nil
		}
		r.Namespaces = append(r.Namespaces, n)
	}
	return &r
}

func (s *fakeSource) Disconnect(_ context.Context, full, id string) error {
	return s.act("disconnect " + full + " " + id)
}

func (s *fakeSource) Retire(_ context.Context, full string) error { return s.act("retire " + full) }

func (s *fakeSource) act(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.actions = append(s.actions, what)
	}
	return s.fail
}

// set changes the report.
func (s *fakeSource) set(change func(*Report)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.report)
}

// asked returns how often a report was collected.
func (s *fakeSource) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queries)
}

// done returns the actions carried out so far.
func (s *fakeSource) done() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.actions, "; ")
}

// well is a report of a cluster that is well.
func well() Report {
	return Report{
		Cluster: "c", Node: "a", Redis: Redis{OK: true}, Lease: Lease{Holder: "a", Token: 7, TTLMS: 5000, HeldMS: 90_000},
		Nodes:  []Node{{ID: "a", Address: "10.0.0.1:8080", Version: "v1", Started: time.Now().Add(-time.Hour)}, {ID: "b", Started: time.Now()}},
		Totals: Totals{Nodes: 2},
	}
}

// space is a namespace with so many sockets on node a.
func space(full string, sockets int) Namespace {
	ms := int64(10_000)
	n := Namespace{FullName: full, Sockets: sockets, Epoch: 1, RetirementMS: &ms, Nodes: map[string]int{}}
	if sockets > 0 {
		n.Nodes["a"] = sockets
	} else {
		emptied := time.Now()
		n.Emptied = &emptied
	}
	return n
}

func newTestHandler(t testing.TB, src Source, change func(*Options)) *Handler {
	t.Helper()
	o := Options{
		Path: "/socket.io", Public: true, Logger: slog.New(slog.DiscardHandler),
		Host: func(r *http.Request) string {
			if r.Host == "main" {
				return ""
			}
			return r.Host
		},
	}
	if change != nil {
		change(&o)
	}
	if o.Address == nil { // what each address may is a test of its own
		var last atomic.Uint32
		o.Address = func(*http.Request) netip.Addr {
			n := last.Add(1)
			return netip.AddrFrom4([4]byte{192, byte(n >> 16), byte(n >> 8), byte(n)})
		}
	}
	h := NewHandler(src, o)
	t.Cleanup(h.Close)
	return h
}

// request makes a request of a browser on the main host; headers are "Name: value".
func request(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "main"
	r.Header.Set("Accept", "text/html")
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	return r
}

// serve returns what a handler answers.
func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// get returns a page, which must be there.
func get(t *testing.T, h http.Handler, path string, headers ...string) string {
	t.Helper()
	w := serve(h, request("GET", path, "", headers...))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return plainText(t, w.Result())
}

// plainText reads a body, which may be compressed.
func plainText(t testing.TB, res *http.Response) string {
	t.Helper()
	body := io.Reader(res.Body)
	if res.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(res.Body); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
