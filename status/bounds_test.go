package status

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// asking sends a request that nobody reads the answer of, and returns what closes when it is given up.
func asking(h http.Handler, path string, headers ...string) <-chan struct{} {
	_, out := io.Pipe()
	gone := make(chan struct{})
	go func() { // ends with the answer
		defer close(gone)
		h.ServeHTTP(&watcher{header: http.Header{}, out: out}, request("GET", path, "", headers...))
	}()
	return gone
}

// An answer that is not received is given up, and until then visitors get a bounded number of them. Who has
// the token is served all the same.
func TestHandler_UnreadAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guardedBy(t, &fakeSource{report: well()}, true)
		began := time.Now()
		for _, path := range []string{"/socket.io/status", "/socket.io/status.json"} {
			var unread []<-chan struct{}
			for range answersAtOnce {
				unread = append(unread, asking(h, path))
			}
			synctest.Wait()
			if w := serve(h, request("GET", "/socket.io/status.json", "")); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: visitor %d gets %d", path, answersAtOnce+1, w.Code)
			}
			if w := serve(h, request("GET", path, "", "Authorization: Bearer "+token)); w.Code != http.StatusOK {
				t.Errorf("%s: who has the token gets %d", path, w.Code)
			}
			for _, gone := range unread {
				<-gone
			}
			if w := serve(h, request("GET", path, "")); w.Code != http.StatusOK {
				t.Errorf("%s: afterwards a visitor gets %d", path, w.Code)
			}
		}
		if d := time.Since(began); d > 2*answerTimeout {
			t.Errorf("they were given up after %v", d)
		}
	})
}

func TestEvents_VisitorsDoNotKeepOthersOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guardedBy(t, &fakeSource{report: well()}, true)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range defaults.MaxViewers {
			watch(ctx, h, fmt.Sprintf("/socket.io/status/events?q=%d", i%maxPages))
		}
		synctest.Wait()
		for _, tc := range []struct {
			headers []string
			want    int
		}{{nil, http.StatusServiceUnavailable}, {[]string{"Authorization: Bearer " + token}, http.StatusOK}} {
			leaving, leave := context.WithTimeout(t.Context(), time.Millisecond)
			if w := serve(h, request("GET", "/socket.io/status/events", "", tc.headers...).WithContext(leaving)); w.Code != tc.want {
				t.Errorf("with %v: %d, want %d", tc.headers, w.Code, tc.want)
			}
			leave()
		}
		cancel()
	})
}

// Each different page costs Redis and memory.
func TestEvents_DifferentPagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHandler(t, &fakeSource{report: well()}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		open := func(page int) int {
			_, w := watch(ctx, h, fmt.Sprintf("/socket.io/status/events?q=%d", page))
			synctest.Wait()
			return w.code
		}
		for i := range maxPages {
			open(i)
		}
		if got := open(maxPages); got != http.StatusServiceUnavailable {
			t.Errorf("page %d: %d", maxPages+1, got)
		}
		if got := open(0); got != http.StatusOK {
			t.Errorf("a second viewer of a page that is open: %d", got)
		}
	})
}

// Where reports have to wait for others for too long, a page stays as it is: it does not say that the
// cluster is gone.
func TestEvents_KeepWhatTheyHaveWhileTheNodeIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{report: well()}
		h := newTestHandler(t, src, nil)
		ctx, cancel := context.WithCancel(t.Context())
		events, _ := watch(ctx, h, "/socket.io/status/events")
		synctest.Wait()
		waiting(events)
		src.mu.Lock()
		src.report = Report{Redis: Redis{OK: true}} // as Collect returns what it could not look at
		src.collects = func(ctx context.Context) { <-ctx.Done() }
		src.mu.Unlock()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		for _, e := range waiting(events) {
			if e.kind == "update" {
				t.Fatalf("the page is told %v: %s", e, e.Put["state"])
			}
		}
		late, _ := watch(ctx, h, "/socket.io/status/events?q=x")
		if e, ok := <-late; ok {
			t.Errorf("a new page is told %v: %s", e, e.Put["state"])
		}
		cancel()
	})
}

// The connection of a HEAD serves other requests next.
func TestEvents_HeadEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHandler(t, &fakeSource{report: well()}, nil)
		began := time.Now()
		w := serve(h, request("HEAD", "/socket.io/status/events", ""))
		if d := time.Since(began); d > 0 || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream" {
			t.Errorf("%d %v after %v", w.Code, w.Header(), d)
		}
	})
}

// formReader is a response to a form whose body comes slowly; it knows when that is given up.
type formReader struct {
	http.ResponseWriter
	deadlines []time.Time
}

func (w *formReader) SetReadDeadline(t time.Time) error {
	w.deadlines = append(w.deadlines, t)
	return nil
}

// A form that does not come keeps no connection for ever, and what comes after it on the connection has all time.
func TestForm_IsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guardedBy(t, &fakeSource{report: well()}, true)
		for _, path := range []string{"signin", "signout", "actions"} {
			w := &formReader{ResponseWriter: httptest.NewRecorder()}
			h.ServeHTTP(w, request("POST", "/socket.io/status/"+path, "token=x", "Authorization: Bearer "+token))
			want := []time.Time{time.Now().Add(formTimeout), {}}
			if !slices.Equal(w.deadlines, want) {
				t.Errorf("%s: deadlines %v, want %v", path, w.deadlines, want)
			}
		}
	})
}

// Anybody can send a form from elsewhere, as often as they like.
func TestForm_LogsLittle(t *testing.T) {
	var log bytes.Buffer
	h := newTestHandler(t, &fakeSource{report: well()}, func(o *Options) {
		o.Token, o.Logger = token, slog.New(slog.NewTextHandler(&log, nil))
	})
	w := serve(h, request("POST", "/socket.io/status/signin", "token=x", "Origin: http://"+strings.Repeat("x", 30_000)))
	if w.Code != http.StatusForbidden || log.Len() == 0 || log.Len() > 600 {
		t.Errorf("%d, and %d bytes of log", w.Code, log.Len())
	}
}
