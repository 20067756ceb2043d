package namespace

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPattern_Match(t *testing.T) {
	groups := func(g ...string) []string { return g }
	for _, c := range []struct {
		pattern Pattern
		in      string
		groups  []string // nil: no match
		index   int
	}{
		{Pattern{}, "/x", groups("/x"), 0},
		{All, "", groups(""), 0},
		{None, "/x", nil, 0},
		{Exact("/x"), "/x", groups("/x"), 0},
		{Exact("/x"), "/xy", nil, 0},
		{Exact(""), "/x", groups("/x"), 0},
		{Regexp(regexp.MustCompile(`^.*/([^/]*)$`)), "/d/sec", groups("/d/sec", "sec"), 0},
		{Regexp(regexp.MustCompile(`b(x)?`)), "/ab", groups("b", ""), 2}, // searched for; a group without a part
		{Regexp(regexp.MustCompile(`^/chat$`)), "//host/chat", nil, 0},
	} {
		m, ok := c.pattern.Match(c.in)
		if ok != (c.groups != nil) || ok && (!slices.Equal(m.Groups, c.groups) || m.Index != c.index || m.Input != c.in) {
			t.Errorf("%v.Match(%q) = %+v, %v", c.pattern, c.in, m, ok)
		}
	}
}

func TestParsePattern_Forms(t *testing.T) {
	for in, want := range map[string]string{
		"": "*", "*": "*", "false": "*", "true": "true", "myhost.com": "myhost.com", "myhost.com:8080": "myhost.com:8080",
		`/^\d/`: `/^\d/`, "//": "//", "[::1]:80": "[::1]:80",
	} {
		p, err := ParsePattern(in)
		if err != nil || p.String() != want {
			t.Errorf("ParsePattern(%q) = %v, %v, want %s", in, p, err, want)
			continue
		}
		again, err := ParsePattern(p.String())
		if err != nil || again.String() != want {
			t.Errorf("ParsePattern(%q) again = %v, %v", p, again, err)
		}
	}
	for _, in := range []string{"/(/", "/", "http://x", "/a/b", "a b", "a\tb"} {
		if p, err := ParsePattern(in); err == nil {
			t.Errorf("ParsePattern(%q) = %v, want an error", in, p)
		}
	}
}

func TestNormalizeHost_Forms(t *testing.T) {
	for _, c := range []struct {
		in         string
		want, bare string // bare: with dropPort
	}{
		{"", "", ""},
		{"example.com", "example.com", "example.com"},
		{"EXAMPLE.com.", "example.com", "example.com"},
		{"Example.com.:8080", "example.com:8080", "example.com"},
		{"example.com:", "example.com", "example.com"},
		{"127.0.0.1:3000", "127.0.0.1:3000", "127.0.0.1"},
		{"[::1]", "[::1]", "[::1]"},
		{"[2001:DB8::1]:443", "[2001:db8::1]:443", "[2001:db8::1]"},
		{"my_service", "my_service", "my_service"},
	} {
		for dropPort, want := range map[bool]string{false: c.want, true: c.bare} {
			if got, ok := NormalizeHost(c.in, dropPort); !ok || got != want {
				t.Errorf("NormalizeHost(%q, %v) = %q, %v, want %q", c.in, dropPort, got, ok, want)
			}
		}
	}
	for _, in := range []string{
		".", ":80", "..", "a..b", "a..", ".a", "a b", "a/b", "a,b", "a?b", "a@b", "a:b", "a:8O", "a:1:2", "::1", "[::1", "[::1].", "[::1].:80", "[1.2.3.4]", "[x]", "[]",
		"ä.de", "\u212a.com" /* the Kelvin sign, whose lower case is k */, "a\x00", "a\r\nb", "a%2fb", strings.Repeat("a", 256), "<script>",
	} {
		if got, ok := NormalizeHost(in, false); ok {
			t.Errorf("NormalizeHost(%q) = %q, want a refusal", in, got)
		}
	}
}

// What comes out is a host in a form of its own: normal already, part of full
// names that come apart again, and text that is safe to show.
func FuzzNormalizeHost(f *testing.F) {
	for _, s := range []string{"a.com", "A.com.:80", "[::1]:80", "a..", "[::1].:80", "x:", "\u212a"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, in string, dropPort bool) {
		host, ok := NormalizeHost(in, dropPort)
		if !ok {
			if host != "" {
				t.Errorf("refused, and yet %q", host)
			}
			return
		}
		if again, ok := NormalizeHost(host, dropPort); !ok || again != host {
			t.Errorf("NormalizeHost(%q) = %q, and that gives %q, %v", in, host, again, ok)
		}
		if strings.ContainsFunc(host, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("-._[]:", r))
		}) {
			t.Errorf("NormalizeHost(%q) = %q", in, host)
		}
		if strings.ContainsFunc(in, func(r rune) bool { return r >= utf8.RuneSelf }) {
			t.Errorf("NormalizeHost(%q) took what is not ASCII", in)
		}
		if got, name := SplitFullName(FullName(host, "/x")); got != host || name != "/x" {
			t.Errorf("host %q comes out of its full name as %q, %q", host, got, name)
		}
	})
}

func FuzzFullName(f *testing.F) {
	f.Add("", "/")
	f.Add("a.com", "chat")
	f.Add("a.com:80", "/a//b")
	f.Fuzz(func(t *testing.T, host, name string) {
		if h, ok := NormalizeHost(host, false); !ok || h != host {
			return // Accept and Of are given hosts in their normal form
		}
		if strings.HasPrefix(name, "//") {
			return // refused everywhere
		}
		full := FullName(host, name)
		h, n := SplitFullName(full)
		if !strings.HasPrefix(name, "/") {
			name = "/" + name
		}
		if h != host || n != name {
			t.Errorf("%q and %q make %q, which splits into %q and %q", host, name, full, h, n)
		}
	})
}

func TestSplitFullName_WithoutPath(t *testing.T) {
	if host, name := SplitFullName("//a.com"); host != "a.com" || name != "/" {
		t.Errorf("got %q, %q", host, name)
	}
}

// SEMANTICS 4.4.
func TestCompareFullNames_OrderOfTheStatusPage(t *testing.T) {
	want := []string{"/", "/ab", "/a/b", "/zz", "//other.com/", "//other.com/q"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, CompareFullNames)
	if !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}

// A total order: otherwise sorting gives now this, now that.
func FuzzCompareFullNames(f *testing.F) {
	f.Add("/", "/ab", "/a/b")
	f.Add("//a.com/", "/zz", "/\xff")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, ba, bc, ac := CompareFullNames(a, b), CompareFullNames(b, a), CompareFullNames(b, c), CompareFullNames(a, c)
		if (ab < 0) != (ba > 0) || (ab == 0) != (a == b) {
			t.Errorf("%q against %q is %d, the other way %d", a, b, ab, ba)
		}
		if ab <= 0 && bc <= 0 && ac > 0 {
			t.Errorf("%q, %q, %q are not in one order", a, b, c)
		}
	})
}

func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{"*", "true", "/^a/", "host.com:80", "/(/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := ParsePattern(in)
		if err != nil {
			return
		}
		again, err := ParsePattern(p.String())
		if err != nil || again.String() != p.String() {
			t.Errorf("ParsePattern(%q) = %q, which reads as %q, %v", in, p, again, err)
		}
		_, _ = p.Match(in)
	})
}

// Matches says what Match says; at no cost, as memory_test.go has it.
func TestPattern_MatchesAsMatchDoes(t *testing.T) {
	for _, p := range []Pattern{All, Exact("/chat"), Regexp(regexp.MustCompile(`^/(chat|b)$`)), Regexp(regexp.MustCompile("a")), {kind: 99}} {
		for _, s := range []string{"", "/", "/chat", "/b", "/chats", "//a/chat"} {
			if _, want := p.Match(s); p.Matches(s) != want {
				t.Errorf("%v and %q: Matches says %v", p, s, !want)
			}
		}
	}
}
