package node

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func proxies(t testing.TB, list string) Proxies {
	t.Helper()
	p, err := ParseProxies(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Only what a proxy that is believed has added counts, hop by hop from the right.
func TestProxies_FindTheClient(t *testing.T) {
	const networks = "10.0.0.0/8,fd00::/8,192.0.2.1"
	for _, test := range []struct {
		trust, peer string
		headers     []string
		want        string
	}{
		// Nobody is believed by default.
		{"", "10.0.0.1:5", []string{"192.0.2.7"}, "10.0.0.1:5"},
		// The direct peer, and only it.
		{"true", "10.0.0.1:5", nil, "10.0.0.1:5"},
		{"true", "10.0.0.1:5", []string{"192.0.2.7"}, "192.0.2.7:0"},
		{"true", "10.0.0.1:5", []string{"6.6.6.6, 192.0.2.7"}, "192.0.2.7:0"},
		{"true", "10.0.0.1:5", []string{"6.6.6.6", "7.7.7.7,2001:db8::1"}, "[2001:db8::1]:0"},
		{"true", "10.0.0.1:5", []string{"192.0.2.7, <script>"}, "10.0.0.1:5"},
		{"true", "10.0.0.1:5", []string{""}, "10.0.0.1:5"},
		{"true", "@", []string{"192.0.2.7"}, "192.0.2.7:0"}, // a Unix socket
		// Networks: over all proxies that are in them, and not further.
		{networks, "10.0.0.1:5", []string{"6.6.6.6, 192.0.2.7, 10.9.9.9"}, "192.0.2.7:0"},
		{networks, "10.0.0.1:5", []string{"6.6.6.6", "192.0.2.7 ,192.0.2.1", "fd00::2, 10.9.9.9"}, "192.0.2.7:0"},
		{networks, "[fd00::1]:5", []string{"192.0.2.7"}, "192.0.2.7:0"},
		{networks, "[::ffff:10.0.0.1]:5", []string{"::ffff:192.0.2.7"}, "192.0.2.7:0"},
		{networks, "11.0.0.1:5", []string{"192.0.2.7"}, "11.0.0.1:5"},
		{networks, "@", []string{"192.0.2.7"}, "@"},
		{networks, "10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3:0"}, // a client within
		{networks, "10.0.0.1:5", []string{"192.0.2.7, unknown, 10.0.0.2"}, "10.0.0.2:0"},
		{networks, "10.0.0.1:5", []string{",, ", "192.0.2.7,, "}, "192.0.2.7:0"},
		// Some proxies add the port.
		{networks, "10.0.0.1:5", []string{"192.0.2.7:4711, 10.0.0.2:80"}, "192.0.2.7:4711"},
		{networks, "10.0.0.1:5", []string{"[2001:db8::1]:4711"}, "[2001:db8::1]:4711"},
		{networks, "10.0.0.1:5", []string{"[2001:db8::1], [fd00::2]"}, "[2001:db8::1]:0"},
		{networks, "10.0.0.1:5", []string{"[2001:db8::1"}, "10.0.0.1:5"},
	} {
		r := &http.Request{RemoteAddr: test.peer, Header: http.Header{"X-Forwarded-For": test.headers}}
		p := proxies(t, test.trust)
		if got := p.behind(r).RemoteAddr; got != test.want || r.RemoteAddr != test.peer {
			t.Errorf("%q, from %s: %q gives %s, want %s", test.trust, test.peer, test.headers, got, test.want)
		}
	}
}

// What a proxy says of TLS counts as what it says of the address does.
func TestProxies_Secure(t *testing.T) {
	for _, test := range []struct {
		trust, peer string
		protos      []string
		tls, want   bool
	}{
		{"", "10.0.0.1:5", []string{"https"}, false, false},
		{"", "10.0.0.1:5", nil, true, true},
		{"true", "10.0.0.1:5", []string{"https"}, false, true},
		{"true", "10.0.0.1:5", []string{"https, http"}, false, false},
		{"true", "10.0.0.1:5", []string{"http", "HTTPS"}, false, true},
		{"10.0.0.0/8", "10.0.0.1:5", []string{"https"}, false, true},
		{"10.0.0.0/8", "11.0.0.1:5", []string{"https"}, false, false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-Proto"] = test.peer, test.protos
		if test.tls {
			r.TLS = &tls.ConnectionState{}
		}
		p := proxies(t, test.trust)
		if got := secure(p.behind(r)); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestParseProxies(t *testing.T) {
	for list, want := range map[string]string{
		"": "", "false": "", "true": "true", "True": "true", "10.0.0.0/8": "10.0.0.0/8", "10.1.2.3, fd00::/8": "10.1.2.3/32,fd00::/8",
		"::ffff:10.0.0.0/104": "10.0.0.0/8",
	} {
		if got := proxies(t, list).String(); got != want {
			t.Errorf("%q is %q, want %q", list, got, want)
		}
	}
	for _, list := range []string{"10.0.0.0/33", "10.0.0.1/8", "proxy.example", "10.0.0.0/8,", "fe80::1%eth0", "true,10.0.0.0/8"} {
		if p, err := ParseProxies(list); err == nil || !strings.HasPrefix(err.Error(), "node: ") {
			t.Errorf("%q: %v, %v", list, p, err)
		}
	}
}

// FuzzProxies: a peer that is not believed is the client, whatever it says, and
// from one that is believed comes its address or one that it names.
func FuzzProxies(f *testing.F) {
	for _, s := range []string{"192.0.2.7", "a, b", "[::1]:5,10.0.0.1", ",,", "::ffff:1.2.3.4:5"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		for peer, believed := range map[string]bool{"10.0.0.1:5": true, "11.0.0.1:5": false} {
			r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {one, two}}}
			p := proxies(t, "10.0.0.0/8")
			got := p.behind(r).RemoteAddr
			if _, ok := parseHop(got); !ok || !believed && got != peer {
				t.Errorf("%q, %q from %s: %s", one, two, peer, got)
			}
		}
	})
}
