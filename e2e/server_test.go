package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that a healthy program does at once.
const patience = time.Minute

// server is one process under test. Its methods are for the goroutine of the test.
type server struct {
	t    *testing.T
	bin  string
	args []string // without --listen
	addr string   // host:port; kept over a restart

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended and its log is complete
	log    *logBuffer    // of all runs
}

// startServer runs `dynamicio serve` with the given flags on a free port and
// waits until it listens. When the test is over the server must still be able to
// end cleanly on SIGTERM, and its log must be free of races and panics.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	return startProgram(t, dynamicio, append([]string{"serve", "--log-format", "json"}, args...)...)
}

// startProgram is startServer for any program that takes --listen and logs
// `listening` with the address.
func startProgram(t *testing.T, build func() (string, error), args ...string) *server {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, bin: bin, args: args, addr: "127.0.0.1:0", log: &logBuffer{}}
	s.start()
	t.Cleanup(s.finish)
	return s
}

func (s *server) url() string { return "http://" + s.addr }

// listening finds the address in the log line, text or JSON, that says the
// server is ready; "admin listening" is another line.
var listening = regexp.MustCompile(`(?:^|msg=|"msg":")listening\b.*?\b(127\.0\.0\.1:\d+)`)

var adminListening = regexp.MustCompile(`"msg":"admin listening","address":"([^"]+)"`)

// admin is the address of --admin-listen, which the log has before `listening`.
func (s *server) admin() string {
	s.t.Helper()
	m := adminListening.FindStringSubmatch(s.log.String())
	if m == nil {
		s.t.Fatal("the log does not say where the admin address is")
	}
	return m[1]
}

// start runs the process, again if it ran before, on the address it had.
func (s *server) start() {
	s.t.Helper()
	if s.running() {
		s.t.Fatal("the server is running already")
	}
	// An os.Pipe of our own: Wait would otherwise race with reading the rest of a pipe of exec's.
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(s.bin, append(s.args, "--listen", s.addr)...)
	s.cmd.Stdout, s.cmd.Stderr = w, w
	err = s.cmd.Start()
	w.Close() // the child has its own
	if err != nil {
		r.Close()
		s.t.Fatal(err)
	}
	ready := make(chan string, 1)
	s.exited = make(chan struct{})
	go s.watch(s.cmd, r, ready, s.exited)
	select {
	case s.addr = <-ready:
	case <-s.exited:
		s.t.Fatalf("%s ended before it listened: %v\n%s", s.bin, s.cmd.ProcessState, s.log)
	case <-time.After(patience):
		s.t.Fatalf("%s does not log `listening`\n%s", s.bin, s.log)
	}
}

// watch is the goroutine that start starts for a process: it collects the log,
// and ends with the process.
func (s *server) watch(cmd *exec.Cmd, log io.ReadCloser, ready chan<- string, exited chan<- struct{}) {
	defer close(exited)
	defer log.Close()
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		s.log.add(line)
		if m := listening.FindStringSubmatch(line); m != nil {
			select {
			case ready <- m[1]:
			default: // said before
			}
		}
		if err != nil {
			break
		}
	}
	cmd.Wait() // its result is in cmd.ProcessState
}

func (s *server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// signal sends sig to the process.
func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Errorf("signal %v: %v", sig, err)
	}
}

// wait waits for the end of the process and returns its exit code, -1 if a signal ended it.
func (s *server) wait() int {
	s.t.Helper()
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		s.cmd.Process.Signal(syscall.SIGQUIT) // shows its goroutines
		select {
		case <-s.exited:
		case <-time.After(patience):
			s.cmd.Process.Kill()
		}
		s.t.Fatal("the server does not end; its goroutines are in the log")
		return -1
	}
}

// terminate ends the process as an orchestrator does. It must drain and exit with 0.
func (s *server) terminate() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 {
		s.t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}

// kill ends the process without a chance to say anything.
func (s *server) kill() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
	s.wait()
}

// finish ends the process when the test is over, and judges its log.
func (s *server) finish() {
	if s.running() {
		s.terminate()
	}
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(s.log.String(), bad) {
			s.t.Errorf("the server's log has %q", bad)
			break
		}
	}
	if s.t.Failed() {
		s.t.Logf("log of %s %s:\n%s", s.bin, strings.Join(s.args, " "), s.log.tail(200))
	}
}

// logBuffer collects a log. All methods may be called from any goroutine.
type logBuffer struct {
	mu   sync.Mutex // guards text; a leaf
	text bytes.Buffer
}

func (l *logBuffer) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits until the log says something for the nth time.
func (l *logBuffer) await(t *testing.T, text string, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); strings.Count(l.String(), text) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say %q %d times:\n%s", text, n, l)
		}
	}
}

// tail returns the last n lines.
func (l *logBuffer) tail(n int) string {
	lines := strings.SplitAfter(l.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
