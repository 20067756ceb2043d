package main

import (
	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/node"
)

// addDrain adds how the node stops.
func (f *serveFlags) addDrain(flags *pflag.FlagSet) {
	o, defaults := &f.options, node.Defaults()
	flags.DurationVar(&o.DrainDelay, "drain-delay", defaults.DrainDelay, "how long a node that stops only says so in /readyz and goes on as before, so that load balancers notice; 0: not at all")
	flags.DurationVar(&o.DrainSpread, "drain-spread", defaults.DrainSpread, "time over which it then closes connections, one by one and at least 20 a second; 0: all at once; unless given, at most half of --drain-timeout")
	flags.DurationVar(&o.DrainTimeout, "drain-timeout", defaults.DrainTimeout, "how long all that follows --drain-delay may take: --drain-spread, and the wait for handlers; what is left then is cut off")
}

// fitDrain shortens the default spread to what the time-out has room for: who
// sets only the one need not know of the other.
func (s *settings) fitDrain() {
	if _, given := s.origins["drain-spread"]; !given {
		s.options.DrainSpread = min(s.options.DrainSpread, s.options.DrainTimeout/2)
	}
}

func (f *serveFlags) checkDrain() error {
	if o := &f.options; o.DrainSpread >= o.DrainTimeout && o.DrainTimeout > 0 {
		return usagef("--drain-spread is %v, must be shorter than --drain-timeout, which is %v", o.DrainSpread, o.DrainTimeout)
	}
	return nil
}
