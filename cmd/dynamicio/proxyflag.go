package main

import (
	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/node"
)

// proxiesValue is --trust-proxy.
type proxiesValue struct{ *node.Proxies }

func addProxies(flags *pflag.FlagSet, p *node.Proxies) {
	const usage = "networks, separated by commas, whose proxies are believed in X-Forwarded-For and X-Forwarded-Proto; alone: the direct peer, of a node that only its proxies can reach"
	flags.VarPF(proxiesValue{p}, "trust-proxy", "", usage).NoOptDefVal = "true"
}

// Set implements [pflag.Value].
func (v proxiesValue) Set(s string) error {
	p, err := node.ParseProxies(s)
	if err != nil {
		return err
	}
	*v.Proxies = p
	return nil
}

// Type implements [pflag.Value].
func (v proxiesValue) Type() string { return "networks" }

// String implements [pflag.Value]; flag packages call it on a zero one.
func (v proxiesValue) String() string {
	if v.Proxies == nil {
		return ""
	}
	return v.Proxies.String()
}
