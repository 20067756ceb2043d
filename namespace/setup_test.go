package namespace

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dynamicio/dynamicio/namespace/packet"
)

// Exact beats pattern, whichever is registered first, also for a namespace that exists
// from the start and that the pattern has set up. Nothing of the pattern's setup stays,
// and nothing else goes.
func TestRegistry_ExactSetupReplacesThatOfAPattern(t *testing.T) {
	for _, name := range []string{"/", "/made"} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, Options{})
			var (
				mu  sync.Mutex // guards log
				log []string
			)
			note := func(what string) {
				mu.Lock()
				defer mu.Unlock()
				log = append(log, what)
			}
			register := func(ns *Namespace, who string) {
				handler := func(what string) Handler {
					return func(context.Context, *Event) error { note(what + " of " + who); return nil }
				}
				ns.Use(func(context.Context, *Socket) error { note("middleware of " + who); return nil })
				ns.OnConnect(func(*Socket) { note("OnConnect of " + who) })
				ns.OnAny(handler("OnAny"))
				ns.On("e", handler("On"))
				ns.OnServerSide("s", handler("OnServerSide"))
				ns.OnExpire(func() {})
			}
			setup := func(who string) SetupFunc {
				return func(ns *Namespace, _ Match) error { note("setup " + who); register(ns, who); return nil }
			}
			ns, err := r.Of(name, "")
			if err != nil {
				t.Fatal(err)
			}
			register(ns, "program before")
			r.Setup("*", setup("*"))
			register(ns, "program after")
			r.Setup("/other", setup("other"))
			r.Setup(name, setup("first"))
			r.Setup(name, setup("exact"))
			r.Setup("*", setup("later pattern"))
			want := []string{"setup *", "setup first", "setup exact"}
			if name != "/" {
				want = slices.Concat(want[:1], want) // "/" is there as well
			}
			if !slices.Equal(log, want) {
				t.Errorf("setups %q, want %q", log, want)
			}
			log = nil
			ns.serveSide(context.Background(), serverSideMessage(t, ns), nil)
			p := newPeer(t, r, dial{})
			p.join(name)
			p.event(name, `["e"]`)
			p.close()
			eventually(t, "it has left", func() bool { return uses(ns) == 0 })
			r.Setup(name, setup("too late")) // a client has been in
			want = nil
			for _, what := range []string{"OnServerSide", "middleware", "OnConnect", "OnAny", "On"} {
				for _, who := range []string{"program before", "program after", "exact"} {
					want = append(want, what+" of "+who)
				}
			}
			if !slices.Equal(log, want) {
				t.Errorf("got  %q\nwant %q", log, want)
			}
		})
	}
}

func serverSideMessage(t *testing.T, ns *Namespace) *Message {
	f, err := encodeEvent(packet.Header{Type: packet.Event, Namespace: ns.name}, "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	return ns.All().message(KindServerSide, f)
}

// Once a client has asked for the namespace, its setup stands, and the log says so.
func TestRegistry_ExactSetupComesTooLate(t *testing.T) {
	log := &logBuffer{}
	r := newRegistry(t, Options{Logger: log.logger()})
	r.Setup("*", accept)
	r.Setup("/", accept)
	if strings.Contains(log.String(), "WARN") {
		t.Errorf("logged before any client came:\n%s", log)
	}
	newPeer(t, r, dial{}).join("/")
	r.Setup("/", func(*Namespace, Match) error { t.Error("it was set up again"); return nil })
	if !strings.Contains(log.String(), "register exact names first") {
		t.Errorf("log:\n%s", log)
	}
}

// Where the exact setup refuses, the namespace has none, and the next that matches is asked.
func TestRegistry_ExactSetupThatRefuses(t *testing.T) {
	r := newRegistry(t, Options{})
	var calls []string
	setup := func(who string, err error) SetupFunc {
		return func(*Namespace, Match) error { calls = append(calls, who); return err }
	}
	r.Setup("*", setup("*", nil))
	r.Setup("/", setup("exact", errors.New("no")))
	r.Setup("*", setup("again", nil))
	if want := []string{"*", "exact", "again"}; !slices.Equal(calls, want) {
		t.Errorf("setups %q, want %q", calls, want)
	}
}
