package namespace

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The clients of one address cannot take all namespaces of a node. Those that they
// brought to life count until they have retired, whoever is in them.
func TestRegistry_NamespacesOfAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, Options{MaxNamespacesPerAddress: 3, Retirement: 5 * time.Second})
		r.Setup("*", accept)
		first := newPeer(t, r, dial{address: "2001:db8::1"})
		for i := range 3 {
			first.join(fmt.Sprintf("/%d", i))
		}
		second := newPeer(t, r, dial{address: "2001:db8::ffff:2"}) // the same /64
		refused := func() {
			t.Helper()
			second.ask("/more")
			second.want(`4/more,{"message":"Namespace unavailable"}`)
		}
		refused()
		second.join("/0") // one that is there
		if n := r.Stats().Refused["address_limit"]; n != 1 {
			t.Errorf("%d refusals are counted", n)
		}
		other := newPeer(t, r, dial{address: "2001:db8:0:1::1"})
		other.join("/other")
		other.join("/1")

		first.close()
		time.Sleep(time.Second)
		refused() // /0 and /1 have others in them, and /2 lives for its retirement time
		time.Sleep(5 * time.Second)
		second.join("/more")
		second.ask("/last")
		second.want(`4/last,{"message":"Namespace unavailable"}`)
		if _, err := r.Of("/0", ""); err != nil { // the application's from now on
			t.Fatal(err)
		}
		second.join("/last")

		second.close()
		other.close()
		time.Sleep(time.Minute)
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.byAddress) != 0 {
			t.Errorf("%d addresses are still counted", len(r.byAddress))
		}
	})
}

// However many clients are refused for want of something, an operator reads one line a
// second, with their number.
func TestRegistry_RefusalsAreALineASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		r := newRegistry(t, Options{MaxNamespaces: 2, Logger: log.logger()})
		r.Setup("*", accept)
		p := newPeer(t, r, dial{})
		p.join("/fits")
		refuse := func(n int) {
			for range n {
				p.ask("/more")
				p.want(`4/more,{"message":"Namespace unavailable"}`)
				time.Sleep(100 * time.Millisecond)
			}
		}
		lines := func() (warnings []string) {
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "level=WARN") {
					warnings = append(warnings, line)
				}
			}
			return warnings
		}
		refuse(1)
		if n := len(lines()); n != 1 {
			t.Errorf("%d lines after one refusal", n)
		}
		refuse(39)
		time.Sleep(10 * time.Second)
		got, sum := lines(), 0
		for _, line := range got {
			var n int
			_, after, _ := strings.Cut(line, " refused=")
			if _, err := fmt.Sscan(after, &n); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			sum += n
		}
		if len(got) > 6 || sum != 40 {
			t.Errorf("%d lines of %d refusals:\n%s", len(got), sum, strings.Join(got, ""))
		}
		refuse(1)
		if n := len(lines()); n != len(got)+1 {
			t.Error("a refusal after a quiet time is not logged at once")
		}
		p.close()
	})
}
