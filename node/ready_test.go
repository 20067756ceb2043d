package node

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What depends on Redis can be left out of the readiness check, draining cannot.
func TestReadyz_ExcludesRedis(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	check := func(want int) {
		t.Helper()
		for _, path := range []string{"/readyz", "/readyz?exclude=redis"} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != want {
				t.Errorf("%s answers %d, want %d", path, w.Code, want)
			}
		}
	}
	check(http.StatusOK)
	s.Drain()
	check(http.StatusServiceUnavailable)
}
