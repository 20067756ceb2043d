package node

import (
	"net/http"
	"testing"
)

// Only the entry that the proxy itself has added is believed.
func TestBehindProxy_TakesTheLastHop(t *testing.T) {
	for _, test := range []struct {
		headers []string
		want    string
	}{
		{nil, "10.0.0.1:5"},
		{[]string{"192.0.2.7"}, "192.0.2.7:0"},
		{[]string{"6.6.6.6, 192.0.2.7"}, "192.0.2.7:0"},
		{[]string{"6.6.6.6", "7.7.7.7,2001:db8::1"}, "[2001:db8::1]:0"},
		{[]string{"192.0.2.7, <script>"}, "10.0.0.1:5"},
		{[]string{""}, "10.0.0.1:5"},
	} {
		r := &http.Request{RemoteAddr: "10.0.0.1:5", Header: http.Header{"X-Forwarded-For": test.headers}}
		if got := behindProxy(r).RemoteAddr; got != test.want || r.RemoteAddr != "10.0.0.1:5" {
			t.Errorf("%q: %s, want %s", test.headers, got, test.want)
		}
	}
}
