package node

import (
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
