package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// nodeJS is the path of Node.js, or why the scripts cannot run.
var nodeJS = sync.OnceValues(func() (string, error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("these tests need Node.js: `make test` installs it (%w)", err)
	}
	for _, name := range []string{"socket.io-client", "socket.io-client-v2", "ws"} {
		if _, err := os.Stat("node_modules/" + name + "/package.json"); err != nil {
			return "", fmt.Errorf("the npm packages are missing: `make test` installs them, so does `npm ci` in e2e (%w)", err)
		}
	}
	return path, nil
})

// asks are what a script may have the test do, by name; see ask in lib/scenario.mjs.
type asks map[string]func(args []json.RawMessage)

// lifecycle lets a script end and start a server.
func lifecycle(s *server) asks {
	return asks{
		"term":  func([]json.RawMessage) { s.terminate() },
		"kill":  func([]json.RawMessage) { s.kill() },
		"start": func([]json.RawMessage) { s.start() },
	}
}

// report is one line of a script's output.
type report struct {
	Name   string
	OK     bool
	Detail string
	MS     int
	Ask    string
	Args   []json.RawMessage
	Done   *int
}

// runScript runs a script of this folder with the given flags. Each of its cases
// becomes a subtest; what it asks for is done by the functions in can.
func runScript(t *testing.T, script string, can asks, args ...string) {
	t.Helper()
	path, err := nodeJS()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{script}, args...)...)
	cmd.WaitDelay = time.Second
	var stderr logBuffer
	cmd.Stderr = writer(stderr.add)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	ran, done := 0, -1
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r report
		switch err := json.Unmarshal(lines.Bytes(), &r); {
		case err != nil:
			t.Errorf("%s printed %q: %v", script, lines.Text(), err)
		case r.Done != nil:
			done = *r.Done
		case r.Ask != "":
			do, ok := can[r.Ask]
			if !ok {
				cmd.Process.Kill()
				t.Fatalf("%s asks for %q, which this test cannot do", script, r.Ask)
			}
			do(r.Args)
			in.Write([]byte("{}\n")) // fails if the script ended; its exit tells
		default:
			ran++
			t.Run(r.Name, func(t *testing.T) {
				if !r.OK {
					t.Errorf("after %d ms: %s", r.MS, r.Detail)
				}
			})
		}
	}
	err = cmd.Wait()
	switch {
	case ran == 0 || done != ran:
		t.Errorf("%s ended after %d cases without saying that these are all: %v\n%s", script, ran, err, &stderr)
	case err != nil && !t.Failed():
		t.Errorf("%s: %v\n%s", script, err, &stderr)
	case strings.TrimSpace(stderr.String()) != "":
		t.Logf("%s wrote: %s", script, stderr.tail(50))
	}
}

// writer makes an io.Writer of a function that takes text.
type writer func(text string)

func (w writer) Write(p []byte) (int, error) {
	w(string(p))
	return len(p), nil
}
