package client

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The names are a contract (CLIENT_FILES of Node's dist/index.js): pages have them in script tags.
func TestNames_AreThoseOfNode(t *testing.T) {
	want := []string{
		"socket.io.esm.min.js", "socket.io.esm.min.js.map",
		"socket.io.js", "socket.io.js.map",
		"socket.io.min.js", "socket.io.min.js.map",
		"socket.io.msgpack.min.js", "socket.io.msgpack.min.js.map",
	}
	if got := Names(); !slices.Equal(got, want) {
		t.Errorf("Names() = %q, want %q", got, want)
	}
	for _, name := range want {
		if !Has(name) {
			t.Errorf("Has(%q) = false", name)
		}
	}
	if Has("socket.io.js.gz") || Has("") || Has("../LICENSE") {
		t.Error("Has reports a file that is not served")
	}
}

func TestOpen_GivesThePublishedFile(t *testing.T) {
	for _, name := range Names() {
		text := read(t, name)
		if strings.HasSuffix(name, ".map") {
			if !bytes.HasPrefix(text, []byte(`{"version":3`)) {
				t.Errorf("%s is no source map: %.30s", name, text)
			}
			continue
		}
		if banner := "Socket.IO v" + Version; !bytes.Contains(text[:200], []byte(banner)) {
			t.Errorf("%s does not open with %q: %.200s", name, banner, text)
		}
		if comment := "//# sourceMappingURL=" + name + ".map"; !bytes.Contains(text, []byte(comment)) {
			t.Errorf("%s lacks %q", name, comment)
		}
	}
	if _, err := Open("socket.io.css"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of an unknown name: %v, want fs.ErrNotExist", err)
	}
}

// Both codings give the same bytes, under the headers of Node's server.
func TestHandler_ServesAsNode(t *testing.T) {
	h := Handler("/socket.io/")
	for _, name := range Names() {
		for _, coding := range []string{"", "gzip"} {
			w := get(h, http.MethodGet, "/socket.io/"+name+"?v=1", "Accept-Encoding", coding)
			if w.Code != http.StatusOK {
				t.Fatalf("%s: status %d", name, w.Code)
			}
			wantType := "application/javascript; charset=utf-8"
			if strings.HasSuffix(name, ".map") {
				wantType = "application/json; charset=utf-8"
			}
			checkHeader(t, w, "Content-Type", wantType)
			checkHeader(t, w, "Cache-Control", "public, max-age=0")
			checkHeader(t, w, "ETag", `"`+Version+`"`)
			checkHeader(t, w, "Vary", "Accept-Encoding")
			checkHeader(t, w, "Content-Encoding", coding)
			checkHeader(t, w, "Content-Length", strconv.Itoa(w.Body.Len()))
			body := w.Body.Bytes()
			if coding == "gzip" {
				body = gunzip(t, body)
			}
			if !bytes.Equal(body, read(t, name)) {
				t.Errorf("%s with coding %q differs from Open", name, coding)
			}
		}
	}
}

func TestHandler_HeadHasTheHeadersOfGet(t *testing.T) {
	h := Handler("/socket.io")
	for _, coding := range []string{"", "gzip"} {
		get1 := get(h, http.MethodGet, "/socket.io/socket.io.js", "Accept-Encoding", coding)
		head := get(h, http.MethodHead, "/socket.io/socket.io.js", "Accept-Encoding", coding)
		if head.Code != http.StatusOK || head.Body.Len() != 0 {
			t.Errorf("HEAD: status %d and %d bytes", head.Code, head.Body.Len())
		}
		for name := range get1.Header() {
			checkHeader(t, head, name, get1.Header().Get(name))
		}
	}
}

func TestHandler_NotModified(t *testing.T) {
	h := Handler("/socket.io")
	for value, want := range map[string]int{
		`"` + Version + `"`:          304,
		`W/"` + Version + `"`:        304,
		`"1.0", W/"` + Version + `"`: 304,
		`*`:                          304,
		`"4.8"`:                      200,
		Version:                      200,
		``:                           200,
	} {
		w := get(h, http.MethodGet, "/socket.io/socket.io.min.js", "If-None-Match", value)
		if w.Code != want {
			t.Errorf("If-None-Match %s: status %d, want %d", value, w.Code, want)
		}
		if want == 304 && (w.Body.Len() != 0 || w.Header().Get("ETag") == "") {
			t.Errorf("If-None-Match %s: %d bytes, ETag %q", value, w.Body.Len(), w.Header().Get("ETag"))
		}
	}
}

func TestHandler_RefusesTheRest(t *testing.T) {
	h := Handler("/live")
	for _, c := range []struct {
		method, target string
		want           int
	}{
		{"GET", "/live/socket.io.js", 200},
		{"GET", "/live/", 404},
		{"GET", "/live", 404},
		{"GET", "/livesocket.io.js", 404},
		{"GET", "/socket.io.js", 404},
		{"GET", "/live/socket.io.js.gz", 404},
		{"GET", "/live/socket.io.js/", 404},
		{"GET", "/live/x/socket.io.js", 404},
		{"GET", "/live/..%2fLICENSE", 404},
		{"POST", "/live/nothing.js", 404},
		{"POST", "/live/socket.io.js", 405},
	} {
		if w := get(h, c.method, c.target, "Accept-Encoding", ""); w.Code != c.want {
			t.Errorf("%s %s: status %d, want %d", c.method, c.target, w.Code, c.want)
		}
	}
}

// RFC 9110, 12.5.3.
func TestAcceptsGzip(t *testing.T) {
	for value, want := range map[string]bool{
		"":                       false,
		"gzip":                   true,
		"GZip":                   true,
		"x-gzip":                 true,
		"br, gzip;q=0.1":         true,
		"gzip;q=0":               false,
		"gzip; q=0.000":          false,
		"gzip;Q=0.5":             true,
		"*":                      true,
		"*;q=0":                  false,
		"*;q=0, gzip":            true,
		"*, gzip;q=0":            false,
		"br, deflate, identity":  false,
		"gzip;q=x":               false,
		"gzip;level=9":           true,
		"identity;q=0, gzipped":  false,
		"deflate, gzip;q=1.0, *": true,
	} {
		if got := acceptsGzip([]string{value}); got != want {
			t.Errorf("acceptsGzip(%q) = %v, want %v", value, got, want)
		}
	}
	if !acceptsGzip([]string{"br", "gzip"}) {
		t.Error("a second header line is not read")
	}
}

func get(h http.Handler, method, target, header, value string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	if value != "" {
		r.Header.Set(header, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func checkHeader(t *testing.T, w *httptest.ResponseRecorder, name, want string) {
	t.Helper()
	if got := w.Header().Get(name); got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	r, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func gunzip(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
