package cluster

import (
	"testing"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// A holder that cannot register any more, though it could go on renewing the lease, leaves it to another.
func TestMember_YieldsTheLeaseWithoutASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t))
	// What a needs but to register, which takes INFO.
	if err := w.admin.Do(w.ctx, "ACL", "SETUSER", "a", "on", ">secret", "+@all", "~*", "&*").Err(); err != nil {
		t.Fatal(err)
	}
	client, err := Connect("redis://a:secret@" + w.admin.Options().Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	a := w.memberOver(client, "a", MemberOptions{})
	w.ready(a)
	b := w.member("b", MemberOptions{})
	w.ready(a, b)
	if a.Stats().LeaseToken == 0 {
		t.Fatal("a does not hold the lease")
	}
	if err := w.admin.Do(w.ctx, "ACL", "SETUSER", "a", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	a.current().Close()
	w.until("b holds the lease", func() bool { return b.Stats().LeaseToken != 0 })
	if a.Ready() == nil {
		t.Error("a could register")
	}
}
