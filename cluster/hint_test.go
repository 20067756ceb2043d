package cluster

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// Whatever keeps a node from its Redis at the start is one line that says which server it was, how it was
// spoken to, and what to do. The test is not parallel: it trusts a certificate of its own.
func TestCluster_SaysWhatToDoAboutRedis(t *testing.T) {
	secure := redistest.StartTLS(t)
	locked := redistest.Start(t)
	if err := locked.Client().ConfigSet(t.Context(), "requirepass", "hunter2").Err(); err != nil {
		t.Fatal(err)
	}
	plain := redistest.Start(t)
	gone := redistest.Start(t)
	gone.Kill()
	for _, c := range []struct{ name, url, where, want string }{
		{"down", "redis://" + gone.Addr, gone.Addr, "nothing listens at this address: is Redis running"},
		{"TLS to a plain port", "rediss://" + plain.Addr, plain.Addr + " over TLS", "write redis:// instead of rediss://"},
		{"plain to a TLS port", "redis://" + secure.TLSAddr, secure.TLSAddr, "write rediss:// instead of redis://"},
		{"no password", "redis://" + locked.Addr, locked.Addr, "this Redis wants a password: redis://:PASSWORD@HOST:PORT"},
		{"a password without its colon", "redis://hunter2@" + locked.Addr, locked.Addr, "a password alone stands behind a colon"},
		{"a wrong password", "redis://:hunter3@" + locked.Addr, locked.Addr, "the user name or the password in the URL is wrong"},
		{"an unknown host", "redis://no-such-host.invalid:6379", "no-such-host.invalid:6379", "this host name is not known here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log syncBuffer
			cl, err := Open(Config{Redis: c.url, Node: "a", NodeTTL: memberTTL, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			cl.Start(&fakeLocal{})
			defer cl.Close(limit(t))
			w := &whole{TB: t, ctx: limit(t)}
			w.until("the log says something", func() bool { return strings.Contains(log.String(), "\n") })
			time.Sleep(300 * time.Millisecond) // in which it tries again
			if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, c.where+`"`) && !strings.Contains(text, "redis="+c.where+" ") || !strings.Contains(text, c.want) {
				t.Errorf("the log has\n%swant one line with %q and %q", text, c.where, c.want)
			}
			if strings.Contains(log.String(), "hunter") {
				t.Errorf("the log has the password: %s", log.String())
			}
			e, err := NewEmitter(cl.client, EmitterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := newTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err = e.Emit(ctx, "/x", nil, "e"); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.where) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("emit: %v, want %q and %q in it", err, c.where, c.want)
			}
		})
	}
}
