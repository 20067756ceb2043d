package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startTimeout is how long a redis-server may take until it answers PING. It
// takes some 30 ms; the rest is for a loaded machine.
const startTimeout = 20 * time.Second

// Server is one redis-server process, or what is left of it between Kill and
// Restart. It keeps its address and its data directory across restarts. Its
// methods belong to the test's goroutine.
type Server struct {
	// Addr is host:port, on the loopback interface.
	Addr string

	tb   testing.TB
	bin  string
	dir  string
	base func(host, port, dir string) []string // the command line, before args
	args []string

	cmd    *exec.Cmd     // nil while no process runs
	exited chan struct{} // closed when cmd has been waited for
	log    bytes.Buffer  // what the process printed; read after exited only
}

// Start runs a redis-server until the test ends. It persists nothing on its
// own: only what [Server.Save] wrote survives a restart. args are further
// options, as on redis-server's command line. DEBUG is enabled.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, serverArgs, args...)
}

func serverArgs(host, port, dir string) []string {
	return []string{"--bind", host, "--port", port, "--dir", dir,
		"--save", "", "--appendonly", "no", "--enable-debug-command", "yes", "--daemonize", "no"}
}

func start(tb testing.TB, base func(host, port, dir string) []string, args ...string) *Server {
	tb.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatalf("redistest: redis-server is not installed (Debian: apt-get install redis-server; `make test` does it): %v", err)
	}
	s := &Server{tb: tb, bin: bin, dir: tb.TempDir(), base: base, args: args}
	// Another process may take the free port before redis-server binds it, so
	// a failed start is tried on another one.
	for try := 0; ; try++ {
		s.Addr = freeAddr(tb)
		if err = s.launch(); err == nil {
			break
		}
		if try == 4 {
			tb.Fatalf("redistest: %v", err)
		}
	}
	tb.Cleanup(s.Kill)
	return s
}

// URL is the server's address as redis://host:port.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Client is a new client, closed when the test ends.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, ContextTimeoutEnabled: true})
	s.tb.Cleanup(func() { c.Close() })
	return c
}

// Kill ends the process as a crash would: nothing is written, connections
// break. Without a process it does nothing.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// Restart starts the process again after Kill, with what the last Save wrote.
func (s *Server) Restart() {
	s.tb.Helper()
	if s.cmd != nil {
		s.tb.Fatal("redistest: Restart of a running server")
	}
	if err := s.launch(); err != nil {
		s.tb.Fatalf("redistest: restart: %v", err)
	}
}

// Save writes a dump, which the next Restart loads.
func (s *Server) Save() {
	s.tb.Helper()
	c := s.Client()
	defer c.Close()
	if err := c.Save(context.Background()).Err(); err != nil {
		s.tb.Fatalf("redistest: save: %v", err)
	}
}

// DropData deletes the dump: the next Restart comes up empty.
func (s *Server) DropData() {
	s.tb.Helper()
	err := os.Remove(filepath.Join(s.dir, "dump.rdb"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.tb.Fatalf("redistest: %v", err)
	}
}

// Pause stops the process with SIGSTOP: connections stay, nothing answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Continue ends Pause.
func (s *Server) Continue() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatalf("redistest: %v: %v", sig, err)
	}
}

func (s *Server) launch() error {
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	args := append(s.base(host, port, s.dir), s.args...)
	s.log.Reset()
	s.cmd = exec.Command(s.bin, args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.exited = exited
	go func(cmd *exec.Cmd) { // ends with the process, which Kill ends
		cmd.Wait()
		close(exited)
	}(s.cmd)
	return s.await()
}

// await returns when the server answers as the one that was started.
func (s *Server) await() error {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	want := "process_id:" + strconv.Itoa(s.cmd.Process.Pid) + "\r\n"
	for {
		if s.listens() {
			// The process id, since a stranger may listen on the port instead.
			info, err := c.Info(ctx, "server").Result()
			if err == nil && strings.Contains(info, want) {
				return nil
			}
		}
		select {
		case <-s.exited:
			s.cmd = nil
			return fmt.Errorf("redis-server ended: %s", s.log.String())
		case <-ctx.Done():
			s.Kill()
			return fmt.Errorf("redis-server did not answer within %v: %s", startTimeout, s.log.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// listens says whether the port is open; to ask the client instead would fill the
// test's output with its complaints.
func (s *Server) listens() bool {
	c, err := net.Dial("tcp", s.Addr)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}
