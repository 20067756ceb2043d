package engineio

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A star in an allowed origin stands for one whole label of a host.
func TestOrigins_Patterns(t *testing.T) {
	for _, c := range []struct{ allowed, yes, no string }{
		{
			"https://*.page.example", "https://a.page.example https://A.Page.Example:443 https://xn--bcher-kva.page.example",
			"https://page.example https://a.b.page.example http://a.page.example https://a.page.example:8443 https://apage.example https://.page.example " +
				"https://evil.example/.page.example https://a.page.example.evil.example https://a.page.example@evil.example null file://",
		},
		{"https://*.*.page.example", "https://a.b.page.example", "https://a.page.example https://a.b.c.page.example"},
		{"http://app.*.page.example:8080", "http://app.x.page.example:8080", "http://app.x.page.example http://x.page.example:8080"},
		{"null", "null NULL", "file:// https://null http://null"},
		{"file://", "file://", "null file:///etc/passwd https://file"},
		{"capacitor://localhost", "capacitor://localhost", "http://localhost"},
	} {
		o := newOrigins([]string{c.allowed})
		if err := checkOrigin(c.allowed); err != nil {
			t.Errorf("%s: %v", c.allowed, err)
		}
		try := func(list string, want bool) {
			for origin := range strings.FieldsSeq(list) {
				r := httptest.NewRequest("GET", "http://node.example/", nil)
				r.Header.Set("Origin", origin)
				if got := o.allows(r); got != want {
					t.Errorf("%s allows %s: %v", c.allowed, origin, got)
				}
			}
		}
		try(c.yes, true)
		try(c.no, false)
	}
}

// What could never match is refused at the start, and it is said what is wrong.
func TestOptions_Origins(t *testing.T) {
	for allowed, want := range map[string]string{
		"https://a*.page.example": "whole label", "https://page.*": "not its last", "https://*": "not its last", "https://*:8080": "not its last",
		"page.example": "scheme://", "*.page.example": "scheme://", "https://a.example/": "scheme://", "https://a.example:": "scheme://",
		"https://b\u00fccher.example": "xn--", "file:///x": "scheme://", "": "scheme://",
	} {
		_, err := New(Options{Origins: []string{allowed}}, func(*Conn, *http.Request) (Handler, error) { return nil, nil })
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("%q", allowed)) {
			t.Errorf("%q: %v, want %q", allowed, err, want)
		}
	}
}

// FuzzOrigin: whatever is allowed by its exact form, and is well formed, matches itself,
// and only by a star or exactly does anything match.
func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://a.example", "https://*.a.example", "http://[::1]:80", "null", "x://y:1", "https://a.example."} {
		f.Add(s, "https://b.a.example")
	}
	f.Fuzz(func(t *testing.T, allowed, origin string) {
		if checkOrigin(allowed) != nil || allowed == "*" {
			return
		}
		o := newOrigins([]string{allowed})
		ask := func(origin string) bool {
			r := &http.Request{Host: "node.invalid", Header: http.Header{"Origin": {origin}}}
			return o.allows(r)
		}
		if !strings.Contains(allowed, "*") && !ask(allowed) {
			t.Errorf("%q does not match itself", allowed)
		}
		if u, ok := parseOrigin(origin); ok && u.Host != "node.invalid" && ask(origin) && len(o.patterns) == 0 {
			if v, _ := parseOrigin(allowed); v == nil || v.String() != u.String() {
				t.Errorf("%q admits %q", allowed, origin)
			}
		}
	})
}

func preflight(h http.Handler, path, origin string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("OPTIONS", path, nil)
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "x-custom")
	r.Header.Set("Access-Control-Request-Private-Network", "true")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A browser asks before a request of another origin's page, and before one from
// a public page to a private network.
func TestServer_Preflight(t *testing.T) {
	h := newHost(t, Options{Origins: []string{"https://other.com"}})
	w := preflight(h, "/socket.io/?EIO=4&transport=polling", "https://other.com")
	check(t, "status", w.Code, 204)
	check(t, "allow", w.Header().Get("Access-Control-Allow-Origin"), "https://other.com")
	check(t, "private network", w.Header().Get("Access-Control-Allow-Private-Network"), "true")
	w = preflight(h, "/socket.io/?EIO=4&transport=polling", "https://evil.com")
	check(t, "status", w.Code, 403)
	check(t, "allow", w.Header().Get("Access-Control-Allow-Origin"), "")
	check(t, "private network", w.Header().Get("Access-Control-Allow-Private-Network"), "")
	h.shut()
}

// CORS is for what else pages read: shown to allowed pages, without credentials.
func TestServer_CORS(t *testing.T) {
	for _, c := range []struct{ allowed, origin, allow string }{
		{"https://other.com", "https://other.com", "https://other.com"},
		{"https://other.com", "https://evil.com", ""},
		{"https://other.com", "", ""},
		{"*", "https://any.com", "*"},
	} {
		h := newHost(t, Options{Origins: []string{c.allowed}})
		files := h.CORS(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "file") }))
		r := httptest.NewRequest("GET", "/file", nil)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		files.ServeHTTP(w, r)
		check(t, fmt.Sprint(c), fmt.Sprint(w.Code, w.Body.String()), "200file")
		check(t, "allow", w.Header().Get("Access-Control-Allow-Origin"), c.allow)
		check(t, "credentials", w.Header().Get("Access-Control-Allow-Credentials"), "")
		if c.origin != "" {
			want := 204
			if c.allow == "" {
				want = 403
			}
			check(t, "preflight", preflight(files, "/file", c.origin).Code, want)
		}
		h.shut()
	}
}

// Each refused origin is told once, with what would admit it; however many there
// are, and whatever they have in them.
func TestServer_WarnsOfNewOrigins(t *testing.T) {
	var log bytes.Buffer
	h := newHost(t, Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	ask := func(origin string) (lines []string) {
		log.Reset()
		r := httptest.NewRequest("GET", "/socket.io/?EIO=4&transport=polling", nil)
		r.Header["Origin"] = []string{origin}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		check(t, "status", w.Code, 403)
		for line := range strings.Lines(log.String()) {
			var entry struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, entry.Level+" "+entry.Msg)
		}
		return lines
	}
	const told = `WARN engineio: origin "https://page.example" refused; --cors-origin https://page.example (Options.Origins) would admit it`
	check(t, "first", ask("https://Page.example:443"), []string{told})
	check(t, "again", len(ask("https://page.example")), 0)
	check(t, "null", ask("null"), []string{`WARN engineio: origin "null" refused; --cors-origin null (Options.Origins) would admit it`})
	for _, bad := range []string{"https://x;$(reboot).example", "https://\u202eelpmaxe.live", "nonsense", "https://*.page.example"} {
		for _, line := range ask(bad) {
			if strings.Contains(line, "--cors-origin") || strings.ContainsFunc(line, func(r rune) bool { return r > 0x7e }) {
				t.Errorf("%q: %s", bad, line)
			}
		}
	}
	lines, longest := 0, 0
	for i := range 2 * maxStrangers {
		for _, line := range ask(fmt.Sprintf("https://%d.%s.example", i, strings.Repeat("x", 20_000))) {
			lines, longest = lines+1, max(longest, len(line))
		}
	}
	if lines > maxStrangers || longest > 2*maxStranger || len(h.strangers.seen) != maxStrangers {
		t.Errorf("%d lines of up to %d bytes, %d remembered", lines, longest, len(h.strangers.seen))
	}
	h.shut()
}
