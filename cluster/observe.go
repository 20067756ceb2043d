package cluster

import (
	"errors"
	"slices"
	"time"
)

// Observer is told how long things take, for metrics. Functions that are nil are
// not called; the others are called from several goroutines, in the way of what they
// observe, and must be quick.
type Observer struct {
	// Command is told of each round trip of a session: the name of its script, one of
	// [Commands], once for each script in it; and the error, if there was no answer.
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

// Commands are the names of the scripts that sessions send.
func Commands() []string {
	names := make([]string, len(scripts))
	for i, s := range scripts {
		names[i] = s.name
	}
	return names
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
