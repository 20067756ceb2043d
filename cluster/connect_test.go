package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/redis/go-redis/v9"
)

func TestConnect_URLs(t *testing.T) {
	for url, want := range map[string]string{
		"redis://localhost:6379":                                          "*redis.Client",
		"redis://user:secret@localhost/3?read_timeout=1s":                 "*redis.Client",
		"rediss://:secret@localhost:6380":                                 "*redis.Client",
		"unix:///tmp/redis.sock?db=1":                                     "*redis.Client",
		"REDIS://localhost":                                               "*redis.Client",
		"redis+sentinel://localhost:26379?master_name=m&addr=other:26379": "*redis.Client",
		"rediss+sentinel://u:secret@localhost:26379/0?master_name=m":      "*redis.Client",
		"redis+cluster://localhost:7000?addr=localhost:7001":              "*redis.ClusterClient",
		"rediss+cluster://u:secret@localhost:7000":                        "*redis.ClusterClient",
	} {
		c, err := Connect(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := fmt.Sprintf("%T", c); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
		c.Close()
	}
}

// A mistake in a URL is told, and the password in it never is.
func TestConnect_ErrorsHideThePassword(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://u:hunter2@localhost", "redis", "redis+ring://:hunter2@localhost",
		"redis://u:hunter2@localhost:port", "redis://u:hunter2@localhost/x", "redis://u:hunter2@localhost?nonsense=1",
		"redis://u:hunter2@loc alhost", "redis://u:hun%zzter2@localhost", "redis://u:hunter2/x@localhost",
		"redis://u:/hunter2@localhost:1", "redis://u:#hunter2@localhost:x", "redis://hunter2@localhost:x:y",
		"redis+sentinel://u:hunter2@localhost", "redis+cluster://u:hunter2@localhost:x",
		"redis+sentinel://localhost?sentinel_password=hunter2&nonsense=1", "unix+cluster://u:hunter2@x",
		"redis://u:hunter%32@local\x7fhost", "redis://:hunter2", "redis://h:hunter2/0", "redis://h?p%61ssword=hunter2&nonsense=1", "hunter2://x",
	} {
		c, err := Connect(url)
		if err == nil {
			c.Close()
			t.Errorf("%q is accepted", url)
			continue
		}
		if strings.Contains(err.Error(), "xxxxx") {
			t.Errorf("%q: %v: letters are taken out of a text that never had the password", url, err)
		}
		if strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "ter2") {
			t.Errorf("%q: %v", url, err)
		}
		if !strings.HasPrefix(err.Error(), "cluster: Redis URL: ") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// What is wrong is said in full, whatever letters the password has.
func TestConnect_ErrorsCanBeRead(t *testing.T) {
	for url, want := range map[string]string{
		"redis://:a#b@h:1":              "the user name or the password has a character that must be percent-encoded: / as %2F, ? as %3F, # as %23",
		"redis://u:a/b@h:1":             "must be percent-encoded",
		"redis://u:i@localhost:port":    `invalid port ":port" after host`,
		"redis://u:i@localhost/x":       `invalid database number: "x"`,
		"redis://u:e@h?nonsense=1":      "unexpected option: nonsense",
		"redis://localhost:6379#x":      "it has a number sign, which in a password must be written %23",
		"http://u:s@localhost":          "scheme is not one of redis, rediss",
		"localhost:6379":                "it has no scheme, such as redis://",
		"redis://:hunter2":              "a password is written redis://:PASSWORD@HOST:PORT",
		"redis+sentinel://u:a@h":        "a Sentinel URL needs ?master_name=",
		"redis://h?read_timeout=s@h":    "percent-encoded",
		"redis+cluster://u:o@localhost": "",
	} {
		c, err := Connect(url)
		if err == nil {
			c.Close()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q in it", url, err, want)
		}
	}
}

func TestRedactURL(t *testing.T) {
	for url, want := range map[string]string{
		"redis://localhost:6379/3?read_timeout=1s": "redis://localhost:6379/3?read_timeout=1s",
		"redis://user:secret@localhost":            "redis://user:xxxxx@localhost",
		"redis://:secret@localhost":                "redis://:xxxxx@localhost",
		"redis://secret@localhost":                 "redis://xxxxx@localhost",
		"redis://secret:@localhost":                "redis://xxxxx@localhost",
		"REDISS://u:se%23cret@localhost":           "rediss://u:xxxxx@localhost",
		"unix:///tmp/redis.sock?db=1":              "unix:///tmp/redis.sock?db=1",
		"redis://h?master_name=m&password=secret":  "redis://h?master_name=m&password=xxxxx",
		"redis://h?sentinel_p%61ssword=secret":     "redis://h?sentinel_password=xxxxx",
		"redis://u:sec/ret@localhost":              "(unreadable)",
		"redis://u:sec#ret@localhost":              "(unreadable)",
		"redis://:secret":                          "(unreadable)",
		"secret":                                   "(unreadable)",
		"redis:u:secret@h":                         "(unreadable)",
		"redis://a:80?x=@secret@localhost":         "(unreadable)",
		"redis+sentinel://u:secret@a:1?addr=b:2":   "redis+sentinel://u:xxxxx@a:1?addr=b:2",
		"redis+cluster://u:secret@a:1?addr=c:3":    "redis+cluster://u:xxxxx@a:1?addr=c:3",
	} {
		if got := RedactURL(url); got != want {
			t.Errorf("RedactURL(%q) = %q, want %q", url, got, want)
		}
	}
}

func FuzzRedactURL(f *testing.F) {
	f.Add("u", "@localhost:6379/0")
	f.Add("", "/x@localhost?password=1")
	f.Add("u?", "@#")
	f.Fuzz(func(t *testing.T, user, after string) {
		const secret = "hunter2hunter2"
		if !strings.Contains(after, "@") {
			return
		}
		if got := RedactURL("redis://" + user + ":" + secret + after); strings.Contains(got, secret) {
			t.Errorf("%q %q: %q", user, after, got)
		}
	})
}

func FuzzConnect(f *testing.F) {
	f.Add("u:", "@localhost:x")
	f.Add("", "@[::1/")
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "hunter2hunter2"
		if strings.Contains(before, "@") || strings.Contains(before, "://") || strings.Contains(after, "@") {
			return
		}
		c, err := Connect("redis://" + before + ":" + secret + "@" + after)
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q %q: %v", before, after, err)
		}
		if err == nil {
			c.Close()
		}
	})
}

// Every key of a cluster lies in one slot: a Redis Cluster takes all the scripts.
func TestDirectory_OnRedisCluster(t *testing.T) {
	srv := redistest.Start(t, "--cluster-enabled", "yes")
	admin, ctx := srv.Client(), limit(t)
	if err := admin.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for admin.Get(ctx, "x").Err() != redis.Nil { // until it says that it is up
		if ctx.Err() != nil {
			t.Fatal("the Redis Cluster does not come up")
		}
		time.Sleep(10 * time.Millisecond)
	}
	c, err := Connect("redis+cluster://" + srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lifeOfANamespace(t, newWorld(t, srv), c)
}

// A user of Redis needs no more than what the package says.
func TestDirectory_AsAnACLUser(t *testing.T) {
	srv := redistest.Start(t)
	w := newWorld(t, srv)
	rule := "ACL SETUSER node on >secret ~dynamicio:* &dynamicio:* -@all +@read +@write +@pubsub +@connection " +
		"+eval +evalsha +script|load +info +time -@dangerous +info"
	args := []any{}
	for f := range strings.FieldsSeq(rule) {
		args = append(args, f)
	}
	if err := w.admin.Do(w.ctx, args...).Err(); err != nil {
		t.Fatal(err)
	}
	c, err := Connect("redis://node:secret@" + srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Get(w.ctx, "other").Err(); err == nil || err == redis.Nil {
		t.Fatalf("the user may read everything: %v", err)
	}
	lifeOfANamespace(t, w, c)
}

// lifeOfANamespace goes through all scripts once.
func lifeOfANamespace(t *testing.T, w *world, c redis.UniversalClient) {
	t.Helper()
	d, err := New(c, Options{Node: "a", NodeTTL: ttl, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := w.register(d)
	w.beat(s)
	w.settle(s)
	name := "//host.com/{brace}}{"
	epoch := w.join(s, name)
	if err := s.Counts(w.ctx, []Count{{name, 4, 0}}); err != nil {
		t.Error(err)
	}
	if got := w.assert(s, Assert{FullName: name, Epoch: epoch, Confirmed: s.Era(), Occupied: true, Sockets: 4}); got.Standing != Stands {
		t.Errorf("assert %+v", got)
	}
	page, err := d.Namespaces(w.ctx, PageQuery{})
	if err != nil || len(page.Namespaces) != 1 || page.Namespaces[0].Sockets() != 4 {
		t.Errorf("page %+v, %v", page, err)
	}
	if o, err := d.Overview(w.ctx); err != nil || len(o.Nodes) != 1 || o.Nodes[0].Namespaces != 1 {
		t.Errorf("overview %+v, %v", o, err)
	}
	w.leave(s, name, 0)
	if names, _ := w.retire(s); len(names) != 1 || names[0] != name {
		t.Errorf("retired %q", names)
	}
	if _, err := s.Evict(w.ctx, w.token); err != nil {
		t.Error(err)
	}
	w.sweep(s)
	s = w.register(d)
	if err := s.Deregister(w.ctx); err != nil {
		t.Error(err)
	}
}

func TestNew_ChecksOptions(t *testing.T) {
	c := redis.NewClient(&redis.Options{})
	defer c.Close()
	for _, o := range []Options{
		{}, {Node: "a{b"}, {Node: "a\nb"}, {Node: "x:namespaces"}, {Node: strings.Repeat("x", maxNameLen+1)},
		{Node: "a", Cluster: "}"}, {Node: "a", NodeTTL: time.Millisecond}, {Node: "a", NodeTTL: -1}, {Node: "a", Timeout: -1},
	} {
		if _, err := New(c, o); err == nil {
			t.Errorf("New(%+v) is accepted", o)
		}
	}
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{}})
	defer ring.Close()
	if _, err := New(ring, Options{Node: "a"}); err == nil {
		t.Error("a ring is accepted")
	}
}
