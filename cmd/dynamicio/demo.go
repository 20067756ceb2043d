package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dynamicio/dynamicio/cluster/embedded"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
	"github.com/dynamicio/dynamicio/node"
)

func demoCommand() *cobra.Command {
	var (
		listen     string
		nodes      int
		retirement time.Duration
		logLevel   string
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run several nodes in one process, on an embedded Redis",
		Long: `Run several nodes in one process, each a full node on a port of its own, on an
embedded Redis. Their page has two clients on two nodes: what one says, the other
hears; when both have left, the namespace is retired everywhere.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := environ(cmd.Flags()); err != nil {
				return err
			}
			if nodes < 1 || nodes > 100 {
				return usagef("--nodes is %d, must be from 1 to 100", nodes)
			}
			if retirement <= 0 {
				return usagef("--retirement is %v, must be above 0", retirement)
			}
			if err := checkAddress("listen", listen); err != nil {
				return err
			}
			log, err := newLogger(cmd.ErrOrStderr(), "text", logLevel)
			if err != nil {
				return err
			}
			ctx, stop := untilHangup(cmd.Context())
			defer stop()
			return demo(ctx, cmd.OutOrStdout(), log, listen, nodes, retirement)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&listen, "listen", "127.0.0.1:8080", "address of the first node; the others take the ports that follow")
	flags.IntVar(&nodes, "nodes", 3, "number of nodes")
	flags.DurationVar(&retirement, "retirement", 10*time.Second, "how long a namespace stays empty before it is retired")
	flags.StringVar(&logLevel, "log-level", "warn", `"debug", "info", "warn" or "error"`)
	return cmd
}

// demo runs n nodes until ctx ends.
func demo(ctx context.Context, out io.Writer, log *slog.Logger, listen string, n int, retirement time.Duration) error {
	redis, err := embedded.Start()
	if err != nil {
		return err
	}
	defer redis.Close()
	listeners, err := listenInRow(listen, n)
	if err != nil {
		return err
	}
	all := make([]playgroundNode, n)
	for i, l := range listeners {
		all[i] = playgroundNode{ID: fmt.Sprintf("node-%d", i+1), URL: "http://" + l.Addr().String() + "/"}
	}
	page, err := playground("/socket.io", all)
	if err != nil {
		return err
	}

	// One node's failure ends the others.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		work sync.WaitGroup
		errs = make([]error, n)
	)
	for i, l := range listeners {
		srv, err := node.New(node.Options{
			// A short node TTL: nothing is decided before a new cluster is as old as that.
			Redis: redis.URL(), Cluster: "demo", NodeID: all[i].ID, NodeTTL: 2 * time.Second, Retirement: retirement,
			PublicStatus: true, DrainSpread: -1, DrainTimeout: 3 * time.Second, Logger: log, Origins: demoOrigins(listeners),
		})
		if err != nil {
			cancel()
			work.Wait()
			return err
		}
		rules.NewOpen(log).Setup(srv.Registry())
		srv.Handle(playgroundRoot, page)
		work.Go(func() {
			errs[i] = srv.Serve(ctx, l)
			cancel()
		})
	}
	fmt.Fprintf(out, "%d nodes, one cluster, on an embedded Redis at %s. Open one of these:\n\n", n, redis.URL())
	for _, node := range all {
		fmt.Fprintf(out, "  %s  %s\n", node.ID, node.URL)
	}
	fmt.Fprintf(out, "\nThe cluster at a glance: %ssocket.io/status\nCtrl-C ends the demo.\n", all[0].URL)
	work.Wait()
	return errors.Join(errs...)
}

// demoOrigins are the pages of the nodes, which connect to each other's nodes.
func demoOrigins(listeners []net.Listener) []string {
	var origins []string
	for _, l := range listeners {
		addr := l.Addr().(*net.TCPAddr)
		if addr.IP.IsUnspecified() { // nobody knows by what name visitors come
			return []string{"*"}
		}
		origins = append(origins, "http://"+addr.String(), fmt.Sprintf("http://localhost:%d", addr.Port))
	}
	return origins
}

// listenInRow listens on n addresses, whose ports follow one another. Port 0
// takes any free ones.
func listenInRow(first string, n int) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(first)
	if err != nil {
		return nil, err
	}
	base, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("--listen: port %q is not a number", port)
	}
	var all []net.Listener
	for i := range n {
		p := 0
		if base != 0 {
			p = base + i
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(p)))
		if err != nil {
			for _, l := range all {
				_ = l.Close()
			}
			return nil, fmt.Errorf("%w; --listen chooses another first port", err)
		}
		all = append(all, l)
	}
	return all, nil
}
