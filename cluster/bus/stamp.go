package bus

import (
	"bytes"
	"strconv"
	"strings"
)

// A connection that was given up may still hold messages: in the socket of a Redis that hangs, or of a master that
// was demoted meanwhile. They arrive when it goes on, behind newer ones that went another way. So what is published
// carries the number of its connection behind the sender's uid, and a receiver drops what comes from an
// older connection than it has heard of. Servers of another make see a longer uid.

// stampLen is how many characters follow the uid; stampBase is their number system.
const (
	stampLen  = 4
	stampBase = 36
)

// unstamped is the uid of messages whose number is set when they are sent.
func (b *Bus) unstamped() string { return b.uid + strings.Repeat("0", stampLen) }

// findStamp returns where in a payload the number is, or -1.
func (b *Bus) findStamp(payload []byte) int {
	i := bytes.Index(payload[:min(len(payload), 64)], []byte(b.uid))
	if i < 0 || i+len(b.uid)+stampLen > len(payload) {
		return -1
	}
	return i + len(b.uid)
}

// setStamp writes the number of a connection.
func setStamp(at []byte, generation uint32) {
	digits := strconv.FormatUint(uint64(generation), stampBase)
	copy(at[stampLen-min(stampLen, len(digits)):stampLen], digits)
}

// generations holds the newest connection of each sender that was heard of, by uid.
type generations map[string]uint32

// maxSenders bounds generations. Each restart of a node is a sender more.
const maxSenders = 1024

// late reports whether uid belongs to a message of an older connection of its sender. A uid of another form
// never does.
func (g *generations) late(uid string) bool {
	if len(uid) != uidLen+stampLen {
		return false
	}
	n, err := strconv.ParseUint(uid[uidLen:], stampBase, 32)
	if err != nil {
		return false
	}
	sender, generation := uid[:uidLen], uint32(n)
	newest, known := (*g)[sender]
	switch {
	case generation < newest:
		return true
	case known && generation == newest:
		return false
	case *g == nil || len(*g) >= maxSenders:
		*g = make(generations)
	}
	(*g)[strings.Clone(sender)] = generation
	return false
}
