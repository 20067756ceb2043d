package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/config"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
)

// reloader reads the configuration file again while the node runs. It owns one
// goroutine, which start starts.
type reloader struct {
	given   *pflag.FlagSet // of the command line
	running *settings      // what the node was started with
	ruled   bool           // there are rules; used by reload alone
	guard   *rules.Guard
	log     *slog.Logger
}

// start reloads with every SIGHUP, until the function that it returns is called.
func (r *reloader) start() (stop func()) {
	hangup := make(chan os.Signal, 1) // one that waits stands for all that came meanwhile
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() { // ends when hangup is closed
		defer close(done)
		for range hangup {
			r.reload()
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
		<-done
	}
}

// reload makes the rules, the aliases and the retirement time of the file hold, if there is nothing
// wrong in all of it; otherwise nothing changes.
func (r *reloader) reload() {
	next, err := loadSettings(r.given)
	if err != nil {
		r.log.Error("configuration not reloaded, nothing has changed", "error", err)
		return
	}
	warnOfWeak(r.log, next.file)
	r.guard.Replace(next.rules())
	// A file that is being written can be empty for a moment, which is no error.
	before, now := r.ruled, len(next.file.Rules.Rules) > 0
	if r.ruled = now; before && !now {
		r.log.Warn("configuration has no rules any more, every namespace is open", "file", next.file.Name)
	}
	var waiting []string
	next.flags.VisitAll(func(f *pflag.Flag) {
		// The retirement time is part of the rules.
		if f.Name != "retirement" && f.Value.String() != r.running.flags.Lookup(f.Name).Value.String() {
			waiting = append(waiting, f.Name)
		}
	})
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
