package main

import (
	"context"
	"errors"
	"fmt"
	"io"

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

A configuration file can say which namespaces there are, what clients may do in
them and what they must present; SIGHUP reads its rules and aliases anew. Without
one, SIGHUP ends the process at once, as closing a terminal should.`,
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
	o := s.options
	if o.Logger, err = newLogger(logs, s.logFormat, s.logLevel); err != nil {
		return err
	}
	var guard *rules.Guard
	if s.file != nil {
		warnOfWeak(o.Logger, s.file)
		guard = rules.NewGuard(s.rules())
		o.MapHost = guard.Host
	}
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
	if guard == nil {
		rules.Open(srv.Registry())
	} else {
		guard.Setup(srv.Registry())
		r := &reloader{given: given, running: s, ruled: len(s.file.Rules.Rules) > 0, guard: guard, log: o.Logger}
		defer r.start()()
	}
	if s.adminListen != "" {
		stop, err := serveAdmin(s.adminListen, srv, o.Logger)
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
