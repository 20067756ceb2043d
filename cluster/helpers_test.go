package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/e2e/leaktest"
	"github.com/dynamicio/dynamicio/lease"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// ttl is the node TTL of most tests: short, since an era takes it to settle, and long
// enough for a machine that does other things too.
const ttl = 400 * time.Millisecond

// limit bounds a test that would otherwise hang when its promise is broken.
func limit(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// world is a cluster of directories on one Redis, with a lease that the test writes itself.
type world struct {
	testing.TB
	ctx   context.Context
	admin *redis.Client
	token uint64
}

func newWorld(t testing.TB, srv *redistest.Server) *world { return worldAt(t, srv.Addr) }

func worldAt(t testing.TB, addr string) *world {
	admin := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { admin.Close() })
	return &world{TB: t, ctx: limit(t), admin: admin, token: 7}
}

func (w *world) directory(node string, o ...Options) *Directory {
	w.Helper()
	opts := Options{NodeTTL: ttl, Timeout: 5 * time.Second}
	if len(o) > 0 {
		opts = o[0]
	}
	opts.Node = node
	// A client of its own: nodes share no pool.
	c, err := Connect("redis://" + w.admin.Options().Addr)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	d, err := New(c, opts)
	if err != nil {
		w.Fatal(err)
	}
	return d
}

// node registers a node that says at once that it is done.
func (w *world) node(id string) *Session {
	w.Helper()
	s := w.register(w.directory(id))
	w.beat(s)
	return s
}

func (w *world) register(d *Directory) *Session {
	w.Helper()
	s, err := d.Register(w.ctx, NodeInfo{Address: "127.0.0.1:80", Version: "test"})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(s.Close)
	return s
}

func (w *world) beat(sessions ...*Session) {
	w.Helper()
	for _, s := range sessions {
		if err := s.Heartbeat(w.ctx, Beat{Done: true}); err != nil {
			w.Fatal(err)
		}
	}
}

// lead makes the token of the test the lease's; a new era voids that.
func (w *world) lead() {
	w.admin.Set(w.ctx, "dynamicio:{default}:lease", "7 nonce somebody", 0)
}

// settle waits until the era is settled, while the sessions live.
func (w *world) settle(sessions ...*Session) {
	w.Helper()
	w.lead()
	for w.ctx.Err() == nil {
		w.beat(sessions...)
		d, err := sessions[0].Retire(w.ctx, w.token)
		if err != nil {
			w.Fatal(err)
		}
		if d.Gate != Unsettled {
			return
		}
		time.Sleep(min(d.Wait, ttl/5))
	}
	w.Fatal("the era does not settle")
}

func (w *world) join(s *Session, name string) uint64 {
	w.Helper()
	j := &Join{FullName: name}
	if err := s.Do(w.ctx, j); err != nil {
		w.Fatalf("join %s: %v", name, err)
	}
	return j.Epoch
}

func (w *world) leave(s *Session, name string, retirement time.Duration) *Leave {
	w.Helper()
	l := &Leave{FullName: name, Retirement: retirement}
	if err := s.Do(w.ctx, l); err != nil {
		w.Fatalf("leave %s: %v", name, err)
	}
	return l
}

func (w *world) assert(s *Session, a Assert) Assert {
	w.Helper()
	if err := s.Do(w.ctx, &a); err != nil {
		w.Fatalf("assert %s: %v", a.FullName, err)
	}
	return a
}

// retire runs the script once and returns the names.
func (w *world) retire(s *Session) (names []string, d Decision) {
	w.Helper()
	d, err := s.Retire(w.ctx, w.token)
	if err != nil {
		w.Fatalf("retire: %v", err)
	}
	for _, r := range d.Retired {
		names = append(names, r.FullName)
	}
	return names, d
}

// sweep runs the script until there is nothing left to do.
func (w *world) sweep(s *Session) (total Swept) {
	w.Helper()
	for {
		got, err := s.Sweep(w.ctx, w.token)
		if err != nil {
			w.Fatalf("sweep: %v", err)
		}
		total.Memberships += got.Memberships
		total.Forgotten += got.Forgotten
		if !got.More {
			return total
		}
	}
}

// watch runs the eviction, while all sessions live, until nothing postpones it any more.
func (w *world) watch(alive ...*Session) {
	w.Helper()
	for w.ctx.Err() == nil {
		w.beat(alive...)
		d, err := alive[0].Evict(w.ctx, w.token)
		if err != nil || d.Evicted != nil {
			w.Fatalf("evict = %+v, %v", d, err)
		}
		if d.Gate == Decided {
			return
		}
		time.Sleep(ttl / 10)
	}
	w.Fatal("eviction stays postponed")
}

// evictAll lets the sessions live, and runs the script as often as it must be, until a node is evicted.
func (w *world) evictAll(alive ...*Session) []string {
	w.Helper()
	for w.ctx.Err() == nil {
		w.beat(alive...)
		d, err := alive[0].Evict(w.ctx, w.token)
		if err != nil {
			w.Fatalf("evict: %v", err)
		}
		if len(d.Evicted) > 0 {
			return d.Evicted
		}
		time.Sleep(ttl / 10)
	}
	w.Fatal("nobody is evicted")
	return nil
}

func (w *world) state(name string) (NamespaceState, bool) {
	w.Helper()
	n, ok, err := w.directory("reader").Namespace(w.ctx, name)
	if err != nil {
		w.Fatal(err)
	}
	return n, ok
}

func (w *world) fenced(what string, err error) {
	w.Helper()
	if !errors.Is(err, ErrFenced) {
		w.Errorf("%s = %v, want ErrFenced", what, err)
	}
}

func (w *world) lost(what string, err error) {
	w.Helper()
	if !errors.Is(err, lease.ErrLost) {
		w.Errorf("%s = %v, want lease.ErrLost", what, err)
	}
}

func z(score float64, member string) redis.Z { return redis.Z{Score: score, Member: member} }

func newTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}
