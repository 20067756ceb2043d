package main

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/node"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and Go version",
		Args:  noArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			commit := node.Commit()
			if commit == "" {
				commit = "unknown"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "dynamicio %s, commit %s, %s\n", node.Version(), commit, runtime.Version())
		},
	}
}

// localURL is where a node on this machine listens, going by the environment
// and the configuration file that it shares with its health check.
func localURL() string {
	port := ""
	if s, err := loadSettings(pflag.NewFlagSet("", pflag.ContinueOnError)); err == nil {
		_, port, _ = net.SplitHostPort(s.listen) // it has been checked
	}
	if port == "" || port == "0" {
		port = "8080"
	}
	return "http://127.0.0.1:" + port
}

// checkURL is what a health check asks for. A URL that names a check already is taken
// as it is.
func checkURL(base string, live bool) string {
	base = strings.TrimSuffix(base, "/")
	switch {
	case strings.HasSuffix(base, "/readyz"), strings.HasSuffix(base, "/healthz"):
		return base
	case live:
		return base + "/healthz"
	}
	return base + "/readyz"
}

func healthcheckCommand() *cobra.Command {
	var (
		url     string
		live    bool
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Exit 0 if a node is ready, 1 if not",
		Long: `Ask a node's /readyz and exit 0 if it answers 200; with --live, ask its /healthz,
which does not depend on Redis. For containers without a shell.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := environ(cmd.Flags()); err != nil {
				return err
			}
			if url == "" {
				url = localURL()
			}
			asked := checkURL(url, live)
			c := http.Client{Timeout: timeout}
			req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, asked, nil)
			if err != nil {
				return usagef("--url: %v", err)
			}
			resp, err := c.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s answers %s", asked, resp.Status)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "base URL of the node (default: this machine, with the port of DYNAMICIO_LISTEN, of the file in DYNAMICIO_CONFIG, or 8080)")
	cmd.Flags().BoolVar(&live, "live", false, "ask whether the process works, whatever Redis does, and not whether the node is ready")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the answer")
	return cmd
}
