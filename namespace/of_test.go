package namespace

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever gets a namespace from Of gets one whose setup has decided, also if
// somebody else is setting it up.
func TestRegistry_OfWaitsForSetup(t *testing.T) {
	refuse := errors.New("not today")
	for _, c := range []struct {
		name string
		err  error // of the setup
		make func(r *Registry, setup SetupFunc)
		stay bool // it stays in spite of a refusal
	}{
		{"made by Of", nil, makeByOf, false},
		{"made by Of, refused", refuse, makeByOf, false},
		{"made by a client", nil, makeByClient, false},
		{"made by a client, refused", refuse, makeByClient, false},
		{"set up later", nil, setUpLater, true},
		{"set up later, refused", refuse, setUpLater, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(t, Options{})
				decided := false // written by the setup, read after Of has waited for it
				go c.make(r, func(ns *Namespace, _ Match) error {
					time.Sleep(time.Second)
					decided = true
					return c.err
				})
				synctest.Wait() // the setup is under way
				ns, err := r.Of("/slow", "")
				if !decided {
					t.Error("Of did not wait")
				}
				if c.err == nil || c.stay {
					if err != nil || ns == nil || !ns.Permanent() {
						t.Errorf("Of returned %v, %v", ns, err)
					}
					return
				}
				if ns != nil || !errors.Is(err, ErrRefused) || !errors.Is(err, refuse) {
					t.Errorf("Of returned %v, %v", ns, err)
				}
			})
		})
	}
}

func makeByOf(r *Registry, setup SetupFunc) {
	r.Setup("/slow", setup)
	_, _ = r.Of("/slow", "") // as the other one returns
}

func makeByClient(r *Registry, setup SetupFunc) {
	r.Setup("/slow", setup)
	if ns, err := r.pin(r.ctx, "/slow", netip.Addr{}); err == nil {
		r.release(ns)
	}
}

func setUpLater(r *Registry, setup SetupFunc) {
	_, _ = r.Of("/slow", "") // nothing matches yet
	r.Setup("/slow", setup)
}

// A setup that asks for its own namespace, by whatever way, does not wait for itself.
func TestRegistry_OfWithinSetup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{})
		get := func(name string) *Namespace {
			ns, err := r.Of(name, "")
			if err != nil {
				t.Error(err)
			}
			return ns
		}
		r.Setup("/self", func(ns *Namespace, _ Match) error {
			if got := deep(400, func() *Namespace { return get("/self") }); got != ns {
				t.Errorf("/self is %p to its setup, want %p", got, ns)
			}
			return nil
		})
		// Two that want each other, set up at the same time, one by one.
		for name, other := range map[string]string{"/a": "/b", "/b": "/a", "/c": "/c"} {
			r.Setup(name, func(*Namespace, Match) error {
				time.Sleep(time.Second) // both have begun
				if get(other) == nil {
					t.Errorf("%s found no %s", name, other)
				}
				return nil
			})
		}
		get("/self")
		for _, name := range []string{"/a", "/b", "/c"} {
			go get(name)
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		for _, name := range []string{"/a", "/b", "/c"} {
			get(name)
		}
	})
}

// deep calls f with that many more calls on the stack.
func deep(calls int, f func() *Namespace) *Namespace {
	if calls == 0 {
		return f()
	}
	return deep(calls-1, f)
}
