package rules

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

// An event that is no verb is answered, counted, and told at debug level: with
// rules and without.
func TestGuard_UnknownEvent(t *testing.T) {
	for name, newGuard := range map[string]func(*slog.Logger) *Guard{
		"open":  NewOpen,
		"ruled": func(log *slog.Logger) *Guard { return NewGuard(&Set{Rules: []*Rule{everywhere(nil)}}, log) },
	} {
		t.Run(name, func(t *testing.T) {
			reg, err := namespace.New(namespace.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer reg.Close(t.Context())
			var log bytes.Buffer
			g := newGuard(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			g.Setup(reg)
			c := enter(t, reg, "", "/x", "")
			defer c.leave()
			const want = `[{"ok":false,"error":"unknown event \"chat message\": this server answers broadcast, to, join, leave, echo"}]`
			if got := c.call(`"chat message","hello"`); got != want {
				t.Errorf("the acknowledgement is %s, want %s", got, want)
			}
			c.send(`2/x,["without acknowledgement"]`)
			if got := c.call(`"echo",1`); got != "[1]" { // after both
				t.Errorf("a verb is answered %s", got)
			}
			for _, event := range []string{`"chat message"`, `"without acknowledgement"`} {
				if line := `level=DEBUG msg="unknown event" event=` + event + " namespace=/x"; !strings.Contains(log.String(), line) {
					t.Errorf("the log has no %s:\n%s", line, &log)
				}
			}
			if n := g.Refused()["unknown_event"]; n != 2 {
				t.Errorf("%d are counted, want 2", n)
			}
		})
	}
}

// A flood of events that are no verbs is bounded as the verbs are.
func TestGuard_UnknownEventsCountAgainstTheLimits(t *testing.T) {
	reg, _ := guarded(t, &Set{Rules: []*Rule{everywhere(func(r *Rule) { r.Limits = Limits{EventsPerSecond: 0.001, EventsBurst: 1} })}})
	c := enter(t, reg, "", "/x", "")
	defer c.leave()
	c.call(`"what"`)
	if got := c.call(`"echo"`); !strings.Contains(got, "too many events") {
		t.Errorf("after an unknown event the next is answered %s", got)
	}
}

// Each kind of refusal is counted under a label of its own.
func TestGuard_CountsRefusals(t *testing.T) {
	set := &Set{Rules: []*Rule{
		{Match: match(t, "/closed"), AnyHost: true, Refuse: true},
		{Match: match(t, "/token"), AnyHost: true, Connect: NewConnect([]string{"good"}), Allow: AllowAll()},
		{Match: match(t, "/full"), AnyHost: true, Allow: AllowAll(), Limits: Limits{Sockets: 1}},
		{Match: match(t, "/x"), AnyHost: true, Allow: Allow{Join: AnyRoom()}, Limits: Limits{Rooms: 2, EventBytes: 50}},
		{Match: match(t, "/rate"), AnyHost: true, Allow: AllowAll(), Limits: Limits{EventsPerSecond: 0.001, EventsBurst: 1}},
	}, Retirement: time.Minute}
	reg, g := guarded(t, set)
	refused(t, reg, "", "/closed", "")
	refused(t, reg, "", "/nowhere", "")
	refused(t, reg, "", "/token", "")
	refused(t, reg, "", "/token", `{"token":"bad"}`)
	defer enter(t, reg, "", "/full", "").leave()
	refused(t, reg, "", "/full", "")
	x := enter(t, reg, "", "/x", "")
	defer x.leave()
	for _, args := range []string{`"broadcast","e"`, `"to","room","e"`, `"join",1`, `"join","` + strings.Repeat("r", 50) + `"`, `"join","a"`, `"join","b"`, `"join","c"`, `"nonsense"`} {
		x.call(args)
	}
	r := enter(t, reg, "", "/rate", "")
	defer r.leave()
	r.call(`"echo"`)
	r.call(`"echo"`)
	want := map[string]int64{
		"namespace": 2, "token_missing": 1, "token_invalid": 1, "token_expired": 0, "namespace_full": 1, "verb": 1, "room": 1,
		"rooms": 1, "rate": 1, "size": 1, "unknown_event": 1, "arguments": 1,
	}
	got := g.Refused()
	if len(got) != len(Refusals()) || len(got) != len(want) {
		t.Errorf("%d kinds, want %d", len(got), len(want))
	}
	for kind, n := range want {
		if got[kind] != n {
			t.Errorf("%s: %d, want %d", kind, got[kind], n)
		}
	}
}
