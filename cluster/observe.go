package cluster

import (
	"errors"
	"slices"
	"time"

	"github.com/dynamicio/dynamicio/lease"
)

// Observer is told how long things take, for metrics. Functions that are nil are
// not called; the others are called from several goroutines, in the way of what they
// observe, and must be quick.
type Observer struct {
	// Command is told of each round trip to the directory and for the lease: the name,
	// one of [Commands] (once for each script in it), and the error, if there was no answer.
	Command func(name string, took time.Duration, err error)
	// Joined is told how long the first client of a namespace on this node waited for
	// the directory and for the bus.
	Joined func(took time.Duration)
	// Left is told how long it took until the directory knew that the node's last
	// socket had left a namespace.
	Left func(took time.Duration)
	// Retired is told, on the node that decided it, how long after its time a
	// namespace was retired.
	Retired func(late time.Duration)
	// Published is told, of each batch of messages, how long its oldest one
	// waited until Redis had taken it.
	Published func(took time.Duration)
}

// leaseCommand begins the names of what is done to the lease.
const leaseCommand = "lease_"

// Commands are the names that [Observer.Command] is told: of the scripts that sessions
// send, and of what is done to the lease.
func Commands() []string {
	var names []string
	for _, s := range scripts {
		names = append(names, s.name)
	}
	for _, op := range lease.Operations() {
		names = append(names, leaseCommand+op)
	}
	return names
}

// leased observes a call for the lease.
func (o *Observer) leased(op string, took time.Duration, err error) {
	if o.Command != nil {
		o.Command(leaseCommand+op, took, err)
	}
}

// command observes one round trip of calls, and why there was no answer.
func (o *Observer) command(calls []*call, took time.Duration, err error) {
	if o.Command == nil {
		return
	}
	if _, unanswered := errors.AsType[*Error](err); !unanswered {
		err = nil // a refusal is an answer
	}
	seen := make([]*script, 0, 4)
	for _, c := range calls {
		if !slices.Contains(seen, c.script) {
			seen = append(seen, c.script)
			o.Command(c.script.name, took, err)
		}
	}
}

func observe(f func(time.Duration), d time.Duration) {
	if f != nil {
		f(d)
	}
}
