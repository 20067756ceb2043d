package status

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

func TestActions_CarryOut(t *testing.T) {
	var log bytes.Buffer
	src := &fakeSource{report: well()}
	h := guardedBy(t, src, true)
	h.log = slog.New(slog.NewTextHandler(&log, nil))
	cookie := signedIn(t, h)
	form := url.Values{"action": {"disconnect"}, "namespace": {"/a\n<b>"}, "id": {"x"}, "back": {"q=a"}}
	// First it is asked whether it is meant.
	asks := serve(h, request("GET", "/socket.io/status/actions?"+form.Encode(), "", cookie))
	if page := asks.Body.String(); asks.Code != 200 || !strings.Contains(page, `<button class="danger">Disconnect</button>`) || !strings.Contains(page, `name="back" value="q=a"`) || strings.Contains(page, "<b>") {
		t.Errorf("the question: %d %s", asks.Code, page)
	}
	if src.done() != "" {
		t.Errorf("a GET has done %s", src.done())
	}
	w := serve(h, request("POST", "/socket.io/status/actions", form.Encode(), cookie))
	if w.Code != 303 || w.Header().Get("Location") != "/socket.io/status?q=a&notice=disconnect" || src.done() != "disconnect /a\n<b> x" {
		t.Errorf("%d to %q, done: %s", w.Code, w.Header().Get("Location"), src.done())
	}
	if page := get(t, h, w.Header().Get("Location"), cookie); !strings.Contains(page, notices["disconnect"]) {
		t.Error("the page does not say what was done")
	}
	if want := `address=192.0.2.1:1234 host="" action=disconnect namespace="/a\n<b>" id=x outcome=done`; !strings.Contains(log.String(), want) {
		t.Errorf("the log is %q, want %q in it", &log, want)
	}
}

func TestActions_SayWhyNot(t *testing.T) {
	src := &fakeSource{report: well()}
	h := guardedBy(t, src, true)
	bearer := "Authorization: Bearer " + token
	for _, tc := range []struct {
		form string
		err  error
		code int
		text string
	}{
		{"action=retire&namespace=/a", nil, 202, "is being retired"},
		{"action=retire&namespace=/a", ErrNotFound, 404, "no such"},
		{"action=retire&namespace=/a", ErrOccupied, 409, "has sockets"},
		{"action=retire&namespace=/a", ErrPermanent, 409, "permanent"},
		{"action=disconnect&namespace=/a&id=x", errors.New("redis://secret@host is away"), 503, "Try again"},
		{"action=retire", nil, 400, "namespace"},
		{"action=disconnect&namespace=/a", nil, 400, "id"},
		{"action=drop&namespace=/a", nil, 400, "action"},
		{"", nil, 400, "action"},
	} {
		src.fail = tc.err
		w := serve(h, request("POST", "/socket.io/status/actions", tc.form, bearer, "Accept: application/json", "Content-Type: application/x-www-form-urlencoded"))
		var a struct {
			OK   bool
			Text string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != tc.code || a.OK != (tc.code == 202) || !strings.Contains(a.Text, tc.text) || strings.Contains(a.Text, "secret") {
			t.Errorf("%q, %v: %d %s", tc.form, tc.err, w.Code, w.Body)
		}
		page := serve(h, request("POST", "/socket.io/status/actions", tc.form+"&back=q%3Da", bearer))
		if tc.code != 202 && (page.Code != tc.code || !strings.Contains(page.Body.String(), `href="/socket.io/status?q=a"`)) {
			t.Errorf("%q, %v, to a browser: %d %s", tc.form, tc.err, page.Code, page.Body)
		}
	}
}

// A host acts on its own namespaces only, and is not told which others there are.
func TestActions_AHostKeepsToItself(t *testing.T) {
	src := &fakeSource{report: well()}
	h := guardedBy(t, src, true)
	cookie := signedIn(t, h)
	for full, want := range map[string]int{
		"//a.com/x": 303, "//b.com/x": 404, "/x": 404, "//a.com:80/x": 404, "//a.comx/": 404, "a.com/x": 404,
	} {
		for _, method := range []string{"GET", "POST"} {
			form := url.Values{"action": {"retire"}, "namespace": {full}}.Encode()
			path, body := "/socket.io/status/actions?"+form, ""
			if method == "POST" {
				path, body = "/socket.io/status/actions", form
			}
			w := serve(h, request(method, path, body, cookie, "Host: a.com"))
			if w.Code != want && !(method == "GET" && want == 303 && w.Code == 200) {
				t.Errorf("%s of %s: %d, want %d", method, full, w.Code, want)
			}
		}
	}
	if src.done() != "retire //a.com/x" {
		t.Errorf("done: %s", src.done())
	}
}

func TestActions_AreOfferedToThoseWhoMay(t *testing.T) {
	src := &fakeSource{report: well()}
	n := space("/a", 1)
	n.Clients = []Client{{ID: "x", Node: "a"}}
	src.report.Namespaces = []Namespace{n, space("/b", 0)}
	h := guardedBy(t, src, true)
	cookie := signedIn(t, h)
	links := func(page string) int { return strings.Count(page, "/socket.io/status/actions?") }
	if page := get(t, h, "/socket.io/status"); links(page) != 0 || strings.Contains(page, "<dialog") || !strings.Contains(page, "/status/signin") {
		t.Error("actions are offered to everybody, or nobody is asked to sign in")
	}
	page := get(t, h, "/socket.io/status", cookie)
	if links(page) != 2 || !strings.Contains(page, "<dialog") || !strings.Contains(page, "/status/signout") {
		t.Errorf("%d actions are offered to who has signed in", links(page))
	}
	for _, want := range []string{"/socket.io/status/actions?action=disconnect&amp;id=x&amp;namespace=%2Fa", "/socket.io/status/actions?action=retire&amp;namespace=%2Fb"} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is not offered", want)
		}
	}
	for name, change := range map[string]func(*Options){
		"no actions": func(o *Options) { o.Token = token }, "no token": func(o *Options) { o.Actions = true },
	} {
		h := newTestHandler(t, src, change)
		if page := get(t, h, "/socket.io/status", cookie); links(page) != 0 {
			t.Errorf("%s: %d actions are offered", name, links(page))
		}
		if w := serve(h, request("POST", "/socket.io/status/actions", "action=retire&namespace=/b", "Authorization: Bearer "+token)); w.Code != 404 {
			t.Errorf("%s: an action answers %d", name, w.Code)
		}
	}
	if src.done() != "" {
		t.Errorf("done: %s", src.done())
	}
}
