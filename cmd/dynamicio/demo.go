package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dynamicio/dynamicio/cluster/embedded"
	"github.com/dynamicio/dynamicio/cmd/dynamicio/rules"
	"github.com/dynamicio/dynamicio/node"
)

//go:embed demo.html
var demoSource string

var demoPage = template.Must(template.New("demo").Parse(demoSource))

// demoNode is a node of the demo as its page knows it.
type demoNode struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

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
embedded Redis. Open the page of two of them: what you say on one is heard on
the other; leave on both, and the namespace is retired everywhere.`,
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
			return demo(cmd.Context(), cmd.OutOrStdout(), log, listen, nodes, retirement)
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
	all := make([]demoNode, n)
	for i, l := range listeners {
		all[i] = demoNode{ID: fmt.Sprintf("node-%d", i+1), URL: "http://" + l.Addr().String() + "/"}
	}
	var page bytes.Buffer
	if err := demoPage.Execute(&page, all); err != nil {
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
			PublicStatus: true, DrainTimeout: 3 * time.Second, Logger: log,
		})
		if err != nil {
			cancel()
			work.Wait()
			return err
		}
		rules.Open(srv.Registry())
		srv.Handle("/{$}", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = w.Write(page.Bytes())
		}))
		work.Go(func() {
			errs[i] = srv.Serve(ctx, l)
			cancel()
		})
	}
	fmt.Fprintf(out, "%d nodes, one cluster, on an embedded Redis at %s. Open two of these:\n\n", n, redis.URL())
	for _, node := range all {
		fmt.Fprintf(out, "  %s  %s\n", node.ID, node.URL)
	}
	fmt.Fprintf(out, "\nThe cluster at a glance: %ssocket.io/status\nCtrl-C ends the demo.\n", all[0].URL)
	work.Wait()
	return errors.Join(errs...)
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
