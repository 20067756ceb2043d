package node_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/node"
)

// The id of a Socket.IO v2 client is its session id: who reads it on a public page could
// take the connection over.
func TestStatus_HidesSessionIDsFromVisitors(t *testing.T) {
	srv := start(t, node.Options{AllowEIO3: true, PublicStatus: true, StatusToken: "s3cret"})
	srv.SetupNamespace("*", accept)
	_, hello := srv.get("/socket.io/?EIO=3&transport=polling", "")
	m := regexp.MustCompile(`"sid":"([^"]+)"`).FindStringSubmatch(hello)
	if m == nil {
		t.Fatalf("handshake: %s", hello)
	}
	sid := m[1]
	if res, body := srv.get("/socket.io/?EIO=3&transport=polling&sid="+sid, ""); res.StatusCode != http.StatusOK {
		t.Fatalf("who knows the session id cannot poll: %d %s", res.StatusCode, body)
	}
	srv.connect(how{}).join("/")
	var asked string
	for deadline := time.Now().Add(patience); !strings.Contains(asked, sid) || strings.Count(asked, `"transport"`) < 2; {
		if time.Now().After(deadline) {
			t.Fatalf("who has the token does not see both clients: %s", asked)
		}
		_, asked = srv.get("/socket.io/status.json?namespace=/&token=s3cret", "")
	}
	for _, path := range []string{"/socket.io/status.json?namespace=/", "/socket.io/status", "/socket.io/status?namespace=/"} {
		_, body := srv.get(path, "")
		if strings.Contains(body, sid) || strings.Count(body, "hidden-") != strings.Count(body, "polling") && strings.Contains(path, "namespace") {
			t.Errorf("%s shows a visitor the session id, or hides another", path)
		}
	}
}
