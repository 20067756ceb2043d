package address

import "testing"

func TestGroup(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":                   "192.0.2.1",
		"192.0.2.1:80":                "192.0.2.1",
		"::ffff:192.0.2.1":            "192.0.2.1",
		"[::ffff:192.0.2.1]:80":       "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":        "2001:db8:1:2::",
		"[2001:db8:1:2:ffff::1]:4711": "2001:db8:1:2::",
		"fe80::1%eth0":                "fe80::",
		"":                            "invalid IP",
		"@":                           "invalid IP",
		"example.com:80":              "invalid IP",
	} {
		if got := Group(in).String(); got != want {
			t.Errorf("Group(%q) = %s, want %s", in, got, want)
		}
	}
}
