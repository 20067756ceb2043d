package namespace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Registrations, Of and clients at once: an incarnation is set up once, or not
// at all if nothing matched when it came to life.
func TestRegistry_SetupsRaceEachOther(t *testing.T) {
	for range 30 {
		r := newRegistry(t, Options{Retirement: time.Millisecond})
		var mu sync.Mutex // guards counts
		ran := make(map[*Namespace]string)
		count := func(kind string) SetupFunc {
			return func(ns *Namespace, _ Match) error {
				time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
				ns.OnConnect(func(*Socket) {})
				mu.Lock()
				defer mu.Unlock()
				ran[ns] += kind
				return nil
			}
		}
		var all sync.WaitGroup
		for i := range 12 {
			name := fmt.Sprintf("/%d", i%3)
			all.Go(func() { r.Setup(name, count("exact ")) })
			all.Go(func() { r.Setup("*", count("pattern ")) })
			if i%2 == 0 {
				all.Go(func() {
					if _, err := r.Of(name, ""); err != nil {
						t.Error(err)
					}
				})
			}
			p := newPeer(t, r, dial{})
			all.Go(func() {
				p.ask(name)
				p.next() // admitted, or refused for want of a registration
				p.close()
			})
		}
		all.Wait()
		closeRegistry(t, r)
		for ns, setups := range ran {
			// An exact registration may replace a setup, whose own registrations are
			// gone then; a pattern's never does.
			if strings.Contains(strings.TrimPrefix(setups, "pattern "), "pattern") || len(ns.onConnect) != 1 {
				t.Errorf("an incarnation of %s was set up by: %s; %d OnConnect handlers", ns.FullName(), setups, len(ns.onConnect))
			}
		}
		for _, ns := range r.Namespaces() {
			if ran[ns] == "" {
				t.Errorf("%s lives and was not set up", ns.FullName())
			}
		}
	}
}

// Of many names nothing stays: neither in the registry nor in the directory.
func TestRegistry_RetiredNamespacesLeaveNothing(t *testing.T) {
	r := newRegistry(t, Options{Retirement: time.Millisecond})
	r.Setup("*", accept)
	const clients, names = 20, 100
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for j := range names {
				p := newPeer(t, r, dial{})
				s := p.join(fmt.Sprintf("/%d/%d", i, j))
				if err := s.Join("room"); err != nil {
					t.Error(err)
				}
				p.close()
			}
		})
	}
	all.Wait()
	eventually(t, "all have retired", func() bool { return len(r.Namespaces()) == 1 })
	eventually(t, "all clients are finished", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.clients) == 0 })
	r.solo.mu.Lock()
	defer r.solo.mu.Unlock()
	if n := len(r.solo.live); n != 0 { // nobody has ever joined "/"
		t.Errorf("the directory keeps %d namespaces", n)
	}
	if s := r.Stats(); s.NamespacesCreated != clients*names+1 || s.NamespacesRetired != clients*names ||
		s.Connects != s.Disconnects || s.Connects != clients*names {
		t.Errorf("counted %+v", s)
	}
}

// A connection that takes nothing costs nobody else a frame, and is not
// counted as a delivery.
func TestBroadcast_DeafConnection(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	p, q := newPeer(t, r, dial{}), newPeer(t, r, dial{})
	ns := p.join("/").Namespace()
	q.join("/")
	p.conn.setDeaf(true)
	before := r.Stats().Deliveries
	if err := ns.Emit("e"); err != nil {
		t.Fatal(err)
	}
	q.want(`2["e"]`)
	p.wantNothing()
	if got := r.Stats().Deliveries - before; got != 1 {
		t.Errorf("%d deliveries counted, want 1", got)
	}
}

func TestRegistry_NamespacesAreInOrder(t *testing.T) {
	r := newRegistry(t, Options{})
	want := []string{"/", "/ab", "/a/b", "/zz", "//other.com/", "//other.com/q"}
	for _, full := range []string{"//other.com/q", "/zz", "/a/b", "//other.com/", "/ab"} {
		host, name := SplitFullName(full)
		if _, err := r.Of(name, host); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, ns := range r.Namespaces() {
		got = append(got, ns.Info().FullName)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOptions_NegativeIsAnError(t *testing.T) {
	for _, o := range []Options{
		{Retirement: -1}, {ConnectTimeout: -1}, {MaxNameLength: -1}, {MaxNamespaces: -1},
		{MaxConnectionNamespaces: -1}, {MaxRooms: -1}, {MaxPendingEvents: -1}, {MaxAttachments: -1},
		{MaxNamespacesPerAddress: -1}, {MaxPendingBytes: -1}, {AckTimeout: -1}, {PacketTimeout: -1},
	} {
		if r, err := New(o); err == nil {
			t.Errorf("New accepts %+v", o)
			closeRegistry(t, r)
		}
	}
}
