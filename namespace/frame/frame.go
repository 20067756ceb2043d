// Package frame holds the unit that travels from a namespace to its clients:
// one encoded message, immutable, shared by all its receivers.
//
// A Frame has one or more parts: a text, and the binary attachments that
// follow it. How the parts look on a transport (a WebSocket frame, a piece of
// a polling body) is the transport's business; Wire caches each such form in
// the Frame, so that a broadcast to a thousand clients is encoded once for each
// form in use, and never for a form that nobody uses. Where some receivers speak
// another encoding of the message altogether, Variant caches that Frame, too.
//
// All methods may be called from any goroutine.
package frame

import "sync/atomic"

// Part is one message of the transport beneath: text, or binary.
type Part struct {
	Data   []byte
	Binary bool
}

// Form numbers a wire form. The transport defines the numbers, from 0 to
// MaxForms-1.
type Form uint8

// MaxForms is how many wire forms a Frame can cache.
const MaxForms = 8

// Frame is one encoded message. Its contents must not be changed once it has
// been made.
type Frame struct {
	first   Part
	rest    []Part
	forms   [MaxForms]atomic.Pointer[[]byte]
	variant atomic.Pointer[Frame]
}

// New makes a frame of a first part and those that follow it. The frame owns
// the data from then on.
func New(first Part, rest ...Part) *Frame { return &Frame{first: first, rest: rest} }

// Text makes a frame of one text part.
func Text(data []byte) *Frame { return New(Part{Data: data}) }

// Binary makes a frame of one binary part.
func Binary(data []byte) *Frame { return New(Part{Data: data, Binary: true}) }

// Len returns the number of parts, at least 1.
func (f *Frame) Len() int { return 1 + len(f.rest) }

// Part returns part i, counted from 0.
func (f *Frame) Part(i int) Part {
	if i == 0 {
		return f.first
	}
	return f.rest[i-1]
}

// Split returns the first n parts and the others as frames of their own; n must
// be from 1 to Len()-1.
func (f *Frame) Split(n int) (head, tail *Frame) {
	return New(f.first, f.rest[:n-1]...), New(f.rest[n-1], f.rest[n:]...)
}

// Size returns the number of bytes in all parts, without what a transport adds.
func (f *Frame) Size() int {
	size := len(f.first.Data)
	for _, p := range f.rest {
		size += len(p.Data)
	}
	return size
}

// Wire returns the frame in the given form, made by build at the first call
// for that form. Callers must not change the result. Two first calls at the
// same moment may both build; they get the same result.
func (f *Frame) Wire(form Form, build func(*Frame) []byte) []byte {
	if p := f.forms[form].Load(); p != nil {
		return *p
	}
	b := build(f)
	if !f.forms[form].CompareAndSwap(nil, &b) {
		return *f.forms[form].Load()
	}
	return b
}

// Variant returns the message in the one other encoding that some of its receivers
// speak, made by build at the first call, under the same rules as a wire form. A
// build that returns nil is called again.
func (f *Frame) Variant(build func(*Frame) *Frame) *Frame {
	if v := f.variant.Load(); v != nil {
		return v
	}
	v := build(f)
	if v != nil && !f.variant.CompareAndSwap(nil, v) {
		return f.variant.Load()
	}
	return v
}

// Flags say how a frame is to be sent. The zero value is an ordinary frame.
type Flags struct {
	// Volatile: drop the frame when the connection cannot take it at once.
	Volatile bool
	// NoCompress: do not compress it, where compression is on.
	NoCompress bool
}
