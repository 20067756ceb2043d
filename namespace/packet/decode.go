package packet

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"unicode/utf8"
)

// Defaults of the limits of a [Decoder].
const (
	DefaultMaxAttachments = 10 // as in socket.io-parser
	DefaultMaxNamespace   = 1024
)

// Decoder turns the messages of one connection into packets. The zero value
// is ready for protocol 5. It is not safe for concurrent use.
//
// After an error the connection should be closed, with the reason "parse
// error"; the decoder has then dropped what it was waiting for.
//
// A peer whose first message is binary speaks the msgpack form, in which each packet
// is one binary message; from then on it must speak that. Its limits are the same.
// Dates and undefined in it become what JSON.stringify makes of them.
//
// It refuses what socket.io-parser 4.2.7 refuses, and beyond that: a text that
// is empty or is not UTF-8, white space before the JSON, an event without its array, an
// id above 64 bits, numbers in the header in any form but decimal digits, a
// placeholder number that is no integer, arguments beyond 65,535, nesting
// beyond 512 levels, and a namespace longer than MaxNamespace. In the msgpack form it
// refuses what socket.io-msgpack-parser 3.0.2 refuses, and what the text form could
// not carry: reserved event names, a negative id, more than MaxAttachments, a namespace
// with a comma or without a slash, keys that are neither strings nor integers, extensions
// other than dates, undefined and binary data, and beside binary data what looks like a placeholder.
type Decoder struct {
	// Protocol is Protocol4 or Protocol5; 0 is Protocol5. It decides whether a
	// namespace has a query: in protocol 5 a '?' is part of the name.
	Protocol int
	// MaxAttachments is how many attachments a packet may have; 0 is
	// DefaultMaxAttachments, negative is none.
	MaxAttachments int
	// MaxNamespace is how long a namespace may be, in bytes and without its
	// query; 0 is DefaultMaxNamespace.
	MaxNamespace int

	pending *Packet // waits for attachments; nil if none does
	missing int     // how many it waits for

	begun   bool // a message has come
	msgpack bool // the first one was binary

	// names remembers names of namespaces and events, so that a client that
	// says the same again and again costs no allocation.
	names [4]string
}

// Text decodes a text message. done is false when attachments have to follow;
// the packet is then returned by Binary. The packet refers to data, which
// must not change while the packet or anything from it is in use.
//
// Errors are ErrAwaitingAttachments, ErrUnexpectedText or a [*SyntaxError].
func (d *Decoder) Text(data []byte) (p Packet, done bool, err error) {
	if d.begun = true; d.msgpack {
		return Packet{}, false, ErrUnexpectedText
	}
	if d.missing > 0 {
		d.pending, d.missing = nil, 0
		return Packet{}, false, ErrAwaitingAttachments
	}
	attachments, syntax := d.parse(data, &p)
	if syntax != nil {
		return Packet{}, false, syntax
	}
	if attachments == 0 {
		return p, true, nil
	}
	d.pending, d.missing = new(Packet), attachments
	*d.pending = p // a copy, so that p itself need not be on the heap
	d.pending.Attachments = make([][]byte, 0, attachments)
	return Packet{}, false, nil
}

// Binary takes a binary message: one attachment of the packet that Text read
// last, or in the msgpack form a packet. With the last attachment it returns the
// packet. The packet refers to data, as with Text.
//
// Errors are ErrUnexpectedBinary or, in the msgpack form, a [*SyntaxError].
func (d *Decoder) Binary(data []byte) (p Packet, done bool, err error) {
	if !d.begun && d.Protocol != Protocol4 { // a client of that was sent text before it said anything
		d.msgpack = true
	}
	d.begun = true
	if d.msgpack {
		if syntax := d.unpack(data, &p); syntax != nil {
			return Packet{}, false, syntax
		}
		return p, true, nil
	}
	if d.missing == 0 {
		return Packet{}, false, ErrUnexpectedBinary
	}
	if data == nil {
		data = []byte{} // an empty attachment, not a missing one
	}
	d.pending.Attachments = append(d.pending.Attachments, data)
	if d.missing--; d.missing > 0 {
		return Packet{}, false, nil
	}
	p = *d.pending
	p.Args.attachments = p.Attachments
	d.pending = nil
	return p, true, nil
}

// parse reads a text message into p and returns how many attachments it
// announces.
func (d *Decoder) parse(data []byte, p *Packet) (attachments int, err *SyntaxError) {
	if !utf8.Valid(data) {
		// A browser closes its connection on such a text frame, so one client
		// could otherwise cut off all those its event is passed on to.
		return 0, &SyntaxError{Msg: "text is not UTF-8"}
	}
	attachments, i, err := d.header(data, p)
	if err != nil {
		return 0, err
	}
	return attachments, d.payload(data, i, p, attachments)
}

// header reads what precedes the JSON of a text message into p and returns how many
// attachments it announces and where the JSON begins.
func (d *Decoder) header(data []byte, p *Packet) (attachments, i int, err *SyntaxError) {
	switch {
	case len(data) == 0:
		return 0, 0, &SyntaxError{Msg: "empty packet"}
	case uint64(len(data)) > math.MaxUint32:
		return 0, 0, &SyntaxError{Msg: "packet above 4 GiB"}
	case data[0] < '0' || data[0] > '0'+byte(BinaryAck):
		return 0, 0, &SyntaxError{Msg: "unknown packet type " + strconv.QuoteRuneToASCII(rune(data[0]))}
	}
	p.Type = Type(data[0] - '0')
	i = 1
	if p.Type == BinaryEvent || p.Type == BinaryAck {
		p.Type -= BinaryEvent - Event
		if attachments, i, err = d.attachmentCount(data, i); err != nil {
			return 0, 0, err
		}
	}
	if i, err = d.namespace(data, i, p); err != nil {
		return 0, 0, err
	}
	i, err = parseID(data, i, p)
	return attachments, i, err
}

// Msgpack reports whether the peer speaks the msgpack form. The answer stands from its
// first message on, in protocol 4 from the start, and may then be asked for from any
// goroutine.
func (d *Decoder) Msgpack() bool { return d.msgpack }

// maxAttachments returns MaxAttachments with its default, 0 for none.
func (d *Decoder) maxAttachments() int {
	return max(0, cmp.Or(d.MaxAttachments, DefaultMaxAttachments))
}

func (d *Decoder) maxNamespace() int { return cmp.Or(d.MaxNamespace, DefaultMaxNamespace) }

// attachmentCount reads "2-", say.
func (d *Decoder) attachmentCount(data []byte, i int) (n, next int, err *SyntaxError) {
	limit := d.maxAttachments()
	start := i
	for ; i < len(data) && '0' <= data[i] && data[i] <= '9'; i++ {
		if n <= limit { // beyond it the number no longer matters, and could overflow
			n = n*10 + int(data[i]-'0')
		}
	}
	if i >= len(data) || data[i] != '-' || n < 1 {
		return 0, 0, &SyntaxError{Offset: start, Msg: "illegal number of attachments"}
	}
	if n > limit {
		return 0, 0, &SyntaxError{Offset: start, Msg: "too many attachments"}
	}
	return n, i + 1, nil
}

// namespace reads "/admin,"; the comma may be missing at the end of the text.
func (d *Decoder) namespace(data []byte, i int, p *Packet) (next int, err *SyntaxError) {
	p.Namespace = "/"
	if i >= len(data) || data[i] != '/' {
		return i, nil
	}
	name := data[i:]
	next = len(data)
	if comma := bytes.IndexByte(name, ','); comma >= 0 {
		name = name[:comma]
		next = i + comma + 1
	}
	if d.Protocol == Protocol4 {
		if mark := bytes.IndexByte(name, '?'); mark >= 0 {
			p.Query = string(name[mark+1:])
			name = name[:mark]
		}
	}
	if limit := d.maxNamespace(); len(name) > limit {
		return 0, &SyntaxError{Offset: i, Msg: "namespace longer than " + strconv.Itoa(limit) + " bytes"}
	}
	p.Namespace = d.intern(name)
	return next, nil
}

func parseID(data []byte, i int, p *Packet) (next int, err *SyntaxError) {
	for start := i; i < len(data) && '0' <= data[i] && data[i] <= '9'; i++ {
		digit := uint64(data[i] - '0')
		if p.ID > (math.MaxUint64-digit)/10 {
			return 0, &SyntaxError{Offset: start, Msg: "acknowledgement id above 64 bits"}
		}
		p.ID, p.HasID = p.ID*10+digit, true
	}
	return i, nil
}

// payload reads the JSON, which begins at offset i and takes the rest.
func (d *Decoder) payload(data []byte, i int, p *Packet, attachments int) *SyntaxError {
	s := scanner{data: data, depth: maxDepth, seek: attachments > 0}
	var spans []span
	var end int
	switch {
	case p.Type == Ack && i == len(data):
		return nil // some clients leave the array out where they have no arguments
	case p.Type == Event || p.Type == Ack:
		if s.at(i) != '[' {
			s.unexpected(i, "the array of arguments")
			return s.err
		}
		// Room for a name and three arguments: more is rare, and grows.
		spans = make([]span, 0, 4)
		end = s.array(i, &spans)
	case i == len(data):
		return nil
	case p.Type == Connect && data[i] != '{':
		s.unexpected(i, "an object")
		return s.err
	case p.Type == ConnectError && data[i] != '{' && data[i] != '"':
		s.unexpected(i, "a string or an object")
		return s.err
	case p.Type == Disconnect:
		s.unexpected(i, "the end")
		return s.err
	default:
		end = s.value(i)
	}
	if end < 0 {
		return s.err
	}
	p.Data = data[i:end]
	if end = s.space(end); end < len(data) {
		s.unexpected(end, "the end")
		return s.err
	}
	for _, ph := range s.found {
		if ph.num < 0 || ph.num >= attachments {
			return &SyntaxError{Offset: int(ph.start), Msg: "placeholder without an attachment"}
		}
	}
	p.Args = Args{data: data, spans: spans}
	if p.Type == Event {
		return d.eventName(data, i, p)
	}
	return nil
}

// eventName moves the name of an event from p.Args to p.Event.
func (d *Decoder) eventName(data []byte, start int, p *Packet) *SyntaxError {
	if len(p.Args.spans) == 0 {
		return &SyntaxError{Offset: start, Msg: "event without a name"}
	}
	at := p.Args.spans[0]
	p.Args.spans = p.Args.spans[1:]
	text := data[at.start:at.end]
	switch c := text[0]; {
	case c == '-' || '0' <= c && c <= '9':
		p.Event = d.intern(text)
		return nil
	case c != '"':
		return &SyntaxError{Offset: int(at.start), Msg: "event name is neither a string nor a number"}
	case bytes.IndexByte(text, '\\') >= 0:
		p.Event = unquote(text)
	default:
		p.Event = d.intern(text[1 : len(text)-1])
	}
	if IsReserved(p.Event) {
		return &SyntaxError{Offset: int(at.start), Msg: "reserved event name", Err: ErrReservedEvent}
	}
	return nil
}

// intern returns b as a string, the same one as last time if it can.
func (d *Decoder) intern(b []byte) string {
	if len(b) == 0 || len(b) > 64 { // long names would keep too much memory alive
		return string(b)
	}
	slot := &d.names[(len(b)+int(b[len(b)-1]))%len(d.names)]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}
