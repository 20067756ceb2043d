package cluster

import (
	"strconv"
	"strings"
)

// NoticeKind says what a [Notice] tells.
type NoticeKind string

// The notices on the control channel. A notice can get lost, and none may be relied on:
// comparing epochs (by asserting) and asking again finds out what one would have told.
const (
	// NoticeRetired: the incarnation Number of namespace Name was retired.
	NoticeRetired NoticeKind = "retired"
	// NoticeDue: namespace Name, incarnation Number, became the next to be retired.
	NoticeDue NoticeKind = "due"
	// NoticeGone: session Number of node Name ended.
	NoticeGone NoticeKind = "gone"
	// NoticeAsserted: session Number of node Name was the last one asserting, and is done.
	NoticeAsserted NoticeKind = "asserted"
)

// Notice is a message on the control channel: "<kind> <number> <name>".
type Notice struct {
	Kind   NoticeKind
	Number uint64 // an epoch or a session
	Name   string // a full name or a node
}

// ParseNotice reads a notice; ok is false for what is none, or of a kind that this version
// does not know.
func ParseNotice(payload string) (n Notice, ok bool) {
	kind, rest, _ := strings.Cut(payload, " ")
	number, name, _ := strings.Cut(rest, " ")
	switch NoticeKind(kind) {
	case NoticeRetired, NoticeDue, NoticeGone, NoticeAsserted:
	default:
		return Notice{}, false
	}
	v, err := strconv.ParseUint(number, 10, 64)
	if err != nil || name == "" {
		return Notice{}, false
	}
	return Notice{NoticeKind(kind), v, name}, true
}
