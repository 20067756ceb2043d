package cluster

import (
	"context"
	"crypto/sha1" // what Redis calls scripts by
	"embed"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is one file in lua/, with common.lua in front. It takes and returns what the
// header of its file says.
type script struct {
	name, source, sha string
}

// scripts lists those that sessions send, for loading.
var scripts []*script

var (
	registerScript   = loadScript("register")
	heartbeatScript  = loadScript("heartbeat")
	deregisterScript = loadScript("deregister")
	joinScript       = loadScript("join")
	leaveScript      = loadScript("leave")
	assertScript     = loadScript("assert")
	countsScript     = loadScript("counts")
	retireScript     = loadScript("retire")
	evictScript      = loadScript("evict")
	sweepScript      = loadScript("sweep")
	retimeScript     = loadScript("retime")
	dismissScript    = loadScript("dismiss")
)

// tallyScript goes over the client's pool.
var tallyScript = readScript("tally")

func loadScript(name string) *script {
	s := readScript(name)
	scripts = append(scripts, s)
	return s
}

// readScript panics where a file is missing, which no build that was ever started has.
func readScript(name string) *script {
	common, err := luaFiles.ReadFile("lua/common.lua")
	if err != nil {
		panic(err)
	}
	src, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	s := &script{name: name, source: stripComments(string(common)) + stripComments(string(src))}
	// Not a redis.Script: its Load forgets the hash when it is used in a pipeline.
	s.sha = fmt.Sprintf("%x", sha1.Sum([]byte(s.source)))
	return s
}

// stripComments drops the lines that are comments only: a Redis keeps the source of every
// script that it was ever given.
func stripComments(src string) string {
	var b strings.Builder
	for line := range strings.Lines(src) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// loadAll makes the scripts known to the server behind conn, in one round trip.
func loadAll(ctx context.Context, conn *redis.Conn) error {
	_, err := conn.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, s := range scripts {
			p.ScriptLoad(ctx, s.source)
		}
		return nil
	})
	return err
}

// call is one script with its arguments, and later its answer.
type call struct {
	script *script
	keys   []string
	args   []any
	cmd    *redis.Cmd
}
