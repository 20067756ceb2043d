package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/dynamicio/dynamicio/status"
)

// statusFlags are the flags of status, as given.
type statusFlags struct {
	url, path, token, host string
	asJSON, watch          bool
	limit                  int
	interval, timeout      time.Duration
}

func statusCommand() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print what the cluster looks like",
		Long:  `Ask any node what the cluster looks like, and print it as a table.`,
		Example: `  dynamicio status --url http://localhost:8080
  dynamicio status --watch`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := environ(cmd.Flags(), "host"); err != nil {
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
			return showStatus(cmd.Context(), f, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.url, "url", "http://127.0.0.1:8080", "base URL of any node")
	flags.StringVar(&f.path, "path", "/socket.io", "path of Engine.IO on that node")
	flags.StringVar(&f.token, "status-token", "", "the node's status token")
	flags.StringVar(&f.host, "host", "", "ask as this virtual host, which sees its own namespaces")
	flags.BoolVar(&f.asJSON, "json", false, "print the JSON as the node answers it")
	flags.BoolVar(&f.watch, "watch", false, "draw anew until interrupted")
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
				printReport(&text, &r)
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
	at := strings.TrimSuffix(f.url, "/") + strings.TrimSuffix(f.path, "/") + "/status.json?limit=" + strconv.Itoa(f.limit)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
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

// printReport prints a report as tables. Names are quoted where a terminal
// could take them for commands.
func printReport(out io.Writer, r *status.Report) {
	redis := "Redis does not answer"
	if r.Redis.OK {
		redis = fmt.Sprintf("Redis answers in %.1f ms", r.Redis.LatencyMS)
	}
	lease := "nobody holds the lease"
	if r.Lease.Holder != "" {
		lease = fmt.Sprintf("%s decides retirements", plain(r.Lease.Holder))
	}
	fmt.Fprintf(out, "cluster %s at %s: %d nodes, %d namespaces, %d sockets; %s; %s\n\n", plain(r.Cluster),
		r.Time.Format(time.DateTime+" MST"), r.Totals.Nodes, r.Totals.Namespaces, r.Totals.Sockets, redis, lease)

	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tADDRESS\tSTATE\tHEARTBEAT\tUP\tNAMESPACES\tSOCKETS")
	for _, n := range r.Nodes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.1fs ago\t%s\t%d\t%d\n", plain(n.ID), cmp.Or(plain(n.Address), "-"), n.State(),
			float64(n.HeartbeatAgeMS)/1000, r.Time.Sub(n.Started).Round(time.Second), n.Namespaces, n.Sockets)
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "NAMESPACE\tSOCKETS\tON\tRETIRES")
	for _, n := range r.Namespaces {
		on := make([]string, 0, len(n.Nodes))
		for node, sockets := range n.Nodes {
			on = append(on, fmt.Sprintf("%s:%d", plain(node), sockets))
		}
		slices.Sort(on)
		retires := "-"
		switch {
		case n.ExpiresInMS != nil:
			retires = fmt.Sprintf("in %.1fs", float64(max(0, *n.ExpiresInMS))/1000)
		case n.Permanent:
			retires = "never"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", plain(n.FullName), n.Sockets, cmp.Or(strings.Join(on, " "), "-"), retires)
	}
	_ = t.Flush() // out keeps its errors
	if r.Next != "" {
		fmt.Fprintf(out, "... and more; --limit shows them\n")
	}
	for _, node := range r.Missing {
		fmt.Fprintf(out, "%s did not answer\n", plain(node))
	}
}

// plain is a name as it may stand on a terminal.
func plain(s string) string {
	if quoted := strconv.QuoteToGraphic(s); quoted[1:len(quoted)-1] != s {
		return quoted
	}
	return s
}
