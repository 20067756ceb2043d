package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/cmd/dynamicio/config"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
	"github.com/dynamicio/dynamicio/node"
)

func serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve [--config FILE] [flags]",
		Short: "Run one node until SIGTERM or SIGINT",
		Long: `Run one node until SIGTERM or SIGINT; then drain and exit 0.

The node accepts every namespace and answers these events, each with an
acknowledgement if the client wants one:

  join ROOM                  the socket joins the room
  leave ROOM                 the socket leaves it
  broadcast EVENT [ARG...]   sends the event to every other socket of the namespace
  to ROOM EVENT [ARG...]     sends it to every other socket in the room
  echo [ARG...]              sends the arguments back

Every other event is answered with an error. For events of your own, write a
program with the packages node and namespace.

Without a configuration file every namespace is open to everybody: anybody may
send to anybody. The file says which namespaces there are, what clients may do
in them and what they must present. SIGHUP reloads its rules and aliases; a node
without a file ignores it, or drains and exits if its terminal was closed.`,
		Example: `  dynamicio serve --listen 127.0.0.1:8080 --public-status
  dynamicio serve --host myhost.com --retirement 30s --cors-origin https://myhost.com
  dynamicio serve --config dynamicio.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), cmd.Flags(), cmd.ErrOrStderr())
		},
	}
	f.addTo(cmd)
	return cmd
}

// serve runs a node. given are the flags of the command line.
func serve(ctx context.Context, given *pflag.FlagSet, logs io.Writer) error {
	s, err := loadSettings(given)
	if err != nil {
		return err
	}
	o := s.nodeOptions()
	if o.Logger, err = newLogger(logs, s.logFormat, s.logLevel); err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1) // one that waits stands for all that came meanwhile
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r := &reloader{given: given, running: s, log: o.Logger}
	guard := rules.NewOpen(o.Logger)
	if s.file != nil {
		warnOfWeak(o.Logger, s.file)
		guard = rules.NewGuard(s.rules(), o.Logger)
		o.MapHost = guard.Host
		r.guard, r.inForce, r.reloads = guard, s.file, newReloadCounts()
	} else if onTerminal(os.Stderr) {
		r.stop = stop
	}
	o.Collectors = append(o.Collectors, newProgramCollector(guard, r.reloads))
	srv, err := node.New(o)
	if err != nil { // what is left to go wrong is a wrong option
		return usageOf(config.Errors{s.explain(err)})
	}
	if s.playground {
		page, err := playground(o.Path, nil)
		if err != nil {
			return errors.Join(err, srv.Close(context.Background()))
		}
		srv.Handle(playgroundRoot, page)
	}
	guard.Setup(srv.Registry())
	defer r.start(hangup)()
	s.warnIfOpen(o.Logger)
	if len(s.strange) > 0 {
		o.Logger.Warn("environment variables that name no flag, ignored", "variables", s.strange)
	}
	if s.adminListen != "" {
		stop, err := serveAdmin(s.adminListen, s.pprof, srv, o.Logger)
		if err != nil {
			// It is in the cluster by now, and would be missed there only after the node TTL.
			return errors.Join(fmt.Errorf("--admin-listen: %w", err), srv.Close(context.Background()))
		}
		defer stop()
	}
	if err := srv.ListenAndServe(ctx, s.listen); err != nil {
		return fmt.Errorf("--listen %s: %w", s.listen, err)
	}
	return nil
}

// warnIfOpen tells who has not read the documentation what the defaults mean.
func (s *settings) warnIfOpen(log *slog.Logger) {
	const todo = `write rules into the file given with --config; "dynamicio config default" explains them`
	switch {
	case s.file == nil:
		log.Warn("every namespace is open: anybody may connect and send to anybody", "todo", todo)
	case s.file.Rules.Open() && !slices.ContainsFunc(s.file.Rules.Rules, func(r *rules.Rule) bool { return r.Said.Connect }): // connect: none means it
		log.Warn("every namespace is open by the configuration: anybody may connect and send to anybody", "file", s.file.Name, "todo", todo)
	}
}

// onTerminal reports whether a file is a terminal, from which a hangup comes
// when it is closed.
func onTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
