package embedded

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// Redis is a running server. Its methods may be called from any goroutine.
type Redis struct {
	mini *miniredis.Miniredis
	info string // what INFO server says

	// mu guards ticked. It is held while miniredis takes its own lock, so never take it
	// from within a command.
	mu     sync.Mutex
	ticked time.Time // until when time has passed for keys with a time to live
}

// Start runs a server on a free port of 127.0.0.1.
func Start() (*Redis, error) {
	r := &Redis{
		mini: miniredis.NewMiniRedis(),
		// Package cluster tells one life of a server from another by its run_id.
		info:   "# Server\r\nredis_mode:standalone\r\nrun_id:" + rand.Text() + "\r\n",
		ticked: time.Now(),
	}
	if err := r.mini.Start(); err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	r.mini.Server().SetPreHook(r.before)
	return r, nil
}

// Addr is host:port.
func (r *Redis) Addr() string { return r.mini.Addr() }

// URL is the address for a client.
func (r *Redis) URL() string { return "redis://" + r.mini.Addr() }

// Close ends the server; its data is gone.
func (r *Redis) Close() { r.mini.Close() }

// before runs ahead of every command, also of those within scripts, where miniredis
// holds its lock; so it does nothing there but look at the name. It reports whether it
// has answered the command itself.
func (r *Redis) before(c *server.Peer, cmd string, args ...string) bool {
	switch cmd {
	case "INFO":
		if len(args) == 1 && strings.EqualFold(args[0], "server") {
			c.WriteBulk(r.info)
			return true
		}
	case "EVAL", "EVALSHA": // which no script may call
		if slices.ContainsFunc(scriptKeys(args), func(key string) bool { return strings.HasSuffix(key, ":lease") }) {
			r.tick()
		}
	}
	return false
}

// scriptKeys is the keys among the arguments of EVAL.
func scriptKeys(args []string) []string {
	if len(args) < 2 {
		return nil
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 0 || n > len(args)-2 {
		return nil // miniredis tells what is wrong
	}
	return args[2 : 2+n]
}

// tick lets the time pass that went by since the last one. A script that sets a time to
// live ticks first, so none is shortened by what went by before it was set.
func (r *Redis) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.mini.FastForward(now.Sub(r.ticked))
	r.ticked = now
}
