package node_test

import (
	"bytes"
	"errors"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// 2.1: "*" is called within the registration for the main "/", which exists from the start.
func TestSemantics_2_1_StarSetsUpMainAtOnce(t *testing.T) {
	srv, calls := start(t, node.Options{}), 0
	srv.SetupNamespace("*", func(ns *namespace.Namespace, m namespace.Match) error {
		calls++
		if ns != srv.Main() || ns.FullName() != "/" || !ns.Permanent() {
			t.Errorf("set up %q", ns.FullName())
		}
		if want := (namespace.Match{Groups: []string{"/"}, Input: "/"}); !reflect.DeepEqual(m, want) {
			t.Errorf("match %+v, want %+v", m, want)
		}
		return nil
	})
	if calls != 1 {
		t.Errorf("%d calls within the registration, want 1", calls)
	}
	srv.connect(how{}).join("/")
	if calls != 1 {
		t.Errorf("%d calls after a client came, want 1", calls)
	}
}

// 2.2: an exact "/" likewise; its match looks like that of a pattern without groups.
func TestSemantics_2_2_ExactMain(t *testing.T) {
	srv := start(t, node.Options{})
	var got []namespace.Match
	srv.SetupNamespace("/", func(_ *namespace.Namespace, m namespace.Match) error {
		got = append(got, m)
		return nil
	})
	if want := []namespace.Match{{Groups: []string{"/"}, Input: "/"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("matches %+v, want %+v", got, want)
	}
}

// 2.3: groups reach the setup; the handlers that it installs see the client that made the namespace.
func TestSemantics_2_3_RegexpGroups(t *testing.T) {
	srv, j := start(t, node.Options{}), newJournal()
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^.*/([^/]*)$`), func(ns *namespace.Namespace, m namespace.Match) error {
		j.add("setup %q of %s", m.Groups, ns.Name())
		ns.OnConnect(func(s *namespace.Socket) { j.add("connect to %s", s.Namespace().FullName()) })
		return nil
	})
	j.want(t, `setup ["/" ""] of /`)
	srv.connect(how{}).join("/d/sec")
	j.wait(t, "connect to /d/sec")
	j.want(t, `setup ["/" ""] of /`, `setup ["/d/sec" "sec"] of /d/sec`, "connect to /d/sec")
}

// 2.4: registrations are compared with full names; regular expressions are searched for.
func TestSemantics_2_4_FullNamesAreMatched(t *testing.T) {
	srv, j := start(t, node.Options{Host: namespace.Exact("main.com")}), newJournal()
	srv.SetupNamespace("//b.com/exact", j.named("exact"))
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/anchored$`), j.named("anchored"))
	srv.SetupNamespaceRegexp(regexp.MustCompile(`.*chat`), j.named("chat"))
	main, b := srv.connect(how{host: "main.com"}), srv.connect(how{host: "b.com"})
	for _, name := range []string{"/exact", "/anchored", "/chat", "/chatter/2"} {
		for _, c := range []*client{main, b} {
			c.send("0" + name + ",")
			j.add("%s at %s: %.1s", name, c.how.host, c.next())
		}
	}
	j.want(t,
		"/exact at main.com: 4", "exact: //b.com/exact", "/exact at b.com: 0",
		"anchored: /anchored", "/anchored at main.com: 0", "/anchored at b.com: 4",
		"chat: /chat", "/chat at main.com: 0", "chat: //b.com/chat", "/chat at b.com: 0",
		"chat: /chatter/2", "/chatter/2 at main.com: 0", "chat: //b.com/chatter/2", "/chatter/2 at b.com: 0",
	)
}

// 2.5: what nothing matches is refused; the main "/" needs no setup.
func TestSemantics_2_5_NothingMatches(t *testing.T) {
	srv := start(t, node.Options{})
	var groups []string
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/dyn/([^/]*)$`), func(_ *namespace.Namespace, m namespace.Match) error {
		groups = append(groups, m.Groups[1])
		return nil
	})
	srv.connect(how{}).join("/")
	if got := srv.connect(how{}).refused("/doesnotexist"); got != invalid {
		t.Errorf("refusal = %s", got)
	}
	srv.connect(how{}).join("/dyn/a")
	if !slices.Equal(groups, []string{"a"}) {
		t.Errorf("groups %q, want a", groups)
	}
}

// specials registers what 2.6 and 2.7 are about; the exact one first or last.
func specials(t *testing.T, exactFirst bool) (*testServer, *journal) {
	srv, j := start(t, node.Options{}), newJournal()
	if exactFirst {
		srv.SetupNamespace("/special-debug", j.named("exact"))
	}
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/special.*`), j.named("special"))
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/.*debug$`), j.named("debug"))
	if !exactFirst {
		srv.SetupNamespace("/special-debug", j.named("exact"))
	}
	return srv, j
}

// 2.6: exact beats pattern, whenever it was registered.
func TestSemantics_2_6_ExactBeatsPattern(t *testing.T) {
	for _, first := range []bool{true, false} {
		srv, j := specials(t, first)
		srv.connect(how{}).join("/special-debug")
		j.want(t, "exact: /special-debug")
	}
}

// 2.7: of several patterns that match, the last registered counts, and it alone.
func TestSemantics_2_7_LastPatternWins(t *testing.T) {
	srv, j := specials(t, true)
	c := srv.connect(how{})
	c.join("/special-other")
	c.join("/other-debug")
	c.join("/special-other-debug")
	j.want(t, "special: /special-other", "debug: /other-debug", "debug: /special-other-debug")
}

// 2.8: a later exact registration replaces the earlier.
func TestSemantics_2_8_LaterExactReplaces(t *testing.T) {
	srv, j := start(t, node.Options{}), newJournal()
	srv.SetupNamespace("/special-debug", j.named("first"))
	srv.SetupNamespace("/special-debug", j.named("second"))
	srv.connect(how{}).join("/special-debug")
	j.want(t, "second: /special-debug")
}

// 2.9: a registration sets up the matching namespaces that had no setup, at once.
// 2.10: and none a second time.
func TestSemantics_2_9_and_2_10_ExistingAreSetUpOnce(t *testing.T) {
	srv, j := start(t, node.Options{}), newJournal()
	for _, name := range []string{"/hello", "/there"} {
		if _, err := srv.Of(name, ""); err != nil {
			t.Fatal(err)
		}
	}
	srv.SetupNamespace("/hello", j.named("exact"))
	j.want(t, "exact: /hello")
	srv.SetupNamespace("/howdy", j.named("howdy"))
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/(hello|there|howdy)$`), j.named("pattern"))
	j.want(t, "exact: /hello", "pattern: /there")

	var both sync.WaitGroup
	for range 2 {
		c := srv.connect(how{})
		both.Go(func() { c.send("0/howdy,"); <-c.in })
	}
	both.Wait()
	j.want(t, "exact: /hello", "pattern: /there", "howdy: /howdy")
	if n := srv.live("/howdy").SocketCount(); n != 2 {
		t.Errorf("%d sockets in /howdy, want 2", n)
	}
}

// 2.11: a refusal keeps nothing, is asked for again, and no older pattern is tried.
func TestSemantics_2_11_RefusingOnDemand(t *testing.T) {
	srv, j := start(t, node.Options{}), newJournal()
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/x`), j.named("older"))
	refuse := true
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/x$`), func(ns *namespace.Namespace, _ namespace.Match) error {
		j.add("asked")
		ns.OnExpire(func() { j.add("expired") })
		if refuse {
			return errors.New("no")
		}
		return nil
	})
	c := srv.connect(how{})
	for range 2 {
		if got := c.refused("/x"); got != invalid {
			t.Errorf("refusal = %s", got)
		}
		if srv.exists("/x") {
			t.Error("a refused namespace is kept")
		}
	}
	refuse = false
	c.join("/x")
	j.want(t, "asked", "asked", "asked")
}

// 2.12 (decided): any error refuses; its text stays in the log, unless it was made for clients.
func TestSemantics_2_12_ErrorsRefuse(t *testing.T) {
	var log lockedBuffer
	srv := start(t, node.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	answers := map[string]error{
		"/plain":   errors.New("the database is at 10.0.0.7"),
		"/client":  namespace.Errorf("room %d is full", 7),
		"/wrapped": errors.Join(errors.New("inner"), &namespace.ClientError{Message: "later", Data: map[string]int{"retry": 5}}),
	}
	for name, err := range answers {
		srv.SetupNamespace(name, func(*namespace.Namespace, namespace.Match) error { return err })
	}
	c := srv.connect(how{})
	for name, want := range map[string]string{
		"/plain":   invalid,
		"/client":  `{"message":"room 7 is full"}`,
		"/wrapped": `{"message":"later","data":{"retry":5}}`,
	} {
		if got := c.refused(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if !strings.Contains(log.String(), "10.0.0.7") {
		t.Error("the reason of a refusal is not in the log")
	}
}

// 2.13: a setup that refuses at registration leaves the namespace, as not set up.
func TestSemantics_2_13_RefusingAtRegistration(t *testing.T) {
	srv, j := start(t, node.Options{}), newJournal()
	ns, err := srv.Of("/k", "")
	if err != nil {
		t.Fatal(err)
	}
	srv.SetupNamespace("/k", func(*namespace.Namespace, namespace.Match) error {
		j.add("refused")
		return errors.New("no")
	})
	if srv.live("/k") != ns {
		t.Fatal("the namespace was replaced")
	}
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^/k$`), j.named("next"))
	srv.SetupNamespaceRegexp(regexp.MustCompile(`k$`), j.named("after"))
	srv.connect(how{}).join("/k")
	j.want(t, "refused", "next: /k")
}

// 2.14: Of runs the setup, too; what it refuses is not made; without a match Of needs none.
func TestSemantics_2_14_OfRunsTheSetup(t *testing.T) {
	srv, j := start(t, node.Options{}), newJournal()
	srv.SetupNamespace("/k", j.accept)
	srv.SetupNamespace("/no", func(*namespace.Namespace, namespace.Match) error { return errors.New("no") })
	ns, err := srv.Of("/k", "")
	if err != nil || !ns.Permanent() {
		t.Fatalf("Of: %v, %v", ns, err)
	}
	j.want(t, "setup /k")
	if ns, err := srv.Of("/no", ""); ns != nil || !errors.Is(err, namespace.ErrRefused) || srv.exists("/no") {
		t.Errorf("Of of a refused one: %v, %v", ns, err)
	}
	if ns, err := srv.Of("/none", ""); ns == nil || err != nil {
		t.Errorf("Of without a match: %v, %v", ns, err)
	}
	srv.connect(how{}).join("/none")
}

// 2.15: Of adds the slash, knows hosts, and returns what exists as it is.
func TestSemantics_2_15_OfDetails(t *testing.T) {
	srv := start(t, node.Options{Host: namespace.Exact("main.com")})
	a, err := srv.Of("k", "")
	b, err2 := srv.Of("/k", "")
	if err != nil || err2 != nil || a != b || a.FullName() != "/k" {
		t.Errorf("of(k) = %v, of(/k) = %v", a, b)
	}
	other, err := srv.Of("k", "b.com")
	if err != nil || other.FullName() != "//b.com/k" {
		t.Fatalf("of(k, b.com) = %v, %v", other, err)
	}
	if ns, err := srv.Of("//b.com/k", ""); err == nil {
		t.Errorf("a full name as the name made %s", ns.FullName())
	}
	c := srv.connect(how{host: "b.com"})
	id := c.join("/k")
	if other.Socket(id) == nil {
		t.Error("the client of b.com is not in the namespace that Of made for it")
	}
}

// 2.16: during setup the namespace can be found; registrations made inside do not set it up again.
func TestSemantics_2_16_Reentrance(t *testing.T) {
	srv, j := start(t, node.Options{}), newJournal()
	srv.SetupNamespace("/k", func(ns *namespace.Namespace, m namespace.Match) error {
		if srv.live("/k") != ns {
			t.Error("Lookup does not find it")
		}
		srv.SetupNamespace("*", j.named("star"))
		srv.SetupNamespace("/k", j.named("again"))
		inner, err := srv.Of("/inner", "")
		if err != nil || inner == nil {
			t.Errorf("Of within a setup: %v", err)
		}
		return j.accept(ns, m)
	})
	srv.connect(how{}).join("/k")
	j.want(t, "star: /", "star: /inner", "setup /k")
}

// 2.17 (decided): a setup that panics is recovered, logged with its stack, and a refusal.
func TestSemantics_2_17_SetupPanics(t *testing.T) {
	var log lockedBuffer
	srv := start(t, node.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	panics := true
	srv.SetupNamespace("/k", func(*namespace.Namespace, namespace.Match) error {
		if panics {
			panic("boom")
		}
		return nil
	})
	c := srv.connect(how{})
	if got := c.refused("/k"); got != invalid {
		t.Errorf("refusal = %s", got)
	}
	if srv.exists("/k") {
		t.Error("a half-made namespace is kept")
	}
	if text := log.String(); !strings.Contains(text, "boom") || !strings.Contains(text, "semantics_2_test.go") {
		t.Errorf("log %q, want the panic and its stack", text)
	}
	panics = false
	c.join("/k")
}

// 2.19: the match has the whole match, the groups, the index and the input.
func TestSemantics_2_19_MatchIsPassedOn(t *testing.T) {
	srv := start(t, node.Options{Host: namespace.None})
	var got namespace.Match
	srv.SetupNamespaceRegexp(regexp.MustCompile(`/(a)|/(b+)(c)?`), func(_ *namespace.Namespace, m namespace.Match) error {
		got = m
		return nil
	})
	srv.connect(how{host: "x.com"}).join("/bbb")
	if want := (namespace.Match{Groups: []string{"/bbb", "", "bbb", ""}, Index: 7, Input: "//x.com/bbb"}); !reflect.DeepEqual(got, want) {
		t.Errorf("match %+v, want %+v", got, want)
	}
}

// lockedBuffer collects a log.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
