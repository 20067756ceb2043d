package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
	"github.com/dynamicio/dynamicio/namespace"
)

// newReloader returns what serve has with a file, the namespaces, and its log.
func newReloader(t *testing.T, file string, args ...string) (*reloader, *namespace.Registry, *bytes.Buffer) {
	t.Helper()
	flags := given(t, append([]string{"--config", file}, args...)...)
	s, err := loadSettings(flags)
	if err != nil {
		t.Fatal(err)
	}
	reg, err := namespace.New(namespace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reg.Close(t.Context()) })
	guard := rules.NewGuard(s.rules(), slog.New(slog.DiscardHandler))
	guard.Setup(reg)
	log := new(bytes.Buffer)
	r := &reloader{given: flags, running: s, guard: guard, inForce: s.file, reloads: newReloadCounts(), log: slog.New(slog.NewTextHandler(log, nil))}
	return r, reg, log
}

// A reload changes the rules and the aliases, says what it cannot change, and
// changes nothing if anything is wrong.
func TestReloader(t *testing.T) {
	name := configFile(t, "listen: \":1\"\nretirement: 5s\nhosts: {a.example: b.example}\n")
	t.Setenv("DYNAMICIO_PATH", "/env")
	r, reg, log := newReloader(t, name, "--log-level", "debug")
	guard := r.guard
	reload := func(text string) string {
		t.Helper()
		writeFile(t, name, text)
		log.Reset()
		r.reload()
		return log.String()
	}

	said := reload("listen: \":2\"\npath: /file\nlog-level: error\nhosts: {a.example: c.example}\nnamespaces: [{match: /x}]\n")
	if got := guard.Host("c.example"); got != "a.example" {
		t.Errorf("c.example is %s", got)
	}
	if got := reg.Lookup("/").Retirement(); got != namespace.Never {
		t.Errorf("the permanent namespace is retired after %v", got)
	}
	if got := guard.Host("b.example"); got != "b.example" {
		t.Errorf("b.example is still %s", got)
	}
	if !strings.Contains(said, `keys=[listen]`) || !strings.Contains(said, "rules=1 aliases=1") || strings.Contains(said, "log-level") {
		t.Errorf("the log says %s", said)
	}
	for _, bad := range []string{"hosts: {a.example: d.example}\nlisten: 5", "hosts: {a.example: d.example}\nwhat: 1", "\t", "namespaces: [{match: '*'}, {match: /x}]"} {
		said := reload(bad)
		if guard.Host("c.example") != "a.example" || guard.Host("d.example") != "d.example" {
			t.Errorf("%q has changed something", bad)
		}
		if !strings.Contains(said, "level=ERROR") || !strings.Contains(said, "f.yaml:") || strings.Contains(said, "level=INFO") {
			t.Errorf("%q: the log says %s", bad, said)
		}
	}
	if said := reload("namespaces: [{match: '*'}]\nhosts: {a.example: c.example}"); !strings.Contains(said, "level=WARN") || !strings.Contains(said, "opened every namespace") {
		t.Errorf("when all is opened the log says %s", said)
	}
	if said := reload("hosts: {a.example: c.example}"); strings.Contains(said, "every namespace") || !strings.Contains(said, "reloaded") {
		t.Errorf("it was open before, and the log says %s", said)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	if r.reload(); guard.Host("c.example") != "a.example" || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("without a file: %s", log.String())
	}
}

// strictFile is a configuration that asks for a token.
const strictFile = `retirement: 5s
namespaces:
  - match: /chat
    connect: {tokens: [a long secret token]}
    allow: [echo]
    limits: {rooms: 3}
...
`

// Whatever is left of a file that was cut off, or whose rules are gone, changes
// nothing: no reload opens what was not meant to be opened.
func TestReloader_NeverWidensSilently(t *testing.T) {
	texts := map[string]string{
		"no rules":       "retirement: 7s\n...\n",
		"empty list":     "namespaces: []\n...\n",
		"lost connect":   "namespaces: [{match: /chat, allow: [echo], limits: {rooms: 3}}]\n...\n",
		"lost allow":     "namespaces: [{match: /chat, connect: {tokens: [another long token]}, limits: {rooms: 3}}]\n...\n",
		"lost limits":    "namespaces: [{match: /chat, connect: {tokens: [another long token]}, allow: [echo]}]\n...\n",
		"open for all":   "namespaces: [{match: '*'}]\n...\n",
		"without an end": strings.TrimSuffix(strictFile, "...\n"),
	}
	for i := range len(strictFile) - len("\n") {
		if text := strictFile[:i]; !strings.HasSuffix(text, "\n...") {
			texts["cut: "+text] = text
		}
	}
	name := configFile(t, strictFile)
	r, _, log := newReloader(t, name)
	before := r.inForce
	for what, text := range texts {
		log.Reset()
		writeFile(t, name, text)
		r.reload()
		if r.inForce != before || !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "f.yaml") {
			t.Errorf("%s: in force: %d rules; the log says %s", what, len(r.inForce.Rules.Rules), log)
			r.inForce = before
		}
	}
	if n := r.reloads.failed.Load(); n != int64(len(texts)) || !r.reloads.lastFailed.Load() {
		t.Errorf("%d failures are counted, want %d", n, len(texts))
	}
	at := r.reloads.last.Load()
	log.Reset()
	writeFile(t, name, "namespaces: [{match: '*', connect: none, allow: all, limits: none}]\n...\n")
	time.Sleep(time.Millisecond) // for the clock to move
	if r.reload(); !r.inForce.Rules.Open() || !strings.Contains(log.String(), "opened every namespace") {
		t.Errorf("what is said in words is refused: %s", log)
	}
	if r.reloads.lastFailed.Load() || r.reloads.succeeded.Load() != 1 || r.reloads.last.Load() <= at {
		t.Errorf("the success is not counted")
	}
}

// Without the mark at its end, too, wherever the cut is: even "- match: /c" of
// /chat, which would open another namespace.
func TestReloader_CutWithoutAMark(t *testing.T) {
	whole := strings.TrimSuffix(strictFile, "...\n")
	name := configFile(t, whole)
	r, _, log := newReloader(t, name)
	before := r.inForce
	for i := range len(whole) - 1 {
		log.Reset()
		writeFile(t, name, whole[:i])
		if r.reload(); r.inForce != before {
			t.Errorf("%q is in force", whole[:i])
			r.inForce = before
		}
	}
}

// A hangup is a reload where there is a file, the end where the terminal is
// gone, and nothing otherwise.
func TestReloader_HangupWithoutAFile(t *testing.T) {
	var log bytes.Buffer
	r := &reloader{log: slog.New(slog.NewTextHandler(&log, nil))}
	if r.hungUp(); !strings.Contains(log.String(), "SIGHUP ignored") {
		t.Errorf("the log says %s", &log)
	}
	stopped := false
	r.stop = func() { stopped = true }
	if r.hungUp(); !stopped {
		t.Error("a node whose terminal is gone goes on")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if onTerminal(null) {
		t.Error("the null device is taken for a terminal")
	}
}

// Who starts a node that is open to everybody is told, in one line.
func TestSettings_WarnIfOpen(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "every namespace is open",
		"retirement: 1s\n":             "f.yaml",
		"namespaces: [{match: '*'}]\n": "every namespace is open",
		"namespaces: [{match: /x}]\n":  "",
		"namespaces: [{match: '*', connect: none}]\n": "", // it says so
	} {
		var args []string
		if text != "" {
			args = []string{"--config", configFile(t, text)}
		}
		s, err := loadSettings(given(t, args...))
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s.warnIfOpen(slog.New(slog.NewTextHandler(&log, nil)))
		lines := strings.Count(log.String(), "level=WARN")
		if want == "" && lines != 0 || want != "" && (lines != 1 || !strings.Contains(log.String(), want)) {
			t.Errorf("%q: the log says %s", text, &log)
		}
	}
}
