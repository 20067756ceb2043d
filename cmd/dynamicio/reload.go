package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/config"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
)

// reloader reads the configuration file again while the node runs. It owns one
// goroutine, which start starts.
type reloader struct {
	given   *pflag.FlagSet // of the command line
	running *settings      // what the node was started with
	guard   *rules.Guard   // nil: there is no file, and nothing to reload
	log     *slog.Logger
	reloads *reloadCounts
	stop    func() // ends the node, where a hangup means that its terminal is gone; or nil

	inForce *config.File // used by reload alone
}

// start reloads with every signal from hangup, until the function that it
// returns is called.
func (r *reloader) start(hangup chan os.Signal) (stop func()) {
	done := make(chan struct{})
	go func() { // ends when hangup is closed
		defer close(done)
		for range hangup {
			r.hungUp()
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
		<-done
	}
}

// hungUp is what a SIGHUP means to the node.
func (r *reloader) hungUp() {
	switch {
	case r.guard != nil:
		r.reload()
	case r.stop != nil:
		r.log.Info("the terminal is gone, the node stops")
		r.stop()
	default:
		r.log.Warn("SIGHUP ignored: there is no --config to reload")
	}
}

// reload makes the rules, the aliases and the retirement time of the file hold, if nothing in it
// is wrong and no rule has lost a restriction without saying so; otherwise nothing changes.
func (r *reloader) reload() {
	next, err := loadSettings(r.given)
	if err == nil {
		err = r.widened(next.file)
	}
	if err != nil {
		r.reloads.failure()
		r.log.Error("configuration not reloaded, nothing has changed", "error", err)
		return
	}
	warnOfWeak(r.log, next.file)
	if next.file.Rules.Open() && !r.inForce.Rules.Open() {
		r.log.Warn("configuration has opened every namespace: anybody may send to anybody", "file", next.file.Name)
	}
	r.inForce = next.file
	r.guard.Replace(next.rules())
	r.reloads.success()
	var waiting []string
	next.flags.VisitAll(func(f *pflag.Flag) {
		// The retirement time is part of the rules.
		if f.Name != "retirement" && f.Value.String() != r.running.flags.Lookup(f.Name).Value.String() {
			waiting = append(waiting, f.Name)
		}
	})
	for _, secret := range secretFlags {
		if i := slices.Index(waiting, secret); i >= 0 && next.inFile(secret) {
			waiting[i] = secret + "-file"
		}
	}
	if len(waiting) > 0 {
		r.log.Warn("configuration has changes that need a restart, not applied", "keys", waiting)
	}
	r.log.Info("configuration reloaded", "file", next.file.Name,
		"rules", len(next.file.Rules.Rules), "aliases", next.file.Rules.Hosts.Len())
}

// warnOfWeak logs what a file has that is valid, and can be guessed.
func warnOfWeak(log *slog.Logger, file *config.File) {
	for _, weak := range file.Weak() {
		log.Warn("configuration has a weak token", "at", weak.Error())
	}
}

// widened says what clients might do under a file that they may not under the
// one in force, where the file does not say that this is meant: it may be cut off.
func (r *reloader) widened(next *config.File) error {
	if r.inForce.Ended && !next.Ended {
		return config.Errors{{File: next.Name, Text: `does not end with "...", as it did before: it is cut off`}}
	}
	var wrong config.Errors
	if i := len(next.Rules.Rules) - 1; i >= 0 && !next.Whole && next.Rules.Rules[i].Said == (rules.Said{}) {
		wrong = append(wrong, &config.Error{File: next.Name, Line: next.RuleLine(i),
			Text: fmt.Sprintf("namespaces[%d] restricts nothing, and the last line has no line break: the file may be cut off", i)})
	}
	for _, w := range next.Rules.WidenedSince(&r.inForce.Rules) {
		if w.Rule < 0 {
			wrong = append(wrong, &config.Error{File: next.Name, Text: w.Why.Error()})
			continue
		}
		wrong = append(wrong, &config.Error{File: next.Name, Line: next.RuleLine(w.Rule), Text: fmt.Sprintf("namespaces[%d] %v", w.Rule, w.Why)})
	}
	if len(wrong) == 0 {
		return nil
	}
	wrong.Sort()
	return wrong
}

// reloadCounts is what the metrics show of reloads.
type reloadCounts struct {
	succeeded, failed atomic.Int64
	lastFailed        atomic.Bool
	last              atomic.Int64 // when what is in force was read, in nanoseconds since 1970
}

// newReloadCounts counts from the start of the node, with a file that is good.
func newReloadCounts() *reloadCounts {
	c := new(reloadCounts)
	c.last.Store(time.Now().UnixNano())
	return c
}

func (c *reloadCounts) success() {
	c.succeeded.Add(1)
	c.lastFailed.Store(false)
	c.last.Store(time.Now().UnixNano())
}

func (c *reloadCounts) failure() {
	c.failed.Add(1)
	c.lastFailed.Store(true)
}
