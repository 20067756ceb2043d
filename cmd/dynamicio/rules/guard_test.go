package rules

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dynamicio/dynamicio/namespace"
)

func TestGuard_Verbs(t *testing.T) {
	calls := map[string]string{
		"join": `"join","r"`, "leave": `"leave","r"`, "broadcast": `"broadcast","x"`, "to": `"to","r","x"`, "echo": `"echo",1`,
	}
	for _, allowed := range append(Verbs, "none", "all") {
		t.Run(allowed, func(t *testing.T) {
			var allow Allow
			switch allowed {
			case "join":
				allow.Join = AnyRoom()
			case "to":
				allow.To = AnyRoom()
			case "leave":
				allow.Leave = true
			case "broadcast":
				allow.Broadcast = true
			case "echo":
				allow.Echo = true
			case "all":
				allow = AllowAll()
			}
			reg, _ := guarded(t, &Set{Rules: []*Rule{everywhere(func(r *Rule) { r.Allow = allow })}})
			c := enter(t, reg, "main.example", "/x", "")
			defer c.leave()
			other := enter(t, reg, "main.example", "/x", "")
			defer other.leave()
			for _, verb := range Verbs {
				want := ok
				switch {
				case verb == "echo" && (allowed == verb || allowed == "all"):
					want = "[1]"
				case allowed == verb || allowed == "all":
				case verb == "join" || verb == "to":
					want = failed(verb + ` is not allowed for the room "r"`)
				default:
					want = failed(verb + " is not allowed in this namespace")
				}
				if got := c.call(calls[verb]); got != want {
					t.Errorf("%s: %s, want %s", verb, got, want)
				}
			}
			c.send(`2/x,["echo",2]`) // nobody waits for an acknowledgement
			if allowed == "echo" || allowed == "all" {
				if got := c.next(); got != `2/x,["echo",2]` {
					t.Errorf("echo came back as %s", got)
				}
			}
			c.call(calls["join"])
			c.quiet()
			if allowed == "broadcast" || allowed == "all" {
				if got := other.next(); got != `2/x,["x"]` {
					t.Errorf("the broadcast came as %s", got)
				}
			}
			other.quiet()
		})
	}
}

func TestGuard_RoomsOfClaims(t *testing.T) {
	reg, _ := guarded(t, &Set{Rules: []*Rule{everywhere(func(r *Rule) {
		r.Connect = NewConnect([]string{"static"}, newJWT(t, JWTOptions{Secret: secretKey}))
		r.Allow = Allow{Join: rooms(t, "lobby", "user-{sub}"), To: rooms(t, "/^user-/")}
	})}})
	auth := `{"token":"` + sign(t, jwt.SigningMethodHS256, secretKey, jwt.MapClaims{"exp": soon, "sub": "anna"}) + `"}`
	anna := enter(t, reg, "", "/x", auth)
	defer anna.leave()
	for room, want := range map[string]string{
		"lobby": ok, "user-anna": ok,
		"user-bob":  failed(`join is not allowed for the room "user-bob"`),
		"a\u202e\n": failed(`join is not allowed for the room "a\u202e\n"`),
	} {
		if got := anna.call(fmt.Sprintf(`"join",%q`, room)); got != want {
			t.Errorf("join %q: %s, want %s", room, got, want)
		}
	}
	if got, want := anna.call(`"to","lobby","x"`), failed(`to is not allowed for the room "lobby"`); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	nobody := enter(t, reg, "", "/x", `{"token":"static"}`)
	defer nobody.leave()
	for _, room := range []string{"user-anna", "user-", "user-{sub}"} {
		if got := nobody.call(fmt.Sprintf(`"join",%q`, room)); got == ok {
			t.Errorf("without claims, a client is in %s", room)
		}
	}
	for _, s := range reg.Lookup("/x").Sockets() {
		if got := string(s.Info().Data); got != "{}" {
			t.Errorf("other nodes are told %s", got)
		}
	}
}

func TestGuard_Connect(t *testing.T) {
	reg, _ := guarded(t, &Set{Rules: []*Rule{
		{Match: match(t, "/"), AnyHost: true, Refuse: true},
		everywhere(func(r *Rule) {
			r.Match = match(t, "/x")
			r.Connect = NewConnect([]string{"good"}, newJWT(t, JWTOptions{Secret: secretKey}))
		}),
		{Match: match(t, "/closed"), AnyHost: true, Refuse: true},
	}})
	expired := sign(t, jwt.SigningMethodHS256, secretKey, jwt.MapClaims{"exp": 1})
	for _, test := range []struct{ nsp, auth, want string }{
		{"/x", "", errTokenMissing.Error() + " token_missing"},
		{"/x", `{}`, errTokenMissing.Error() + " token_missing"},
		{"/x", `{"token":""}`, errTokenMissing.Error() + " token_missing"},
		{"/x", `{"token":null}`, errTokenMissing.Error() + " token_missing"},
		{"/x", `{"TOKEN":"good"}`, errTokenMissing.Error() + " token_missing"},
		{"/x", `{"Token":"good","to\u212Aen":"good"}`, errTokenMissing.Error() + " token_missing"},
		{"/x", `{"token":"good\n"}`, errTokenInvalid.Error() + " token_invalid"},
		{"/x", `{"token":["good"]}`, errTokenMissing.Error() + " token_missing"},
		{"/x", `{"token":"bad"}`, errTokenInvalid.Error() + " token_invalid"},
		{"/x", `{"token":"` + expired + `"}`, errTokenExpired.Error() + " token_expired"},
		{"/closed", `{"token":"good"}`, "Invalid namespace"},
		{"/unknown", `{"token":"good"}`, "Invalid namespace"},
		{"/", `{"token":"good"}`, "Invalid namespace"}, // permanent, and closed all the same
	} {
		if got := refused(t, reg, "", test.nsp, test.auth); got != test.want {
			t.Errorf("%s %s: %q, want %q", test.nsp, test.auth, got, test.want)
		}
	}
	enter(t, reg, "", "/x", `{"token":"good"}`).leave()
	if reg.Lookup("/closed") != nil || reg.Lookup("/unknown") != nil {
		t.Error("a refused namespace stays")
	}
}

// New rules hold from the next event and the next connect on; nobody is thrown out.
func TestGuard_Replace(t *testing.T) {
	reg, g := guarded(t, &Set{})
	c := enter(t, reg, "", "/x", "")
	defer c.leave()
	if got := c.call(`"broadcast","x"`); got != ok {
		t.Fatal(got)
	}
	g.Replace(&Set{Rules: []*Rule{everywhere(func(r *Rule) {
		r.Allow.Broadcast = false
		r.Connect = NewConnect([]string{"good"})
		r.Limits.Sockets = 2
	})}})
	if got := c.call(`"broadcast","x"`); got == ok {
		t.Error("the old rule holds for an event")
	}
	if got := refused(t, reg, "", "/x", ""); !strings.Contains(got, "token_missing") {
		t.Errorf("the old rule holds for a connect: %s", got)
	}
	second := enter(t, reg, "", "/x", `{"token":"good"}`)
	defer second.leave()
	// Who came before there was a limit counts.
	if got := refused(t, reg, "", "/x", `{"token":"good"}`); !strings.Contains(got, "namespace_full") {
		t.Errorf("a third of two is told %q", got)
	}
	g.Replace(&Set{Rules: []*Rule{{Match: namespace.All, AnyHost: true, Refuse: true}}})
	if got, want := c.call(`"echo",1`), failed("the namespace is refused by now"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := refused(t, reg, "", "/x", `{"token":"good"}`); got != "Invalid namespace" {
		t.Errorf("a refused namespace tells %q", got)
	}
	g.Replace(&Set{})
	if got := c.call(`"echo",1`); got != "[1]" {
		t.Errorf("the client that stayed gets %s", got)
	}
}

func TestGuard_ReplaceRetirement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			before, after, want time.Duration
		}{
			{time.Hour, time.Second, time.Second},
			{namespace.Never, time.Second, time.Second},
			{time.Second, 0, 10 * time.Second}, // the set's own
		} {
			rule := func(d time.Duration) *Set {
				return &Set{Retirement: 10 * time.Second, Rules: []*Rule{everywhere(func(r *Rule) {
					if d > 0 {
						r.Retirement = &d
					}
				})}}
			}
			reg, g := guarded(t, rule(test.before))
			inside := enter(t, reg, "", "/occupied", "")
			enter(t, reg, "", "/empty", "").leave()
			synctest.Wait()
			g.Replace(rule(test.after))
			if got := reg.Lookup("/occupied").Retirement(); got != test.want {
				t.Errorf("%v after %v, want %v", got, test.before, test.want)
			}
			inside.leave()
			time.Sleep(test.want - 1)
			synctest.Wait()
			for _, name := range []string{"/empty", "/occupied"} {
				if reg.Lookup(name) == nil {
					t.Errorf("%s: retired too early, %v after %v", name, test.want, test.before)
				}
			}
			time.Sleep(1 * time.Nanosecond)
			synctest.Wait()
			for _, name := range []string{"/empty", "/occupied"} {
				if reg.Lookup(name) != nil {
					t.Errorf("%s: not retired, %v after %v", name, test.want, test.before)
				}
			}
			enter(t, reg, "", "/later", "").leave()
			if got := reg.Lookup("/later").Retirement(); got != test.want {
				t.Errorf("a new namespace has %v, want %v", got, test.want)
			}
		}
	})
}

// A namespace that is being set up while the rules change has the new ones:
// Replace may see it before its setup has given it the old retirement time.
func TestGuard_ReplaceDuringASetup(t *testing.T) {
	slow, minute := &Set{}, time.Minute
	other := &Rule{Match: match(t, `/^\/elsewhere$/`), AnyHost: true}
	for range 1_000_000 { // looking for the rule takes a while
		slow.Rules = append(slow.Rules, other)
	}
	slow.Rules = append(slow.Rules, everywhere(nil))
	reg, g := guarded(t, slow)
	c := dial(t, reg, "", "/x", "")
	for reg.Lookup("/x") == nil {
		time.Sleep(time.Millisecond)
	}
	g.Replace(&Set{Retirement: minute})
	c.next()
	if got := reg.Lookup("/x").Retirement(); got != minute {
		t.Errorf("it is retired after %v, want %v", got, minute)
	}
	c.leave()
}

// Of two sets that replace the rules at the same time the one that does so last
// holds in all namespaces, for the retirement times too.
func TestGuard_ReplaceTwiceAtOnce(t *testing.T) {
	slow, minute := &Set{Retirement: time.Hour}, time.Minute
	other := &Rule{Match: match(t, `/^\/elsewhere$/`), AnyHost: true}
	for range 1_000_000 { // looking for the rule takes a while
		slow.Rules = append(slow.Rules, other)
	}
	slow.Rules = append(slow.Rules, everywhere(nil))
	reg, g := guarded(t, &Set{})
	c := enter(t, reg, "", "/x", "")
	defer c.leave()
	first := make(chan struct{})
	go func() { defer close(first); g.Replace(slow) }()
	for g.set.Load() != slow {
		time.Sleep(time.Millisecond)
	}
	g.Replace(&Set{Retirement: minute})
	<-first
	if got := reg.Lookup("/x").Retirement(); got != minute {
		t.Errorf("it is retired after %v, want %v", got, minute)
	}
}

// Traffic, connects and other rules at the same time: what an answer says is
// always one of the two rules, and once Replace has returned, the new one.
func TestGuard_ReplaceUnderTraffic(t *testing.T) {
	short, long := time.Second, time.Hour
	sets := []*Set{
		{Rules: []*Rule{everywhere(func(r *Rule) { r.Retirement = &short })}},
		{Rules: []*Rule{everywhere(func(r *Rule) {
			r.Retirement, r.Allow.Echo, r.Limits = &long, false, Limits{EventsPerSecond: 1e9, Rooms: 1, Sockets: 1000}
		})}},
	}
	reg, g := guarded(t, sets[0])
	stop := make(chan struct{})
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			c := enter(t, reg, "", "/x", "")
			defer c.leave()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if got := c.call(`"echo",1`); got != "[1]" && got != failed("echo is not allowed in this namespace") {
					t.Errorf("echo is answered %s", got)
				}
				enter(t, reg, "", fmt.Sprintf("/y%d-%d", i, n%50), "").leave()
			}
		})
	}
	probe := enter(t, reg, "", "/x", "")
	defer probe.leave()
	for i := range 200 {
		g.Replace(sets[(i+1)%2])
		if got := probe.call(`"echo",1`); (got == "[1]") != (i%2 == 1) {
			t.Fatalf("after change %d: %s", i, got)
		}
	}
	close(stop)
	work.Wait()
	for _, ns := range reg.Namespaces() {
		if got := ns.Retirement(); got != short && ns.FullName() != "/" {
			t.Errorf("%s is retired after %v, want %v", ns.FullName(), got, short)
		}
	}
}

// Without rules nothing is in the way of a client, and no middleware either.
func TestOpen_AllowsEverything(t *testing.T) {
	reg, err := namespace.New(namespace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	NewOpen(slog.New(slog.DiscardHandler)).Setup(reg)
	c := enter(t, reg, "any.example", "/x", "")
	for _, args := range []string{`"join","r"`, `"leave","r"`, `"broadcast","x"`, `"to","r","x"`} {
		if got := c.call(args); got != ok {
			t.Errorf("%s: %s", args, got)
		}
	}
	for args, want := range map[string]string{
		`"join"`: failed("argument 1 must be the name of the room"), `"to","r",1`: failed("argument 2 must be the name of the event"),
	} {
		if got := c.call(args); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
	c.leave()
	if err := reg.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
