package node

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/namespace"
)

// Aliases are applied to hosts in their normal form, and keep no malformed one alive.
func TestServer_MapsHosts(t *testing.T) {
	s, err := New(Options{Host: namespace.None, DropHostPort: true, MapHost: func(host string) string {
		return strings.TrimPrefix(host, "www.")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for host, want := range map[string]string{"WWW.Example.com.:80": "example.com", "example.com": "example.com"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		if got, ok := s.hostOf(r); got != want || !ok {
			t.Errorf("%s is %q, want %q", host, got, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	r.Host = "www..com"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("a malformed host is answered %d", w.Code)
	}
}

// A request that names no host is not the main host's operator, where hosts are
// kept apart.
func TestStatus_WithoutHost(t *testing.T) {
	const token = "0123456789abcdef"
	for name, test := range map[string]struct {
		opts Options
		want int
	}{
		"one host":        {Options{}, http.StatusOK},
		"exact main host": {Options{Host: namespace.Exact("main.example")}, http.StatusBadRequest},
		"no main host":    {Options{Host: namespace.None}, http.StatusBadRequest},
		"own GetHost":     {Options{Host: namespace.None, GetHost: func(*http.Request) string { return "" }}, http.StatusOK},
	} {
		test.opts.StatusToken, test.opts.StatusActions = token, true
		s, err := New(test.opts)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/socket.io/status", "/socket.io/status.json", "/socket.io/status/actions?action=retire&namespace=/x"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host = ""
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("%s: %s is answered %d, want %d", name, path, w.Code, test.want)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A token that can be guessed is warned of at the start.
func TestNew_WarnsOfShortTokens(t *testing.T) {
	for token, want := range map[string]bool{"": false, "0123456789abcde": true, "0123456789abcdef": false} {
		var log strings.Builder
		s, err := New(Options{StatusToken: token, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(log.String(), "level=WARN"); got != want || token != "" && strings.Contains(log.String(), token) {
			t.Errorf("%q: %s", token, log.String())
		}
	}
}
