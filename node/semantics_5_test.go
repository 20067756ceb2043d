package node_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// 5, table: the defaults. (Of retirement: 3.12; of the status page: 4.1; of the host: 1.1.)
func TestSemantics_5_Defaults(t *testing.T) {
	srv := start(t, node.Options{})
	res, body := srv.get("/socket.io/?EIO=4&transport=polling", "")
	if res.StatusCode != http.StatusOK || !strings.Contains(body, `"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000`) {
		t.Errorf("handshake: %d %s", res.StatusCode, body)
	}
	if res, _ := srv.get("/socket.io/socket.io.js", ""); res.StatusCode != http.StatusOK {
		t.Errorf("the client is not served: %d", res.StatusCode)
	}
	if res, body := srv.get("/socket.io/?EIO=3&transport=polling", ""); res.StatusCode != http.StatusBadRequest {
		t.Errorf("protocol 3 without its option: %d %s", res.StatusCode, body)
	}
}

// 5.1: a server needs no HTTP server to be made and set up; it is mounted later, beside other things.
func TestSemantics_5_1_MountedLater(t *testing.T) {
	srv, err := node.New(node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close(t.Context())
	srv.SetupNamespace("/k", accept)
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", srv)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/socket.io/?EIO=4&transport=polling", nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), `0{"sid":"`) {
		t.Errorf("handshake: %d %s", w.Code, w.Body)
	}
}

// 5.2: a pattern of true matches nothing, for hosts (1.2) and names alike.
func TestSemantics_5_2_TrueMatchesNothing(t *testing.T) {
	p, err := namespace.ParsePattern("true")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"", "/", "/chat", "true", "main.com"} {
		if m, ok := p.Match(s); ok {
			t.Errorf("it matches %q: %+v", s, m)
		}
	}
}

// 5.3: registrations may be made with clients connected, and an exact one replaced; they hold from the next incarnation on.
func TestSemantics_5_3_RegistrationsAtAnyTime(t *testing.T) {
	srv, j := start(t, node.Options{}), newJournal()
	c := srv.connect(how{})
	if got := c.refused("/a"); got != invalid {
		t.Errorf("refusal = %s", got)
	}
	srv.SetupNamespace("/a", j.named("first"))
	srv.SetupNamespace("/b", j.named("first"))
	c.join("/a")
	srv.SetupNamespace("/a", j.named("second"))
	srv.SetupNamespace("/b", j.named("second"))
	c.join("/b")
	srv.connect(how{}).join("/a")
	j.want(t, "first: /a", "second: /b")
}
