package embedded

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// Redis is a running server.
type Redis struct {
	mini *miniredis.Miniredis
}

// Start runs a server on a free port of 127.0.0.1.
func Start() (*Redis, error) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true) // otherwise keys with a time to live, the lease that is, stay for ever
	if err := m.Start(); err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	// Package cluster tells one life of a server from another by its run_id, which
	// miniredis does not have.
	info := "# Server\r\nredis_mode:standalone\r\nrun_id:" + rand.Text() + "\r\n"
	m.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
		if !strings.EqualFold(cmd, "INFO") || len(args) != 1 || !strings.EqualFold(args[0], "server") {
			return false
		}
		c.WriteBulk(info)
		return true
	})
	return &Redis{m}, nil
}

// Addr is host:port.
func (r *Redis) Addr() string { return r.mini.Addr() }

// URL is the address for a client.
func (r *Redis) URL() string { return "redis://" + r.mini.Addr() }

// Close ends the server; its data is gone.
func (r *Redis) Close() { r.mini.Close() }
