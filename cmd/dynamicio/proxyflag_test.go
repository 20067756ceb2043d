package main

import (
	"strings"
	"testing"
)

// --trust-proxy is alone, or has networks, however it is given.
func TestTrustProxy(t *testing.T) {
	for _, test := range []struct {
		args []string
		env  string
		file string
		want string
	}{
		{want: ""},
		{args: []string{"--trust-proxy"}, want: "true"},
		{args: []string{"--trust-proxy", "--allow-eio3"}, want: "true"},
		{args: []string{"--trust-proxy", "true"}, want: "true"},
		{args: []string{"--trust-proxy=false"}, want: ""},
		{args: []string{"--trust-proxy", "10.0.0.0/8,fd00::/8"}, want: "10.0.0.0/8,fd00::/8"},
		{args: []string{"--trust-proxy=10.0.0.0/8"}, want: "10.0.0.0/8"},
		{env: "true", want: "true"},
		{env: "10.0.0.0/8,192.0.2.1", want: "10.0.0.0/8,192.0.2.1/32"},
		{file: "trust-proxy: true\n", want: "true"},
		{file: "trust-proxy: false\n", want: ""},
		{file: "trust-proxy: 10.0.0.0/8\n", want: "10.0.0.0/8"},
		{file: "trust-proxy: [10.0.0.0/8, 'fd00::/8']\n", want: "10.0.0.0/8,fd00::/8"},
	} {
		t.Run(strings.Join(test.args, " ")+test.env+test.file, func(t *testing.T) {
			args := test.args
			if test.env != "" {
				t.Setenv("DYNAMICIO_TRUST_PROXY", test.env)
			}
			if test.file != "" {
				args = append(args, "--config", configFile(t, test.file))
			}
			args = joinBools(rootCommand(), append([]string{"serve"}, args...))[1:]
			s, err := loadSettings(given(t, args...))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.options.TrustProxy.String(); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	for _, args := range [][]string{{"--trust-proxy", "proxy.example"}, {"--trust-proxy=10.0.0.1/8"}} {
		if code, _, stderr := command(t, append([]string{"serve"}, args...)...); code != exitUsage ||
			!strings.Contains(stderr, "--trust-proxy") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: status %d, %s", args, code, stderr)
		}
	}
}
