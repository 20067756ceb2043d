package status

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const token = "s3cret-token"

// guardedBy makes a handler with a token; actions are allowed.
func guardedBy(t testing.TB, src Source, public bool) *Handler {
	t.Helper()
	return newTestHandler(t, src, func(o *Options) { o.Public, o.Token, o.Actions = public, token, true })
}

// signedIn returns the header of a browser that has presented the token.
func signedIn(t testing.TB, h http.Handler) string { return signedInWith(t, h, token) }

func signedInWith(t testing.TB, h http.Handler, token string) string {
	t.Helper()
	w := serve(h, request("POST", "/socket.io/status/signin", "token="+token))
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		t.Fatalf("signing in: %d %v", w.Code, w.Header())
	}
	c := w.Result().Cookies()[0]
	return "Cookie: " + c.Name + "=" + c.Value
}

func TestAccess_Table(t *testing.T) {
	src := &fakeSource{report: well()}
	private, public := guardedBy(t, src, false), guardedBy(t, src, true)
	cookie := signedIn(t, private)
	other := newTestHandler(t, src, func(o *Options) { o.Token = "another" })
	foreign := signedInWith(t, other, "another")
	expired := "Cookie: " + cookieName + "=" + private.cookie(time.Now().Add(-time.Second))
	at, proof, _ := strings.Cut(private.cookie(time.Now().Add(time.Hour)), ".")
	later := "Cookie: " + cookieName + "=9" + at + "." + proof
	for _, tc := range []struct {
		name            string
		headers         []string
		query           string
		private, public access
	}{
		{"nothing", nil, "", mayNothing, maySee},
		{"bearer", []string{"Authorization: Bearer " + token}, "", maySeeAsked, maySeeAsked},
		{"bearer in lower case", []string{"Authorization: bearer " + token}, "", maySeeAsked, maySeeAsked},
		{"wrong bearer", []string{"Authorization: Bearer " + token + "x"}, "", mayNothing, mayNothing},
		{"empty bearer", []string{"Authorization: Bearer "}, "", mayNothing, mayNothing},
		{"basic", []string{"Authorization: Basic " + token}, "", mayNothing, maySee},
		{"parameter", nil, "?token=" + token, maySeeAsked, maySeeAsked},
		{"wrong parameter", nil, "?token=s3cret", mayNothing, mayNothing},
		{"empty parameter", nil, "?token=", mayNothing, mayNothing},
		{"bearer beats parameter", []string{"Authorization: Bearer wrong"}, "?token=" + token, mayNothing, mayNothing},
		{"cookie", []string{cookie}, "", maySeeAsked, maySeeAsked},
		{"bearer beats cookie", []string{cookie, "Authorization: Bearer wrong"}, "", mayNothing, mayNothing},
		{"parameter beats cookie", []string{cookie}, "?token=wrong", mayNothing, mayNothing},
		{"the token as cookie", []string{"Cookie: " + cookieName + "=" + token}, "", mayNothing, maySee},
		{"another cluster's cookie", []string{foreign}, "", mayNothing, maySee},
		{"expired cookie", []string{expired}, "", mayNothing, maySee},
		{"cookie made to last", []string{later}, "", mayNothing, maySee},
		{"empty cookie", []string{"Cookie: " + cookieName + "="}, "", mayNothing, maySee},
		{"cookie's value as bearer", []string{"Authorization: Bearer " + strings.TrimPrefix(cookie, "Cookie: "+cookieName+"=")}, "", mayNothing, mayNothing},
	} {
		for h, want := range map[*Handler]access{private: tc.private, public: tc.public} {
			if got := h.access(request("GET", "/socket.io/status.json"+tc.query, "", tc.headers...)); got != want {
				t.Errorf("%s (public %v): %d, want %d", tc.name, h.opts.Public, got, want)
			}
			for _, path := range []string{"/socket.io/status", "/socket.io/status.json"} {
				code := serve(h, request("GET", path+tc.query, "", append(tc.headers, "Accept: */*")...)).Code
				if (code == http.StatusUnauthorized) != (want == mayNothing) || code != 200 && code != 401 {
					t.Errorf("%s (public %v): %s answers %d", tc.name, h.opts.Public, path, code)
				}
			}
			w := serve(h, request("POST", "/socket.io/status/actions"+tc.query, "action=retire&namespace=/a", tc.headers...))
			if (w.Code == http.StatusUnauthorized) != (want != maySeeAsked) {
				t.Errorf("%s (public %v): an action answers %d", tc.name, h.opts.Public, w.Code)
			}
		}
	}
	nobody := newTestHandler(t, src, func(o *Options) { o.Public = false })
	for _, path := range []string{"", ".json", "/events", "/actions", "/signin"} {
		if w := serve(nobody, request("GET", "/socket.io/status"+path+"?token=", "", cookie)); w.Code != http.StatusNotFound {
			t.Errorf("where nobody may look, status%s answers %d", path, w.Code)
		}
	}
}

// A token in the address is replaced by a cookie that is of no use to read.
func TestAccess_TokenLeavesTheAddress(t *testing.T) {
	h := guardedBy(t, &fakeSource{report: well()}, false)
	w := serve(h, request("GET", "/socket.io/status?namespace=%2Fa&token="+token+"&x=1", ""))
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/socket.io/status?namespace=%2Fa" {
		t.Fatalf("%d to %q", w.Code, w.Header().Get("Location"))
	}
	c := w.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/socket.io/" || c.Secure || c.MaxAge <= 0 || c.MaxAge > 24*3600 || strings.Contains(c.Value, token) {
		t.Errorf("cookie %+v", c)
	}
	secure := serve(h, request("GET", "/socket.io/status?token="+token, "", "X-Forwarded-Proto: https")).Result().Cookies()[0]
	if !secure.Secure {
		t.Error("over TLS, the cookie is not for TLS alone")
	}
	if w := serve(h, request("GET", "/socket.io/status?token=wrong", "")); w.Code != 401 || len(w.Result().Cookies()) > 0 || !strings.Contains(w.Body.String(), `type="password"`) {
		t.Errorf("a wrong token: %d %v", w.Code, w.Header())
	}
	// Programs are answered as they ask.
	if w := serve(h, request("GET", "/socket.io/status.json?token="+token, "")); w.Code != 200 || len(w.Result().Cookies()) > 0 {
		t.Errorf("status.json: %d %v", w.Code, w.Header())
	}
	// From another site's link, a redirect would come without the cookie.
	w = serve(h, request("GET", "/socket.io/status?q=a&token="+token, "", "Sec-Fetch-Site: cross-site"))
	if w.Code != 200 || w.Header().Get("Refresh") != "0; url=/socket.io/status?q=a" || len(w.Result().Cookies()) != 1 {
		t.Errorf("from another site: %d %v", w.Code, w.Header())
	}
}

func TestAccess_SigningInAndOut(t *testing.T) {
	var log bytes.Buffer
	h := newTestHandler(t, &fakeSource{report: well()}, func(o *Options) {
		o.Public, o.Token, o.Logger = false, token, slog.New(slog.NewTextHandler(&log, nil))
	})
	page := serve(h, request("GET", "/socket.io/status?q=x", "")).Body.String()
	if !strings.Contains(page, `action="/socket.io/status/signin"`) || !strings.Contains(page, `name="back" value="q=x"`) {
		t.Error("a browser without the token is not asked for it")
	}
	w := serve(h, request("POST", "/socket.io/status/signin", "token="+url.QueryEscape(`"><i>`)+"&back=q%3Dx"))
	if w.Code != 401 || strings.Contains(w.Body.String(), "<i>") || len(w.Result().Cookies()) > 0 {
		t.Errorf("a wrong token: %d %v", w.Code, w.Header())
	}
	for back, want := range map[string]string{
		"q=x&namespace=/a": "/socket.io/status?namespace=%2Fa&q=x", "//evil.com": "/socket.io/status", "https://evil.com/?q=": "/socket.io/status",
		"%zz": "/socket.io/status", "token=" + token: "/socket.io/status", "q=\r\nX: y": "/socket.io/status?q=%0D%0AX%3A+y",
	} {
		w := serve(h, request("POST", "/socket.io/status/signin", url.Values{"token": {token}, "back": {back}}.Encode()))
		if got := w.Header().Get("Location"); w.Code != 303 || got != want {
			t.Errorf("back to %q: %d to %q, want %q", back, w.Code, got, want)
		}
	}
	w = serve(h, request("POST", "/socket.io/status/signout", "", signedIn(t, h)))
	if c := w.Result().Cookies(); w.Code != 303 || len(c) != 1 || c[0].MaxAge >= 0 || c[0].Value != "" {
		t.Errorf("signing out: %d %v", w.Code, w.Header())
	}
	if strings.Contains(log.String(), token) || !strings.Contains(log.String(), "wrong token") {
		t.Errorf("the log says %s", &log)
	}
}

func TestAccess_FormsOfOthersAreRefused(t *testing.T) {
	src := &fakeSource{report: well()}
	h := guardedBy(t, src, true)
	cookie := signedIn(t, h)
	for _, path := range []string{"signin", "signout", "actions"} {
		body := "token=" + token + "&action=retire&namespace=/a"
		for _, tc := range []struct {
			want    int
			headers []string
		}{
			{403, []string{"Sec-Fetch-Site: cross-site"}}, {403, []string{"Sec-Fetch-Site: same-site"}}, {403, []string{"Origin: http://evil.com"}},
			{303, []string{"Sec-Fetch-Site: same-origin"}}, {303, []string{"Origin: http://main"}}, {303, nil},
		} {
			if w := serve(h, request("POST", "/socket.io/status/"+path, body, append(tc.headers, cookie)...)); w.Code != tc.want {
				t.Errorf("%s with %v: %d, want %d", path, tc.headers, w.Code, tc.want)
			}
		}
	}
	if src.done() != "retire /a; retire /a; retire /a" {
		t.Errorf("done: %s", src.done())
	}
	big := request("POST", "/socket.io/status/actions", "action=retire&namespace="+strings.Repeat("x", maxForm), cookie)
	if w := serve(h, big); w.Code != http.StatusBadRequest {
		t.Errorf("a form of more than %d bytes: %d", maxForm, w.Code)
	}
	for _, path := range []string{"", ".json", "/events"} {
		if w := serve(h, httptest.NewRequest("POST", "/socket.io/status"+path, nil)); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST status%s: %d", path, w.Code)
		}
	}
}

// A list header may come on several lines.
func TestAccess_BrowserByAnyAcceptLine(t *testing.T) {
	r := httptest.NewRequest("GET", "/socket.io/status", nil)
	r.Header["Accept"] = []string{"application/json", "text/html"}
	if !isBrowser(r) {
		t.Error("text/html on the second line is not seen")
	}
}
