package status

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dynamicio/dynamicio/e2e/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// watcher is a page's stream, in memory: an http.ResponseWriter that its reader may read slowly.
type watcher struct {
	header http.Header
	code   int
	out    *io.PipeWriter

	mu       sync.Mutex // guards deadline
	deadline time.Time
}

func (w *watcher) Header() http.Header  { return w.header }
func (w *watcher) WriteHeader(code int) { w.code = code }
func (w *watcher) Flush()               {}
func (w *watcher) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	return nil
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	left := time.Until(w.deadline)
	w.mu.Unlock()
	stuck := time.AfterFunc(left, func() { w.out.CloseWithError(net.ErrClosed) })
	defer stuck.Stop()
	return w.out.Write(p)
}

// event is one of a stream.
type event struct {
	kind string
	now  string
	update
}

func (e event) String() string {
	return fmt.Sprint(e.kind, " at ", e.now, " puts ", slices.Sorted(maps.Keys(e.Put)), " order ", e.Order)
}

// watch opens a stream. The channel is closed at its end.
func watch(ctx context.Context, h http.Handler, path string) (<-chan event, *watcher) {
	return watchAs(h, request("GET", path, "").WithContext(ctx))
}

// watchAs is watch for a request of one's own.
func watchAs(h http.Handler, r *http.Request) (<-chan event, *watcher) {
	in, out := io.Pipe()
	w := &watcher{header: http.Header{}, code: 200, out: out}
	go func() { // ends with the stream
		h.ServeHTTP(w, r)
		out.Close()
	}()
	events := make(chan event, 1000)
	go func() { // ends with the stream
		defer close(events)
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, 1<<22)
		var e event
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "event":
				e = event{kind: value}
			case name == "data" && e.now == "":
				e.now = value
			case name == "data":
				_ = json.Unmarshal([]byte(value), &e.update)
			case name == "":
				events <- e
			}
		}
	}()
	return events, w
}

// waiting returns what has come.
func waiting(events <-chan event) (all []event) {
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return all
			}
			all = append(all, e)
		default:
			return all
		}
	}
}

func TestEvents_SendWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{report: well()}
		src.report.Namespaces = []Namespace{space("/a", 0), space("/b", 0)}
		h := newTestHandler(t, src, nil)
		ctx, cancel := context.WithCancel(t.Context())
		events, w := watch(ctx, h, "/socket.io/status/events")
		synctest.Wait()
		first := waiting(events)
		if len(first) != 1 || first[0].kind != "update" || len(first[0].Order["namespaces"]) != 2 || first[0].Put["state"] == "" {
			t.Fatalf("at first: %v", first)
		}
		if w.header.Get("Content-Type") != "text/event-stream" || w.header.Get("X-Accel-Buffering") != "no" || w.header.Get("Cache-Control") != "no-store" {
			t.Errorf("header %v", w.header)
		}
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if got := waiting(events); len(got) > 1 || len(got) == 1 && got[0].kind != "beat" {
			t.Errorf("while nothing changes: %v", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := waiting(events); len(got) < 4 || got[0].kind != "beat" || got[0].now == got[1].now {
			t.Errorf("in a minute, the stream says %v", got)
		}
		src.set(func(r *Report) { r.Namespaces = []Namespace{space("/b", 0), space("/c", 0)} })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		got := waiting(events)
		// What is new in /b is when it was emptied: space says now.
		if len(got) != 1 || got[0].Put[key("ns", "/c")] == "" || len(got[0].Order) != 1 || got[0].Put["state"] != "" {
			t.Errorf("after a change: %v", got)
		}
		cancel()
		synctest.Wait()
		if _, open := <-events; open {
			t.Error("the stream goes on without its viewer")
		}
	})
}

func TestEvents_ViewersShareTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{report: well()}
		h := newTestHandler(t, src, nil)
		ctx, cancel := context.WithCancel(t.Context())
		for range 30 {
			watch(ctx, h, "/socket.io/status/events")
			time.Sleep(31 * time.Millisecond)
		}
		before := src.asked()
		time.Sleep(20 * time.Second)
		if n := src.asked() - before; n > 20 || n < 19 {
			t.Errorf("%d reports in 20 s for 30 viewers of the same page", n)
		}
		cancel()
		synctest.Wait()
		before = src.asked()
		time.Sleep(time.Minute)
		if n := src.asked() - before; n != 0 {
			t.Errorf("%d reports while nobody looks", n)
		}
		if len(h.feeds.open) != 0 || h.feeds.viewers[true] != 0 || h.feeds.pages[true] != 0 {
			t.Errorf("%d feeds, %v viewers and %v pages are left", len(h.feeds.open), h.feeds.viewers, h.feeds.pages)
		}
	})
}

// Nodes are asked for what is inside namespaces less often than Redis is for counts.
func TestEvents_DetailsAreAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{report: well()}
		src.report.Namespaces = []Namespace{space("/a", 2)}
		h := newTestHandler(t, src, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		watch(ctx, h, "/socket.io/status/events")
		watch(ctx, h, "/socket.io/status/events?namespace=/a")
		time.Sleep(20*time.Second + time.Millisecond)
		// The first page finds out what fits on it: one report more.
		if n := src.asked(); n > 2*11+1 {
			t.Errorf("%d reports with details in 20 s", n)
		}
		src.mu.Lock()
		defer src.mu.Unlock()
		if last := src.queries[len(src.queries)-1]; !last.Detailed && last.Namespace == "" {
			t.Errorf("the last query is %+v, without what is inside", last)
		}
	})
}

func TestEvents_ViewersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHandler(t, &fakeSource{report: well()}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		for range defaults.MaxViewers {
			watch(ctx, h, "/socket.io/status/events")
		}
		synctest.Wait()
		w := serve(h, request("GET", "/socket.io/status/events", ""))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("viewer %d: %d %v", defaults.MaxViewers+1, w.Code, w.Header())
		}
		cancel()
		synctest.Wait()
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		_, one := watch(ctx, h, "/socket.io/status/events")
		synctest.Wait()
		if one.code != 200 {
			t.Errorf("after all have gone: %d", one.code)
		}
	})
}

func TestEvents_EndWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{report: well()}
		h := newTestHandler(t, src, nil)
		idle, _ := watch(t.Context(), h, "/socket.io/status/events")
		synctest.Wait()
		src.mu.Lock()
		src.collects = func(ctx context.Context) { <-ctx.Done() } // the cluster does not answer
		src.mu.Unlock()
		busy, _ := watch(t.Context(), h, "/socket.io/status/events?q=x")
		time.Sleep(100 * time.Millisecond)
		closed := time.Now()
		h.Close()
		for range idle {
		}
		for range busy {
		}
		if d := time.Since(closed); d > 0 {
			t.Errorf("the streams end %v after Close", d)
		}
		if w := serve(h, request("GET", "/socket.io/status/events", "")); w.Code != http.StatusServiceUnavailable {
			t.Errorf("a stream after Close: %d", w.Code)
		}
		src.collects = nil
		if w := serve(h, request("GET", "/socket.io/status", "")); w.Code != http.StatusOK {
			t.Errorf("the page after Close: %d", w.Code)
		}
	})
}

// Who does not read is left within the time for one write; the others go on.
func TestEvents_SlowViewerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHandler(t, &fakeSource{report: well()}, nil)
		in, out := io.Pipe()
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			h.ServeHTTP(&watcher{header: http.Header{}, out: out}, request("GET", "/socket.io/status/events", ""))
		}()
		began := time.Now()
		<-gone
		if d := time.Since(began); d > writeTimeout {
			t.Errorf("it was left after %v", d)
		}
		in.Close()
	})
}

// Over real connections: compressed, each update is there when it is sent, and a
// viewer that leaves takes its stream along.
func TestEvents_Compressed(t *testing.T) {
	src := &fakeSource{report: well()}
	srv := httptest.NewServer(newTestHandler(t, src, nil))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/socket.io/status/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req) // asks for gzip by itself
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	defer res.Body.Close()
	if !res.Uncompressed {
		t.Error("the stream is not compressed")
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for what, change := range map[string]func(*Report){"the first": nil, "a change": func(r *Report) { r.Node, r.Redis.OK = "z", false }} {
		if change != nil {
			src.set(change)
		}
		if !lines.Scan() || lines.Text() != "event: update" || !lines.Scan() || !lines.Scan() || !lines.Scan() {
			t.Fatalf("%s: %q, %v", what, lines.Text(), lines.Err())
		}
	}
}
