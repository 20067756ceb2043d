package rules

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/dynamicio/dynamicio/namespace"
)

// kind is what a refusal is counted as.
type kind uint8

const (
	kindNamespace    kind = iota // no rule is for it, or one refuses it
	kindTokenMissing             // the client presents nothing
	kindTokenInvalid
	kindTokenExpired
	kindFull      // as many sockets as the rule allows
	kindVerb      // the verb is not allowed
	kindRoom      // it is not allowed for the room
	kindRooms     // the socket is in as many rooms as the rule allows
	kindRate      // too many events
	kindSize      // too large an event
	kindUnknown   // an event that is no verb
	kindArguments // not those of the verb
	kinds         // how many there are
)

var kindLabels = [kinds]string{
	"namespace", "token_missing", "token_invalid", "token_expired", "namespace_full",
	"verb", "room", "rooms", "rate", "size", "unknown_event", "arguments",
}

// Refusals are the keys of [Guard.Refused].
func Refusals() []string { return slices.Clone(kindLabels[:]) }

// refusedError is an error for a client that is counted.
type refusedError struct {
	kind kind
	*namespace.ClientError
}

func (r *refusedError) Unwrap() error { return r.ClientError }

// refuse makes one.
func refuse(k kind, format string, args ...any) error {
	return &refusedError{k, &namespace.ClientError{Message: fmt.Sprintf(format, args...)}}
}

// refusals counts them, by kind.
type refusals [kinds]atomic.Int64

// count counts an error if it is a refusal, and returns it.
func (c *refusals) count(err error) error {
	if r, ok := errors.AsType[*refusedError](err); ok {
		c[r.kind].Add(1)
	}
	return err
}

// Refused returns how often clients were refused something, by kind; a fixed
// set of keys, always all present.
func (g *Guard) Refused() map[string]int64 {
	all := make(map[string]int64, kinds)
	for k, label := range kindLabels {
		all[label] = g.refusals[k].Load()
	}
	return all
}
