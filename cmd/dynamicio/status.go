package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dynamicio/dynamicio/status"
)

// statusFlags are the flags of status, as given.
type statusFlags struct {
	url, path, token, host string
	tokenFile              string
	namespace, search      string
	asJSON, watch          bool
	limit                  int
	interval, timeout      time.Duration
}

func statusCommand() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print what the cluster looks like",
		Long: `Ask any node what the cluster looks like, and print it as a table: what is not
as it should be, the nodes, and the namespaces, by full name.`,
		Example: `  dynamicio status --url http://localhost:8080
  dynamicio status --watch --search chat
  dynamicio status --namespace /chat         its rooms and sockets, on all nodes
  dynamicio status --json | jq .totals`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := environSecret(cmd.Flags(), "status-token", "host", "namespace"); err != nil {
				return err
			}
			var err error
			if f.token, err = secretFrom("status-token", f.token, f.tokenFile); err != nil {
				return err
			}
			if f.asJSON && f.watch {
				return usagef("--json and --watch do not go together")
			}
			if f.limit < 1 || f.limit > status.MaxLimit {
				return usagef("--limit is %d, must be from 1 to %d", f.limit, status.MaxLimit)
			}
			if f.interval <= 0 {
				return usagef("--interval is %v, must be above 0", f.interval)
			}
			if u, err := url.Parse(f.url); err != nil || u.Host == "" {
				return usagef("--url is %q, want http://host:port", f.url)
			}
			ctx := cmd.Context()
			if f.watch {
				var stop func()
				ctx, stop = untilHangup(ctx)
				defer stop()
			}
			return showStatus(ctx, f, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.url, "url", "http://127.0.0.1:8080", "base URL of any node")
	flags.StringVar(&f.path, "path", "/socket.io", "path of Engine.IO on that node")
	flags.StringVar(&f.token, "status-token", "", "the node's status token")
	fileFlag(flags, &f.tokenFile, "status-token")
	flags.StringVar(&f.host, "host", "", "ask as this virtual host, which sees its own namespaces")
	flags.StringVar(&f.namespace, "namespace", "", "full name of one namespace to show with its rooms and sockets")
	flags.StringVar(&f.search, "search", "", "show only namespaces whose full name contains this")
	flags.BoolVar(&f.asJSON, "json", false, "print the JSON as the node answers it")
	flags.BoolVar(&f.watch, "watch", false, "redraw until interrupted")
	flags.IntVar(&f.limit, "limit", 100, "namespaces to show")
	flags.DurationVar(&f.interval, "interval", time.Second, "time between two drawings")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Second, "how long to wait for an answer")
	return cmd
}

// clearScreen moves to the top left and clears what is below.
const clearScreen = "\x1b[H\x1b[J"

func showStatus(ctx context.Context, f statusFlags, out io.Writer) error {
	for {
		body, err := fetchStatus(ctx, f)
		switch {
		case ctx.Err() != nil && f.watch:
			return nil // interrupted, as it has to end
		case err != nil && !f.watch:
			return err
		case f.asJSON:
			_, err = out.Write(body)
			return err
		}
		var text strings.Builder
		if err == nil {
			var r status.Report
			if err = json.Unmarshal(body, &r); err == nil {
				printReport(&text, &r, f.namespace)
			}
		}
		if !f.watch {
			_, werr := io.WriteString(out, text.String())
			return errors.Join(err, werr)
		}
		if err != nil {
			fmt.Fprintln(&text, err)
		}
		if _, err := io.WriteString(out, clearScreen+text.String()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.interval):
		}
	}
}

func fetchStatus(ctx context.Context, f statusFlags) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	at := strings.TrimSuffix(f.url, "/") + strings.TrimSuffix(f.path, "/") + "/status.json"
	query := url.Values{"limit": {strconv.Itoa(f.limit)}}
	if f.namespace != "" {
		query.Set("namespace", f.namespace)
	}
	if f.search != "" {
		query.Set("q", f.search)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"?"+query.Encode(), nil)
	if err != nil {
		return nil, usagef("--url: %v", err)
	}
	req.Host = f.host
	if f.token != "" {
		req.Header.Set("Authorization", "Bearer "+f.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s answers %s: start the node with --public-status or --status-token", at, resp.Status)
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("%s answers %s: --status-token is missing or wrong", at, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s", at, resp.Status)
	}
	return body, nil
}
