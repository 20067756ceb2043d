package sim

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/dynamicio/dynamicio/e2e/leaktest"
)

// everyday is how many seeds run where nobody says how many.
var everyday = 100

var (
	seeds  = flag.Int("sim.seeds", 0, "how many seeds to run; 0: those of every day")
	first  = flag.Uint64("sim.first", 1, "the first of them")
	one    = flag.Uint64("sim.seed", 0, "run this seed alone, and print its trace")
	shrink = flag.Bool("sim.minimise", false, "look for the shortest schedule that still fails; takes minutes")
	length = flag.Duration("sim.length", 2*time.Minute, "virtual time that things break for in a seed")
)

func TestMain(m *testing.M) {
	logging.Disable() // go-redis writes to standard error
	leaktest.Main(m)
}

func TestSeeds(t *testing.T) {
	from, to := *first, *first+uint64(cmp.Or(*seeds, everyday))
	if *one != 0 {
		from, to = *one, *one+1
	}
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := plan(seed, *length)
			r := run(t, seed, s, *one != 0)
			if *one != 0 {
				t.Log("\n" + r.trace)
			}
			if len(r.broken) == 0 {
				return
			}
			t.Errorf("seed %d broke promises:\n%s\n\ntrace:\n%s", seed, strings.Join(r.broken, "\n"), tail(r.trace, 200))
			if !*shrink {
				return
			}
			if small := minimise(t, seed, s); small != nil {
				t.Errorf("the shortest schedule found that still does:\n%v", small)
			}
		})
	}
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

type result struct {
	broken []string
	trace  string
}

// run runs a schedule in a bubble of its own, and then lets things calm down and ends it.
func run(t *testing.T, seed uint64, s schedule, verbose bool) (r result) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed, verbose)
		for i := range clientCount {
			w.clients = append(w.clients, &client{w: w, id: i})
		}
		for _, st := range s {
			w.until(st.at)
			do[st.what](w, st)
		}
		w.calmDown()
		w.endRedis()
		r = result{w.verdict(), w.log.String()}
	})
	return r
}

// until lets time pass, and looks on.
func (w *world) until(at time.Duration) {
	for {
		next := w.looked.Add(lookEvery)
		end := w.begun.Add(at)
		if len(w.timers) > 0 && w.timers[0].at.Before(end) {
			end = w.timers[0].at
		}
		if next.After(end) {
			time.Sleep(time.Until(end))
			synctest.Wait()
			if len(w.timers) > 0 && !time.Now().Before(w.timers[0].at) {
				f := w.timers[0].f
				w.timers = w.timers[1:]
				f()
				continue
			}
			return
		}
		time.Sleep(time.Until(next))
		synctest.Wait()
		w.looked = time.Now()
		w.look()
	}
}

// timer is something that the main goroutine does later.
type timer struct {
	at time.Time
	f  func()
}

func (w *world) later(d time.Duration, f func()) {
	w.timers = append(w.timers, timer{time.Now().Add(d), f})
	slices.SortStableFunc(w.timers, func(a, b timer) int { return a.at.Compare(b.at) })
}

// calmDown checks that all is as it should be once nothing breaks any more, and that
// nothing is left in the end.
func (w *world) calmDown() {
	pass := func(d time.Duration) { w.until(time.Since(w.begun) + d) }
	pass(time.Minute) // the longest fault
	pass(calmAfter)
	for _, n := range w.nodes {
		if err := n.cluster.Ready(); err != nil {
			w.broken("%s is not ready in the end: %v", n.name, err)
		}
	}
	for _, c := range w.clients {
		if c.conn != nil {
			c.conn.broadcast("")
		}
	}
	pass(2 * deliveredWithin)
	for _, c := range w.clients {
		c.lose()
	}
	pass(retirement + goneWithin)
	for _, n := range w.nodes {
		for _, ns := range n.reg.Namespaces() {
			if ns.FullName() != "/" {
				w.broken("%s is still on %s in the end, epoch %d", ns.FullName(), n.name, ns.Epoch())
			}
		}
	}
	w.end()
	time.Sleep(time.Second) // what the nodes have closed arrives
	synctest.Wait()
	if keys := w.server().left(); len(keys) > 0 {
		w.broken("keys left in Redis: %v", keys)
	}
	if channels := w.server().mini.PubSubChannels(""); len(channels) > 0 {
		w.broken("subscriptions left in Redis: %v", channels)
	}
}

// minimise leaves out of a schedule what is not needed for it to fail. It returns nil if the
// failure does not come again.
func minimise(t *testing.T, seed uint64, s schedule) schedule {
	fails := func(s schedule) bool {
		for range 3 {
			if len(run(t, seed, s, false).broken) > 0 {
				return true
			}
		}
		return false
	}
	if !fails(s) {
		return nil
	}
	for size := len(s) / 2; size > 0; size /= 2 {
		for i := 0; i < len(s); {
			without := slices.Delete(slices.Clone(s), i, min(i+size, len(s)))
			if fails(without) {
				s = without
				continue
			}
			i += size
		}
	}
	return s
}

// Schedules that have broken a promise once, each as short as it could be made. The first is a planned failover:
// sessions moved to the new master, publish and subscribe stayed at the old one.
func TestSchedules(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schedules: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parseSchedule(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if r := run(t, 0, s, true); len(r.broken) > 0 {
				t.Errorf("broke promises:\n%s\n\ntrace:\n%s", strings.Join(r.broken, "\n"), r.trace)
			}
		})
	}
}
