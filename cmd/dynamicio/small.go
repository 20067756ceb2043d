package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

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
// that it shares with its health check.
func localURL() string {
	_, port, err := net.SplitHostPort(os.Getenv("DYNAMICIO_LISTEN"))
	if err != nil || port == "" || port == "0" {
		port = "8080"
	}
	return "http://127.0.0.1:" + port
}

func healthcheckCommand() *cobra.Command {
	var (
		url     string
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Exit 0 if a node is ready, 1 if not",
		Long:  `Ask a node's /readyz and exit 0 if it answers 200. For containers without a shell.`,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := environ(cmd.Flags()); err != nil {
				return err
			}
			c := http.Client{Timeout: timeout}
			req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, url+"/readyz", nil)
			if err != nil {
				return usagef("--url: %v", err)
			}
			resp, err := c.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s/readyz answers %s", url, resp.Status)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", localURL(), "base URL of the node (default: the port of DYNAMICIO_LISTEN, if that is set)")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the answer")
	return cmd
}
