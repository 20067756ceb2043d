package namespace

import (
	"testing"
	"testing/synctest"
	"time"
)

// A shorter, or no longer endless, time counts for what is empty already.
func TestNamespace_RecountTakesTheNewRetirement(t *testing.T) {
	for _, before := range []time.Duration{time.Hour, Never} {
		synctest.Test(t, func(t *testing.T) {
			r := newRegistry(t, Options{})
			r.Setup("*", func(ns *Namespace, _ Match) error {
				ns.SetRetirement(before)
				return nil
			})
			p := newPeer(t, r, dial{})
			ns := p.join("/x").Namespace()
			ns.SetRetirement(time.Second)
			ns.Recount() // there is a socket: nothing to count
			time.Sleep(time.Minute)
			ns.SetRetirement(before)
			p.close()
			time.Sleep(time.Minute)
			if r.Lookup("/x") != ns {
				t.Fatal("retired before its time")
			}
			ns.SetRetirement(time.Second)
			ns.Recount()
			time.Sleep(time.Second - 1)
			synctest.Wait()
			if r.Lookup("/x") != ns {
				t.Error("retired before its new time")
			}
			time.Sleep(1)
			synctest.Wait()
			if r.Lookup("/x") != nil {
				t.Error("it did not take the new time")
			}
		})
	}
}
