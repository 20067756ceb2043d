package lease

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/redis/go-redis/v9"
)

func candidate(t testing.TB, c redis.UniversalClient, holder string, ttl time.Duration) *Lease {
	t.Helper()
	l, err := New(c, Options{Key: "{x}:lease", Holder: holder, TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// limit bounds a test that would otherwise hang when its promise is broken.
func limit(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestLease_OneHolderAtATime(t *testing.T) {
	ctx, srv := limit(t), redistest.Start(t)
	a, b := candidate(t, srv.Client(), "a", 0), candidate(t, srv.Client(), "b", 0)
	h, err := a.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Lease{a, b} {
		if _, err := l.Acquire(ctx); !errors.Is(err, ErrHeld) {
			t.Errorf("second Acquire = %v, want ErrHeld", err)
		}
	}
	info, err := Read(ctx, srv.Client(), "{x}:lease")
	if err != nil || info.Holder != "a" || info.Token != h.Token() || info.TTL <= 0 || info.TTL > 5*time.Second {
		t.Errorf("Read = %+v, %v", info, err)
	}
	if err := h.Release(ctx); err != nil {
		t.Errorf("Release = %v", err)
	}
	if err := h.Release(ctx); !errors.Is(err, ErrLost) {
		t.Errorf("second Release = %v, want ErrLost", err)
	}
	if info, err := Read(ctx, srv.Client(), "{x}:lease"); err != nil || info != (Info{}) {
		t.Errorf("Read = %+v, %v, want nothing", info, err)
	}
}

// Two holders never overlap by their own clocks, whether they release, die or
// lose the lease to a stalled Redis; and tokens only grow.
func TestLease_HoldersNeverOverlap(t *testing.T) {
	ctx, srv := limit(t), redistest.Start(t)
	const ttl = 150 * time.Millisecond
	type term struct {
		from, to time.Time
		token    uint64
	}
	var mu sync.Mutex // guards terms
	var terms []term
	run, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for i := range 5 {
		l := candidate(t, srv.Client(), fmt.Sprint(i), ttl)
		wg.Go(func() {
			for run.Err() == nil {
				h, err := l.Campaign(run)
				if err != nil {
					return
				}
				from := time.Now()
				select {
				case <-h.Context().Done():
				case <-time.After(rand.N(2 * ttl)):
				}
				if rand.N(2) == 0 {
					// Die: no renewal, no release, trusted to the last moment.
					h.mu.Lock()
					to := h.deadline
					h.mu.Unlock()
					h.end(context.Canceled)
					mu.Lock()
					terms = append(terms, term{from, to, h.Token()})
					mu.Unlock()
					continue
				}
				to := time.Now()
				h.Release(ctx)
				mu.Lock()
				terms = append(terms, term{from, to, h.Token()})
				mu.Unlock()
			}
		})
	}
	admin := srv.Client()
	enough := func() bool { mu.Lock(); defer mu.Unlock(); return len(terms) >= 10 }
	for begun := time.Now(); time.Since(begun) < 4*time.Second || !enough(); { // stalls longer and shorter than a lease
		if ctx.Err() != nil {
			t.Fatal("no ten terms: nothing was shown")
		}
		admin.Do(ctx, "DEBUG", "SLEEP", fmt.Sprintf("%.2f", rand.Float64()*0.2))
		time.Sleep(300 * time.Millisecond)
	}
	stop()
	wg.Wait()
	slices.SortFunc(terms, func(x, y term) int { return x.from.Compare(y.from) })
	for i := 1; i < len(terms); i++ {
		if terms[i].from.Before(terms[i-1].to) {
			t.Errorf("token %d trusted until %v, token %d from %v on", terms[i-1].token, terms[i-1].to, terms[i].token, terms[i].from)
		}
		if terms[i].token <= terms[i-1].token {
			t.Errorf("token %d after %d", terms[i].token, terms[i-1].token)
		}
	}
}

// A plain counter would start over when Redis loses its data.
func TestLease_TokensGrowThroughDataLoss(t *testing.T) {
	ctx, srv := limit(t), redistest.Start(t)
	l, admin := candidate(t, srv.Client(), "a", 0), srv.Client()
	var last uint64
	next := func(when string) {
		t.Helper()
		h, err := l.Acquire(ctx)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if h.Token() <= last {
			t.Errorf("%s: token %d after %d", when, h.Token(), last)
		}
		last = h.Token()
		h.Release(ctx)
	}
	next("at first")
	srv.Save()
	for range 20 {
		next("again")
	}
	srv.Kill()
	srv.Restart()
	next("after a restart with an old dump")
	admin.FlushAll(ctx)
	next("after FLUSHALL")
	// A clock that is behind: the counter is ahead of it, and then the caller is.
	ahead := last + uint64(time.Hour.Microseconds())
	admin.Set(ctx, "{x}:lease:token", ahead, 0)
	next("with the clock behind the counter")
	if last != ahead+1 {
		t.Errorf("token %d, want %d", last, ahead+1)
	}
	admin.FlushAll(ctx)
	next("with the clock behind what the caller saw")
}

// FLUSHALL takes the lease away; the holder must take its next renewal's answer for what it is, and
// not go on until its time is over.
func TestHeld_NoticesThatTheLeaseIsGone(t *testing.T) {
	ctx, srv := limit(t), redistest.Start(t)
	o := &told{calls: map[string]int{}, missing: map[string]int{}}
	l, err := New(srv.Client(), Options{Key: "{x}:lease", Holder: "a", TTL: 4 * time.Second, Observe: o.observe})
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	srv.Client().FlushAll(ctx)
	select {
	case <-h.Context().Done():
	case <-ctx.Done():
		t.Fatal("it goes on")
	}
	if _, missing := o.counts("renew"); missing != 0 {
		t.Errorf("%d renewals had no answer, want a refusal", missing)
	}
	if err := h.Release(ctx); !errors.Is(err, ErrLost) {
		t.Errorf("Release = %v, want ErrLost", err)
	}
}

// An expired lease that nobody took must not be revived, nor must a first grant
// stand beside the second one of the same candidacy.
func TestRedisStore_OldGrantsAreVoid(t *testing.T) {
	ctx, srv := limit(t), redistest.Start(t)
	s := candidate(t, srv.Client(), "a", 5*time.Second).store
	first, err := s.acquire(ctx, "n", 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.acquire(ctx, "n", 0)
	if err != nil || second.token <= first.token {
		t.Fatalf("second grant %+v, %v after %+v", second, err, first)
	}
	if err := s.renew(ctx, first.token, "n"); !errors.Is(err, ErrLost) {
		t.Errorf("renewal of the first grant = %v, want ErrLost", err)
	}
	if err := s.renew(ctx, second.token, "n"); err != nil {
		t.Errorf("renewal of the second grant = %v", err)
	}
	if err := s.release(ctx, "m"); !errors.Is(err, ErrLost) {
		t.Errorf("release by a stranger = %v, want ErrLost", err)
	}
	srv.Client().Del(ctx, "{x}:lease")
	if err := s.renew(ctx, second.token, "n"); !errors.Is(err, ErrLost) {
		t.Errorf("renewal of a lease that is gone = %v, want ErrLost", err)
	}
}

// Hand-over takes milliseconds: with the subscription of Campaign's own, and with
// one of the program's.
func TestHeld_ReleaseHandsOver(t *testing.T) {
	ctx, srv := limit(t), redistest.Start(t)
	for _, own := range []bool{true, false} {
		o := Options{Key: "{x}:lease", Holder: "h", TTL: time.Minute}
		if !own {
			ps := srv.Client().Subscribe(ctx, "{x}:lease:released")
			defer ps.Close()
			if _, err := ps.Receive(ctx); err != nil {
				t.Fatal(err)
			}
			wake := make(chan struct{}, 1)
			o.Wake = wake
			go func() { // ends when ps is closed
				for range ps.Channel() {
					select {
					case wake <- struct{}{}:
					default:
					}
				}
			}()
		}
		l, err := New(srv.Client(), o)
		if err != nil {
			t.Fatal(err)
		}
		h, err := l.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var took []time.Duration
		for range 20 {
			got := make(chan *Held)
			go func() {
				next, err := l.Campaign(ctx)
				if err != nil {
					t.Error(err)
				}
				got <- next
			}()
			time.Sleep(20 * time.Millisecond) // let it wait; if not, it is only easier
			start := time.Now()
			if err := h.Release(ctx); err != nil {
				t.Fatal(err)
			}
			if h = <-got; h == nil {
				t.FailNow()
			}
			took = append(took, time.Since(start))
		}
		h.Release(ctx)
		slices.Sort(took)
		t.Logf("own subscription %v: median %v, worst %v", own, took[10], took[19])
		// Without a wake it would take the TTL, from which even a busy machine is far.
		if took[19] > 20*time.Second {
			t.Errorf("hand-over took %v", took)
		}
	}
}

// The lease of a holder that died is free when its TTL is over, not much later.
func TestLease_CampaignOutwaitsADeadHolder(t *testing.T) {
	ctx, srv := limit(t), redistest.Start(t)
	const ttl = 300 * time.Millisecond
	start := time.Now()
	dead, err := candidate(t, srv.Client(), "dead", ttl).Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dead.end(context.Canceled) // no renewal any more, and no release
	h, err := candidate(t, srv.Client(), "next", ttl).Campaign(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release(ctx)
	if d := time.Since(start); d < ttl {
		t.Errorf("granted after %v, want %v at least", d, ttl)
	}
}

// holderEnv makes this test binary a process that holds the lease and reports.
const holderEnv = "LEASE_TEST_HOLDER"

// holderTTL is the lease of that process.
const holderTTL = 400 * time.Millisecond

// runHolder acquires, and says what it knows right after it was stopped.
func runHolder(addr string) int {
	ctx := context.Background()
	l, err := New(redis.NewClient(&redis.Options{Addr: addr}), Options{Key: "{x}:lease", Holder: "paused", TTL: holderTTL})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	h, err := l.Acquire(ctx)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("holding")
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil { // is written while we are stopped
		fmt.Println(err)
		return 1
	}
	fmt.Println("woke:", h.Check())
	return 0
}

// A holder that was stopped past its lease must know before it does anything,
// while another one holds the lease already.
func TestHeld_PausedKnowsAtOnce(t *testing.T) {
	ctx, srv := limit(t), redistest.Start(t)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), holderEnv+"="+srv.Addr)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "holding" {
		t.Fatalf("the holder says %q", lines.Text())
	}
	cmd.Process.Signal(syscall.SIGSTOP)
	h, err := candidate(t, srv.Client(), "next", 0).Campaign(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release(ctx)
	// Redis counted from later than the holder: so its lease is over by now by its own clock, too.
	if _, err := in.Write([]byte{'\n'}); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(syscall.SIGCONT)
	if !lines.Scan() || !strings.Contains(lines.Text(), ErrLost.Error()) {
		t.Errorf("the holder says %q on waking, want %q", lines.Text(), ErrLost)
	}
}

// A call that fails says so; it is not the same as a lease that another holds.
func TestLease_NoAnswerIsNoRefusal(t *testing.T) {
	ctx, srv := limit(t), redistest.Start(t)
	c := redis.NewClient(&redis.Options{Addr: srv.Addr, MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	srv.Kill()
	_, err := candidate(t, c, "a", 0).Acquire(ctx)
	var e *Error
	if !errors.As(err, &e) || e.Op != "acquire" || errors.Is(err, ErrHeld) {
		t.Errorf("Acquire = %v, want an *Error", err)
	}
	if _, err := Read(ctx, c, "{x}:lease"); !errors.As(err, &e) || e.Op != "read" {
		t.Errorf("Read = %v, want an *Error", err)
	}
}

func TestNew_ChecksOptions(t *testing.T) {
	for _, o := range []Options{
		{Holder: "h"},
		{Key: "k"},
		{Key: "k", Holder: "a\nb"},
		{Key: "k", Holder: "h", TTL: time.Millisecond},
		{Key: "k", Holder: "h", TTL: -time.Second},
	} {
		if _, err := New(nil, o); err == nil {
			t.Errorf("New(%+v) is accepted", o)
		}
	}
}
