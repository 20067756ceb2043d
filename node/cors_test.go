package node

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// What pages read has CORS headers for allowed origins; what only the node's own
// pages read, and what nobody's page should, has none.
func TestServer_CORSPaths(t *testing.T) {
	s, err := New(Options{Origins: []string{"https://page.example"}, PublicStatus: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for path, want := range map[string]bool{
		"/socket.io/?EIO=4&transport=polling": true, "/socket.io/socket.io.js": true, "/socket.io/socket.io.esm.min.js": true,
		"/socket.io/socket.io.js.map": true, "/socket.io/status.json": true,
		"/socket.io/status": false, "/metrics": false,
	} {
		for origin, allowed := range map[string]bool{"https://page.example": true, "https://evil.example": false} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("Origin", origin)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if got := w.Header().Get("Access-Control-Allow-Origin") == origin; got != (want && allowed) {
				t.Errorf("%s from %s: %q", path, origin, w.Header().Get("Access-Control-Allow-Origin"))
			}
			if vary := w.Header().Values("Vary"); want && len(vary) == 0 {
				t.Errorf("%s: a cache is not told that the answer varies", path)
			}
		}
	}
}
