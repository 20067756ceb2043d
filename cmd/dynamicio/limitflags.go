package main

import (
	"math"
	"time"

	"github.com/spf13/pflag"

	"github.com/dynamicio/dynamicio/node"
)

// addTimes adds how long things may take.
func (f *serveFlags) addTimes(flags *pflag.FlagSet) {
	o, defaults := &f.options, node.Defaults()
	flags.DurationVar(&o.PingInterval, "ping-interval", defaults.PingInterval, "time between heartbeats")
	flags.DurationVar(&o.PingTimeout, "ping-timeout", defaults.PingTimeout, "time a client has to answer one")
	flags.DurationVar(&o.ConnectTimeout, "connect-timeout", defaults.ConnectTimeout, "time a connection has to join its first namespace")
	flags.DurationVar(&o.Limits.PacketTimeout, "packet-timeout", defaults.Limits.PacketTimeout, "time a client has to send the next attachment of an event")
	flags.DurationVar(&o.Limits.AckTimeout, "ack-timeout", defaults.Limits.AckTimeout, "time a client has to acknowledge an event that does not say another one")
	flags.DurationVar(&o.UpgradeTimeout, "upgrade-timeout", defaults.UpgradeTimeout, "time a client has to change from polling to WebSocket")
}

// addLimits adds the bounds on what clients can do to the node.
func (f *serveFlags) addLimits(flags *pflag.FlagSet) {
	o, defaults := &f.options, node.Defaults()
	flags.IntVar(&o.MaxPayload, "max-payload", defaults.MaxPayload, "largest message of a client, in bytes")
	flags.IntVar(&o.MaxQueue, "max-queue", defaults.MaxQueue, "bytes that may wait to be sent to one client; beyond it the client is closed")
	flags.IntVar(&o.MaxConnectionBytes, "max-connection-bytes", defaults.MaxConnectionBytes, "bytes that may be held for one client, queue included; 0: 16 MiB, or twice --max-queue or --max-payload if that is more")
	flags.IntVar(&o.MaxSessions, "max-sessions", defaults.MaxSessions, "connections of the node; 0: no bound")
	flags.Float64Var(&o.HandshakesPerSecond, "handshakes-per-second", defaults.HandshakesPerSecond, "new connections of one address a second; 0: no bound")

	flags.IntVar(&o.MaxSessionsPerAddress, "max-sessions-per-address", defaults.MaxSessionsPerAddress, "connections of one address, or of one IPv6 network of /64; 0: no bound")
	flags.IntVar(&o.ControlsPerSecond, "controls-per-second", defaults.ControlsPerSecond, "pings, pongs and nearly empty fragments of one client a second; beyond it the client is closed; 0: no bound")
	flags.IntVar(&o.MaxHeaderBytes, "max-header-bytes", defaults.MaxHeaderBytes, "largest header of a request, in bytes")

	flags.IntVar(&o.StatusViewers, "status-viewers", defaults.StatusViewers, "status pages that are kept up to date for visitors at a time, and as many for those with the token")
	flags.IntVar(&o.StatusViewersPerAddress, "status-viewers-per-address", defaults.StatusViewersPerAddress, "visitors of one address among them")
	flags.IntVar(&o.StatusWrongTokens, "status-wrong-tokens", defaults.StatusWrongTokens, "wrong status tokens of one address a minute; beyond it none of its tokens is looked at before the minute is over")

	l, limits := &o.Limits, defaults.Limits
	flags.IntVar(&l.MaxNamespaces, "max-namespaces", limits.MaxNamespaces, "namespaces that live on the node")
	flags.IntVar(&l.MaxNamespacesPerAddress, "max-namespaces-per-address", limits.MaxNamespacesPerAddress, "of these, those that the clients of one address brought to life")
	flags.IntVar(&l.MaxConnectionNamespaces, "max-connection-namespaces", limits.MaxConnectionNamespaces, "namespaces of one connection; it may ask for a tenth of it a second")
	flags.IntVar(&l.MaxNameLength, "max-name-length", limits.MaxNameLength, "longest name of a namespace, room or event that a client may choose, in bytes")
	flags.IntVar(&l.MaxRooms, "max-rooms", limits.MaxRooms, "rooms of one socket")
	flags.IntVar(&l.MaxPendingEvents, "max-pending-events", limits.MaxPendingEvents, "events of one connection that may wait for their handlers; beyond it reading pauses")
	flags.IntVar(&l.MaxPendingBytes, "max-pending-bytes", limits.MaxPendingBytes, "memory that these may take; beyond it reading pauses")
	flags.Float64Var(&l.EventsPerSecond, "events-per-second", limits.EventsPerSecond, "events of one connection a second; beyond it reading pauses; 0: no bound")
	flags.IntVar(&l.MaxAttachments, "max-attachments", limits.MaxAttachments, "binary attachments of one event")
}

// mayBeZero are the numbers for which 0 has a meaning of its own, which their
// help tells. All others must be above 0.
var mayBeZero = map[string]bool{
	"max-sessions": true, "handshakes-per-second": true, "events-per-second": true, "max-connection-bytes": true,
	"max-sessions-per-address": true, "controls-per-second": true,
	"drain-delay": true, "drain-spread": true,
}

// checkNumbers refuses numbers and durations that are out of range.
func checkNumbers(flags *pflag.FlagSet) (wrong []error) {
	flags.VisitAll(func(f *pflag.Flag) {
		value, most := 0.0, math.MaxFloat64
		switch f.Value.Type() {
		case "int":
			n, err := flags.GetInt(f.Name)
			must(err)
			value, most = float64(n), math.MaxInt32
		case "float64":
			n, err := flags.GetFloat64(f.Name)
			must(err)
			value = n
		case "duration":
			d, err := flags.GetDuration(f.Name)
			must(err)
			value, most = d.Seconds(), maxDuration.Seconds()
		default:
			return
		}
		switch {
		case mayBeZero[f.Name] && !(value >= 0):
			wrong = append(wrong, usagef("--%s is %v, must not be negative", f.Name, f.Value))
		case !mayBeZero[f.Name] && !(value > 0):
			wrong = append(wrong, usagef("--%s is %v, must be above 0", f.Name, f.Value))
		case value > most && f.Value.Type() == "duration":
			wrong = append(wrong, usagef("--%s is %v, must be %v at most", f.Name, f.Value, maxDuration))
		case value > most:
			wrong = append(wrong, usagef("--%s is %v, must be %.0f at most", f.Name, f.Value, most))
		}
	})
	return wrong
}

// maxDuration is far above what makes sense, and far below what overflows when
// durations are added.
const maxDuration = 10 * 365 * 24 * time.Hour

// nodeOptions are the options of the node, all but the logger. Of the flags below
// 0 has a meaning of its own, of the options it is the default.
func (s *settings) nodeOptions() node.Options {
	o := s.options
	for _, rate := range [...]*float64{&o.HandshakesPerSecond, &o.Limits.EventsPerSecond} {
		if *rate == 0 {
			*rate = -1
		}
	}
	for _, bound := range [...]*int{&o.MaxSessionsPerAddress, &o.ControlsPerSecond} {
		if *bound == 0 {
			*bound = -1
		}
	}
	if o.DrainSpread == 0 {
		o.DrainSpread = -1
	}
	return o
}
