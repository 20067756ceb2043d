package rules

import (
	"strings"
	"testing"
)

// strict is a rule for a pattern with every restriction there is.
func strict(t *testing.T, pattern string) *Rule {
	t.Helper()
	j, err := NewJWT(JWTOptions{Secret: secretKey, Issuer: "login", Require: map[string][]string{"role": {"member"}}})
	if err != nil {
		t.Fatal(err)
	}
	return &Rule{
		Match: match(t, pattern), AnyHost: true, Connect: NewConnect([]string{"token"}, j), Allow: Allow{Echo: true},
		Limits: Limits{Sockets: 1, Rooms: 2, EventsPerSecond: 3, EventBytes: 4}, Said: Said{Connect: true, Allow: true, Limits: true},
	}
}

// bare is a rule of which nothing but the pattern is left.
func bare(t *testing.T, pattern string) *Rule {
	t.Helper()
	return &Rule{Match: match(t, pattern), AnyHost: true, Allow: AllowAll()}
}

func TestSet_WidenedSince(t *testing.T) {
	with := func(r *Rule, change func(*Rule)) *Rule { change(r); return r }
	onHost := func(r *Rule, host string) *Rule {
		r.AnyHost, r.Host = false, match(t, "*")
		if host == "" {
			r.Host = MainHost
		}
		return r
	}
	refuse := func(pattern string) *Rule { return with(bare(t, pattern), func(r *Rule) { r.Refuse = true }) }
	const chat, all = "/chat", `/^\/chat/`
	for _, c := range []struct {
		name        string
		before, now []*Rule
		want        string // "" if it is allowed
	}{
		{"nothing changes", []*Rule{strict(t, chat)}, []*Rule{strict(t, chat)}, ""},
		{"no rules", []*Rule{strict(t, chat)}, nil, "has no rules, where 1 were"},
		{"no rules, of one that opened all", []*Rule{bare(t, "*")}, nil, ""},
		{"no rules before", nil, []*Rule{bare(t, chat)}, ""},
		{"cut after match", []*Rule{strict(t, chat)}, []*Rule{bare(t, chat)}, "asks for no token any more"},
		{"cut after connect", []*Rule{strict(t, chat)}, []*Rule{with(bare(t, chat), func(r *Rule) { r.Connect = strict(t, chat).Connect })}, "allows everything"},
		{"cut after allow", []*Rule{strict(t, chat)}, []*Rule{with(strict(t, chat), func(r *Rule) { r.Limits, r.Said.Limits = Limits{}, false })}, "no limit of sockets"},
		{"cut within limits", []*Rule{strict(t, chat)}, []*Rule{with(strict(t, chat), func(r *Rule) { r.Limits.EventBytes = 0 })}, "no limit of event-bytes"},
		{"cut within jwt", []*Rule{strict(t, chat)}, []*Rule{with(strict(t, chat), func(r *Rule) {
			j, err := NewJWT(JWTOptions{Secret: secretKey, Issuer: "login"})
			if err != nil {
				t.Fatal(err)
			}
			r.Connect = NewConnect(nil, j)
		})}, "without the require.role"},
		{"no refuse any more", []*Rule{refuse(chat), bare(t, "*")}, []*Rule{bare(t, chat), bare(t, "*")}, "lets clients in"},
		{"the refusing rule is gone", []*Rule{refuse(chat), bare(t, "*")}, []*Rule{bare(t, "*")}, "lets clients in"},
		{"the guarded rule is gone, and a wider one decides", []*Rule{strict(t, all), bare(t, "*")}, []*Rule{bare(t, "*")}, "asks for no token"},
		{"a rule before the guarded one", []*Rule{strict(t, all)}, []*Rule{bare(t, chat), strict(t, all)}, "asks for no token"},
		{"a name that the guarded one matched", []*Rule{strict(t, "*")}, []*Rule{bare(t, chat), strict(t, "*")}, "asks for no token"},
		{"on one host", []*Rule{onHost(strict(t, chat), "")}, []*Rule{bare(t, chat)}, "asks for no token"},
		{"it says so", []*Rule{strict(t, chat)}, []*Rule{with(bare(t, chat), func(r *Rule) { r.Said = Said{Connect: true, Allow: true, Limits: true} })}, ""},
		{"it says so of a refused one", []*Rule{refuse(chat)}, []*Rule{with(bare(t, chat), func(r *Rule) { r.Said.Refuse = true })}, ""},
		{"a new namespace", []*Rule{strict(t, chat)}, []*Rule{strict(t, chat), bare(t, "/new")}, ""},
		{"the rule is gone, and nobody gets in", []*Rule{strict(t, chat), bare(t, "/x")}, []*Rule{bare(t, "/x")}, ""},
		{"refused now", []*Rule{strict(t, chat)}, []*Rule{refuse(chat)}, ""},
		{"narrower", []*Rule{bare(t, chat)}, []*Rule{strict(t, chat)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := (&Set{Rules: c.now}).WidenedSince(&Set{Rules: c.before})
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("%v", found[0].Why)
			case c.want != "" && (len(found) != 1 || !strings.Contains(found[0].Why.Error(), c.want)):
				t.Errorf("found %v, want %q", found, c.want)
			}
		})
	}
}

func TestSet_Open(t *testing.T) {
	for name, c := range map[string]struct {
		rules []*Rule
		want  bool
	}{
		"no rules":        {nil, true},
		"one for all":     {[]*Rule{bare(t, "/x"), bare(t, "*")}, true},
		"one guarded":     {[]*Rule{strict(t, "/x"), bare(t, "*")}, false},
		"one for a name":  {[]*Rule{bare(t, "/x")}, false},
		"limits for some": {[]*Rule{everywhere(func(r *Rule) { r.Limits.Rooms = 1 })}, false},
	} {
		if got := (&Set{Rules: c.rules}).Open(); got != c.want {
			t.Errorf("%s: open %v", name, got)
		}
	}
}
