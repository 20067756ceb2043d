package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every flag whose value config show hides can be given in a file.
func TestSecretFlags(t *testing.T) {
	s := newSettings()
	for _, flag := range secretFlags {
		for _, name := range []string{flag, flag + "-file"} {
			if s.flags.Lookup(name) == nil {
				t.Errorf("there is no --%s", name)
			}
		}
		f := s.flags.Lookup(flag)
		if err := f.Value.Set("redis://user:hunter2@h"); err != nil || strings.Contains(strings.Join(masked(f), ""), "hunter2") {
			t.Errorf("--%s is shown", flag)
		}
	}
}

func TestReadSecretFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		name = filepath.Join(dir, name)
		writeFile(t, name, text)
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for text, want := range map[string]string{"secret\n": "secret", "secret\r\n": "secret", "secret": "secret", " a b \n": " a b "} {
		if got, err := readSecretFile(write("good", text, 0o600)); err != nil || got != want {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	for name, want := range map[string]string{
		write("empty", "", 0o600): "it is empty", write("blank", " \n", 0o600): "it is empty",
		write("lines", "a\nb\n", 0o600): "more than one line", write("large", strings.Repeat("x", maxSecretFile+1), 0o600): "more than",
		write("writable", "secret", 0o606): "everybody may write", filepath.Join(dir, "nowhere"): "no such file", dir: "is a directory",
	} {
		if got, err := readSecretFile(name); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %q, %v; want an error with %q", filepath.Base(name), got, err, want)
		}
	}
}

// A secret in a file is the option's value; of several places the one that goes
// before counts, and two of the same kind are an error.
func TestSettings_SecretFiles(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	writeFile(t, token, "from the file\n")
	name := filepath.Join(dir, "f.yaml")
	load := func(text string, args ...string) (string, error) {
		t.Helper()
		writeFile(t, name, text)
		s, err := loadSettings(given(t, append(args, "--config", name)...))
		if err != nil {
			return "", err
		}
		return s.options.StatusToken, nil
	}
	for _, c := range []struct {
		text string
		args []string
		want string
	}{
		{"status-token-file: token\n", nil, "from the file"}, // relative to the file
		{"\n", []string{"--status-token-file", token}, "from the file"},
		{"status-token: other\n", []string{"--status-token-file", token}, "from the file"},
		{"status-token-file: token\n", []string{"--status-token", "given"}, "given"},
		{"status-token-file: token\nstatus-actions: true\n", nil, "from the file"},
	} {
		if got, err := load(c.text, c.args...); err != nil || got != c.want {
			t.Errorf("%q %v: %q, %v; want %q", c.text, c.args, got, err, c.want)
		}
	}
	for _, c := range []struct {
		text string
		args []string
		want string
	}{
		{"status-token-file: token\nstatus-token: x\n", nil, "status-token and status-token-file are both given"},
		{"\n\nstatus-token-file: nowhere\n", nil, "f.yaml:3: status-token-file is "},
		{"\n", []string{"--redis-file", token}, "--redis-file"},
	} {
		_, err := load(c.text, c.args...)
		if err == nil {
			code, _, stderr := command(t, append([]string{"serve", "--config", name, "--listen", "127.0.0.1:0"}, c.args...)...)
			if code != exitUsage || !strings.Contains(stderr, c.want) {
				t.Errorf("%q %v: status %d, %s", c.text, c.args, code, stderr)
			}
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %v: %v, want %q", c.text, c.args, err, c.want)
		}
	}
	writeFile(t, name, "status-token-file: token\n")
	code, stdout, stderr := command(t, "config", "show", "--config", name)
	if code != exitDone || strings.Contains(stdout, "from the file") || !strings.Contains(stdout, token) {
		t.Errorf("config show: status %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr := command(t, "config", "check", configFile(t, stdout)); code != exitDone {
		t.Errorf("what config show prints: %s", stderr)
	}
}

// The tools take the secrets in files, too.
func TestTools_SecretFiles(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, args := range [][]string{{"status", "--status-token-file", missing}, {"emit", "--redis-file", missing, "news"}} {
		if code, _, stderr := command(t, args...); code != exitUsage || !strings.Contains(stderr, args[1]) || !strings.Contains(stderr, "no such file") {
			t.Errorf("%v: status %d, %s", args, code, stderr)
		}
	}
	_, redis := serveNode(t)
	file := filepath.Join(t.TempDir(), "redis")
	writeFile(t, file, redis+"\n")
	t.Setenv("DYNAMICIO_REDIS", "redis://nowhere.invalid:1") // which the command line beats
	if code, stdout, stderr := command(t, "emit", "--redis-file", file, "news"); code != exitDone {
		t.Errorf("status %d: %s%s", code, stdout, stderr)
	}
}

// What a changed file needs is told by a reload.
func TestReloader_SecretFile(t *testing.T) {
	dir := t.TempDir()
	name, token := filepath.Join(dir, "f.yaml"), filepath.Join(dir, "token")
	writeFile(t, token, "before\n")
	writeFile(t, name, "status-token-file: token\n")
	r, _, log := newReloader(t, name)
	writeFile(t, token, "after\n")
	if r.reload(); !strings.Contains(log.String(), "keys=[status-token-file]") || strings.Contains(log.String(), "after") {
		t.Errorf("the log says %s", log)
	}
}

// Profiles are served when they are wanted, on the admin address alone, and
// never with the command line.
func TestServe_Profiles(t *testing.T) {
	if code, _, stderr := command(t, "serve", "--pprof"); code != exitUsage || !strings.Contains(stderr, "--admin-listen") {
		t.Errorf("--pprof alone: status %d, %s", code, stderr)
	}
	mux := http.NewServeMux()
	addProfiles(mux)
	for path, want := range map[string]int{
		"/debug/pprof/": http.StatusOK, "/debug/pprof/goroutine?debug=1": http.StatusOK, "/debug/pprof/cmdline": http.StatusNotFound,
		"/debug/pprof//cmdline": http.StatusNotFound, "/debug/pprof/%63mdline": http.StatusNotFound,
	} {
		code, body := get(t, mux, path)
		if code != want || strings.Contains(body, os.Args[0]+"\x00") {
			t.Errorf("%s: status %d, want %d", path, code, want)
		}
	}
}

// get follows redirects.
func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	resp, err := http.Get(srv.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
