package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/namespace"
)

func TestSet_FirstMatchDecides(t *testing.T) {
	host := func(s string) namespace.Pattern {
		p, err := namespace.ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	list := []*Rule{
		{Match: match(t, "/secret"), AnyHost: true, Refuse: true},
		{Match: match(t, "/chat"), Host: MainHost},
		{Match: match(t, "/chat"), Host: host("other.example")},
		{Match: match(t, `/^\/chat\/[a-z]+$/`), AnyHost: true},
		{Match: match(t, "*"), Host: host(`/\.tenant\.example$/`)},
		{Match: match(t, "*"), Host: host("[::1]")},
		{Match: match(t, "*"), Host: host("port.example:81")},
	}
	set := &Set{Rules: list}
	for _, test := range []struct {
		host, name string
		want       int // index; -1: refused
	}{
		{"", "/secret", -1},
		{"x.tenant.example", "/secret", -1},
		{"", "/chat", 1},
		{"other.example", "/chat", 2},
		{"other.example:8080", "/chat", 2},
		{"another.example", "/chat", -1},
		{"another.example", "/chat/abc", 3},
		{"", "/chat/ab3", -1},
		{"", "/chat/abc/d", -1},
		{"x.tenant.example", "/whatever", 4},
		{"x.tenant.example.evil", "/whatever", -1},
		{"[::1]:80", "/", 5},
		{"port.example:81", "/", 6},
		{"port.example:82", "/", -1},
		{"port.example", "/", -1},
		{"", "/", -1},
	} {
		var want *Rule
		if test.want >= 0 {
			want = list[test.want]
		}
		if got := set.find(test.host, test.name); got != want {
			t.Errorf("%s%s: %+v, want rule %d", test.host, test.name, got, test.want)
		}
	}
	if got := (&Set{}).find("", "/any"); got != open {
		t.Error("a set without rules refuses")
	}
}

func TestParseMatch_SaysWhatIsWrong(t *testing.T) {
	for s, want := range map[string]string{
		"": "empty", "chat": "slash", "//host/x": "no client", "/a,b": "no client", "//": "empty", "/(/": "missing closing",
		"/chat/*": "stands alone", "/^chat$/": "begins with a slash", "/^chat-[0-9]+/": "begins with a slash",
		"/admin/": `/^\/admin/ is what begins with /admin, and /admin without a slash`, "/^a|b/": "begin it with ^", `/(\/x|^\/y)/`: "begin it with ^",
		"/(?m)^a/": "begin it with ^", "/(^a)?/": "begin it with ^", `/\/^x/`: "begin it with ^",
		"/board/{id}":       `"{id}" stands for nothing; with any text in its place it is /^\/board\/[^\/]+$/`,
		"/board/:id/x.y":    `":id" stands for nothing; with any text in its place it is /^\/board\/[^\/]+\/x\.y$/`,
		"/a*":               `"*" stands for nothing; with any text in its place it is /^\/a[^\/]+$/`,
		`/^\/board\/{id}$/`: "{id} stands for nothing",
	} {
		if _, err := ParseMatch(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", s, err, want)
		}
	}
	for s, names := range map[string]string{"/": "/", "/chat": "/chat", "*": "/x", `/^\/a$/`: "/a", "/^a?/": "/b", "/^/": "/b", "/^[/a]b/": "/b", "/^.b/": "/b",
		`/^\/a|^\/b/`: "/b", `/(^\/a)+/`: "/a", `/\A\/a/`: "/a", `/^\/\{id\}$/`: "/{id}", "/room:1": "/room:1", `/^\/\p{Greek}{2}\x{61}/`: "/ααa"} {
		p, err := ParseMatch(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if _, ok := p.Match(names); !ok {
			t.Errorf("%q does not match %s", s, names)
		}
	}
}

func TestSet_FindsUnreachableRules(t *testing.T) {
	host := func(s string) *Rule { return &Rule{Match: namespace.All, Host: namespace.Exact(s)} }
	all := &Rule{Match: namespace.All, AnyHost: true}
	chat := &Rule{Match: match(t, "/chat"), AnyHost: true}
	var hosts Hosts
	if _, err := hosts.AddCanonical("a"); err != nil {
		t.Fatal(err)
	}
	if err := hosts.AddAlias("a", "www.a"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		main  namespace.Pattern
		rules []*Rule
		want  string
	}{
		{"good order", namespace.All, []*Rule{chat, all}, ""},
		{"after everything", namespace.All, []*Rule{all, chat, all}, "1 namespaces[0] matches everything, 2 namespaces[0] matches everything"},
		{"after everything on one host", namespace.Exact("main"), []*Rule{host("a"), chat}, ""},
		{"twice", namespace.All, []*Rule{chat, {Match: match(t, "/chat"), AnyHost: true}}, "1 namespaces[0] matches the same"},
		{"another host", namespace.Exact("main"), []*Rule{host("a"), host("b"), all}, ""},
		{"no host is another", namespace.All, []*Rule{chat, host("a"), host("b")}, "1 every host is the main one, 2 every host is the main one"},
		{"the main host by name", namespace.Exact("main"), []*Rule{host("main")}, "0 is the main one"},
		{"an alias", namespace.Exact("main"), []*Rule{host("a"), host("www.a"), host("main")}, "1 is an alias of a, 2 is the main one"},
		{"the main host", namespace.All, []*Rule{{Match: namespace.All, Host: MainHost}, all}, ""},
	} {
		var got []string
		for _, u := range (&Set{Rules: test.rules, Hosts: hosts}).Unreachable(test.main) {
			got = append(got, fmt.Sprint(u.Rule, " ", u.Why))
		}
		want := strings.Split(test.want, ", ")
		if test.want == "" {
			want = nil
		}
		if len(got) != len(want) {
			t.Errorf("%s: %q, want %q", test.name, got, want)
			continue
		}
		for i := range got {
			index, why, _ := strings.Cut(want[i], " ")
			if !strings.HasPrefix(got[i], index+" ") || !strings.Contains(got[i], why) {
				t.Errorf("%s: %q, want %q", test.name, got[i], want[i])
			}
		}
	}
}

func TestRooms_Has(t *testing.T) {
	claims := Claims{"sub": "anna", "team": "7", "none": ""}
	for _, test := range []struct {
		entry, room string
		claims      Claims
		want        bool
	}{
		{"*", "anything", nil, true},
		{"lobby", "lobby", nil, true},
		{"lobby", "lobby2", nil, false},
		{"/^game-/", "game-1", nil, true},
		{"/^game-/", "a game-1", nil, false},
		{"user-{sub}", "user-anna", claims, true},
		{"user-{sub}", "user-bob", claims, false},
		{"user-{sub}", "user-{sub}", claims, false},
		{"user-{sub}", "user-", nil, false},
		{"user-{none}", "user-", claims, false},
		{"{team}/{sub}", "7/anna", claims, true},
		{"{team}/{sub}", "7/", claims, false},
		{"{a}-{b}", "x-y-z", Claims{"a": "x-y", "b": "z"}, false},
		{"{a}-{b}", "x-y-z", Claims{"a": "x", "b": "y-z"}, false},
		{"{a}--{b}", "x---z", Claims{"a": "x-", "b": "z"}, false}, // or "x" and "-z"
		{"t-{a}:{b}", "t-x-y:z", Claims{"a": "x-y", "b": "z"}, true},
		{"user-{a}", "user-x-y", Claims{"a": "x-y"}, true}, // alone it is what it is
		{"{none}", "", claims, false},
	} {
		r := rooms(t, "other", test.entry)
		if got := r.has(test.room, test.claims); got != test.want {
			t.Errorf("%s has %s: %v", test.entry, test.room, got)
		}
	}
	if (Rooms{}).has("any", claims) {
		t.Error("no rooms has one")
	}
	if got, ok := rooms(t, "a", "x{b}y{c}").Template(); !ok || got != "x{b}y{c}" {
		t.Errorf("template %q", got)
	}
	for _, bad := range []string{"", "//", "/(/", "a{", "a}b", "a{b", "{}", "{a b}", "{a{b}", "{a}{b}", "x-{a}{b}", "/admin/", "/^a|b/", "/^user-{sub}$/"} {
		var r Rooms
		if err := r.Add(bad); err == nil {
			t.Errorf("%q is taken for a room", bad)
		}
	}
}

// Two templates that can make one name are told, whichever list they are in.
func TestAmbiguous(t *testing.T) {
	for _, test := range []struct {
		join, to []string
		want     bool
	}{
		{[]string{"team-{team}", "user-{sub}", "lobby"}, []string{"team-{team}", "/^user-/"}, false},
		{[]string{"team-{team}"}, []string{"team-{team}-{role}"}, true},
		{[]string{"user-{sub}", "user-{sub}-inbox"}, nil, true},
		{[]string{"user-{sub}", "user-{mail}"}, nil, true},
		{[]string{"{sub}", "user-{sub}"}, nil, true},
		{[]string{"user-{sub}-in", "user-{sub}-out"}, nil, false},
	} {
		a, b, found := Ambiguous(rooms(t, test.join...), rooms(t, test.to...))
		if found != test.want || found && (a == b || a == "" || b == "") {
			t.Errorf("%q and %q: %v, %q and %q", test.join, test.to, found, a, b)
		}
	}
}

func TestHosts_Canonical(t *testing.T) {
	var h Hosts
	for _, name := range []string{"Example.com.", "api.example.com", "tls.example:8443", "[::7]"} {
		if _, err := h.AddCanonical(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, pair := range [][2]string{
		{"example.com", "www.example.com"}, {"example.com", "*.example.com"}, {"api.example.com", "*.v1.example.com"},
		{"tls.example:8443", "plain.example"}, {"example.com", "old.example:81"}, {"example.com", "[::1]"},
		{"[::7]", "seven.example"},
	} {
		if err := h.AddAlias(pair[0], pair[1]); err != nil {
			t.Fatalf("%s: %v", pair[1], err)
		}
	}
	for host, want := range map[string]string{
		"":                      "",
		"example.com":           "example.com",
		"www.example.com":       "example.com",
		"www.example.com:8080":  "example.com:8080",
		"a.b.example.com":       "example.com",
		"api.example.com":       "api.example.com", // stands for itself
		"api.example.com:1":     "api.example.com:1",
		"x.v1.example.com":      "api.example.com", // the longer one
		"plain.example:80":      "tls.example:8443",
		"plain.example":         "tls.example:8443",
		"old.example":           "old.example",
		"old.example:81":        "example.com",
		"old.example:82":        "old.example:82",
		"[::1]:8080":            "example.com:8080",
		"seven.example:81":      "[::7]:81",
		"[::2]:8080":            "[::2]:8080",
		"notexample.com":        "notexample.com",
		"example.com.evil.test": "example.com.evil.test",
	} {
		if got := h.Canonical(host); got != want {
			t.Errorf("%s is %s, want %s", host, got, want)
		}
	}
	if got := h.Len(); got != 7 {
		t.Errorf("%d aliases, want 7", got)
	}
	for _, bad := range []string{"EXAMPLE.com", "", "a b"} {
		if _, err := h.AddCanonical(bad); err == nil {
			t.Errorf("%q is taken for a canonical name", bad)
		}
	}
	for _, bad := range []string{"www.example.com", "WWW.example.com", "api.example.com", "*.example.com", "a b", "*", "*.", ""} {
		if err := h.AddAlias("example.com", bad); err == nil {
			t.Errorf("%q is taken for an alias", bad)
		}
	}
	if got := (&Hosts{}).Canonical("x.example"); got != "x.example" {
		t.Errorf("without aliases x.example is %s", got)
	}
}
