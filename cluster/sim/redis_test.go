package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	mini "github.com/alicebob/miniredis/v2/server"
)

// server is one life of a Redis process.
type server struct {
	mini *miniredis.Miniredis
	path path // what all connections pass: stuck while the process stands still

	mu       sync.Mutex // guards what follows
	wires    map[*wire]bool
	master   *server // not nil: it has become a replica of that one
	replicas []*server
}

// startServer starts a server with data, which may be nil.
func startServer(life int, data dump) (*server, error) {
	s := &server{mini: miniredis.NewMiniRedis(), wires: make(map[*wire]bool)}
	first, err := s.mini.Dial() // which is how one is started without a listener
	if err != nil {
		return nil, err
	}
	first.Close()
	s.mini.ClockTTL(true)
	info := fmt.Sprintf("# Server\r\nredis_mode:standalone\r\nrun_id:life%d\r\n", life)
	s.mini.Server().SetPreHook(func(c *mini.Peer, cmd string, args ...string) bool {
		switch {
		case cmd == "INFO":
			c.WriteBulk(info)
			return true
		case cmd == "PUBLISH" && len(args) == 2:
			s.replicate(args[0], args[1])
		case (cmd == "EVALSHA" || cmd == "EVAL") && s.isReplica():
			c.WriteError("READONLY You can't write against a read only replica.")
			return true
		}
		return false
	})
	return s, data.load(s.mini)
}

// replicate passes a message on to those that replicate this server. A command
// runs under the lock of miniredis, so that is done by a goroutine.
func (s *server) replicate(channel, message string) {
	s.mu.Lock()
	replicas := slices.Clone(s.replicas)
	s.mu.Unlock()
	for _, r := range replicas {
		go r.mini.Publish(channel, message)
	}
}

// demote makes the server a replica of another, which keeps its connections.
func (s *server) demote(master *server) {
	s.mu.Lock()
	s.master = master
	s.mu.Unlock()
	master.mu.Lock()
	master.replicas = append(master.replicas, s)
	master.mu.Unlock()
}

func (s *server) isReplica() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.master != nil
}

func (s *server) pathOrNil() *path {
	if s == nil {
		return nil
	}
	return &s.path
}

func (s *server) attach(w *wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wires[w] = true
}

func (s *server) detach(w *wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.wires, w)
}

// all returns the connections that the server has.
func (s *server) all() []*wire {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.wires))
}

// cutSubscribers is CLIENT KILL TYPE pubsub.
func (s *server) cutSubscribers() {
	for _, w := range s.all() {
		if w.subscriber.Load() {
			w.cut(true)
		}
	}
}

// stop ends the process.
func (s *server) stop() {
	for _, w := range s.all() {
		w.cut(false)
		w.server.Close()
	}
	s.mini.Close()
}

// dump is a copy of all data, as an RDB file is.
type dump []record

type record struct {
	key   string
	ttl   time.Duration
	text  *string
	hash  []string // field, value, ...
	set   []string
	score map[string]float64
}

// save copies the data.
func (s *server) save() (dump, error) {
	var d dump
	for _, key := range s.mini.Keys() {
		r := record{key: key, ttl: s.mini.TTL(key)}
		var err error
		switch kind := s.mini.Type(key); kind {
		case "string":
			var text string
			text, err = s.mini.Get(key)
			r.text = &text
		case "hash":
			var fields []string
			fields, err = s.mini.HKeys(key)
			for _, f := range fields {
				r.hash = append(r.hash, f, s.mini.HGet(key, f))
			}
		case "set":
			r.set, err = s.mini.Members(key)
		case "zset":
			r.score, err = s.mini.SortedSet(key)
			r.score = maps.Clone(r.score) // which miniredis goes on writing
		default:
			err = fmt.Errorf("a key of type %q", kind)
		}
		if err != nil {
			return nil, fmt.Errorf("sim: save %s: %w", key, err)
		}
		d = append(d, r)
	}
	return d, nil
}

func (d dump) load(m *miniredis.Miniredis) error {
	for _, r := range d {
		var err error
		switch {
		case r.text != nil:
			err = m.Set(r.key, *r.text)
		case r.hash != nil:
			m.HSet(r.key, r.hash...)
		case r.set != nil:
			_, err = m.SAdd(r.key, r.set...)
		}
		for member, score := range r.score {
			if err == nil {
				_, err = m.ZAdd(r.key, score, member)
			}
		}
		if err != nil {
			return fmt.Errorf("sim: load %s: %w", r.key, err)
		}
		if r.ttl > 0 {
			m.SetTTL(r.key, r.ttl)
		}
	}
	return nil
}

// left returns the keys that a cluster without nodes should not have any more.
func (s *server) left() []string {
	return slices.DeleteFunc(s.mini.Keys(), func(key string) bool {
		return slices.ContainsFunc([]string{":era", ":epoch", ":token", ":lease"}, func(suffix string) bool { return strings.HasSuffix(key, suffix) })
	})
}
