package bus

import (
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/cluster/wire"
)

func TestPrefixFor(t *testing.T) {
	for cluster, want := range map[string]string{
		"": "socket.io", "default": "socket.io", "prod": "socket.io-prod", "Prod_2.eu-west": "socket.io-Prod_2.eu-west",
		"request": "socket.io-request%", "prod-response": "socket.io-prod-response%", "requests": "socket.io-requests",
		"a#b": "socket.io-a%23b", "100%": "socket.io-100%25", "request%": "socket.io-request%25", "a b*?[é": "socket.io-a%20b%2A%3F%5B%C3%A9",
	} {
		if got := PrefixFor(cluster); got != want {
			t.Errorf("PrefixFor(%q) = %q, want %q", cluster, got, want)
		}
	}
}

// channelsOf are all channels on which a cluster hears of a namespace.
func channelsOf(prefix, full, room string) []string {
	b := &Bus{opts: Options{Prefix: prefix}, uid: "uid"}
	return []string{
		b.broadcastChannel(full), b.roomChannel(full, room), b.requestChannel(full), b.responseChannel(full), b.ownResponseChannel(full),
		BroadcastChannel(prefix, wire.StockGo, full),
	}
}

// No channel of one cluster is one of another's, whatever their names.
func FuzzPrefixFor_KeepsClustersApart(f *testing.F) {
	for _, names := range [][2]string{
		{"default", "request"}, {"default", "response"}, {"a", "a-request"}, {"a", "a#/x"}, {"request", "request%"}, {"a-request", "a-request%"},
		{"default", "-request"}, {"a%23", "a#"}, {"", "socket.io"}, {"default", "default-request"},
	} {
		f.Add(names[0], names[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if a == "" {
			a = "default"
		}
		if b == "" {
			b = "default"
		}
		if a == b {
			return
		}
		p, q := PrefixFor(a), PrefixFor(b)
		if err := CheckPrefix(p); err != nil {
			t.Fatalf("%q: %v", a, err)
		}
		for _, one := range channelsOf(p, "/x", "r") {
			for _, other := range channelsOf(q, "/x", "r") {
				// A prefix ends at the first number sign of a channel.
				if before, _, _ := strings.Cut(one, "#"); strings.HasPrefix(other, before+"#") {
					t.Fatalf("clusters %q and %q share %q and %q", a, b, one, other)
				}
			}
		}
	})
}

func TestCheckPrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"socket.io": "", "goio": "", "my-requests": "", "a#b": "number sign", "socket.io-request": `"socket.io"`, "x-response": `"x"`,
	} {
		if err := CheckPrefix(prefix); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("CheckPrefix(%q) = %v, want %q in it", prefix, err, want)
		}
	}
}
