package packet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestDecoder_Refuses(t *testing.T) {
	for _, c := range []struct {
		text   string
		offset int
		msg    string
	}{
		{``, 0, "empty"},
		{`abc`, 0, `unknown packet type 'a'`},
		{`7["a"]`, 0, `unknown packet type '7'`},
		{"\x1b[2J", 0, `unknown packet type '\x1b'`}, // not raw: it may be logged
		{`2`, 1, "array of arguments"},
		{`2{}`, 1, "array of arguments"},
		{`2abc["a"]`, 1, "array of arguments"},
		{`2"a"`, 1, "array of arguments"},
		{`2/ns`, 4, "array of arguments"},
		{`2/ns["a"]`, 9, "array of arguments"}, // no comma: all of it is the name
		{`2 ["a"]`, 1, "array of arguments"},
		{`2-1["a"]`, 1, "array of arguments"},
		{`2[]`, 1, "without a name"},
		{`2[null]`, 2, "neither a string nor a number"},
		{`2[true,1]`, 2, "neither a string nor a number"},
		{`2[{}]`, 2, "neither a string nor a number"},
		{`2[["a"]]`, 2, "neither a string nor a number"},
		{`2["a"`, 5, "text ends"},
		{`2["a",]`, 6, "unexpected ']'"},
		{`2["a" "b"]`, 6, "unexpected '\"'"},
		{`2["a"]]`, 6, "unexpected ']', want the end"},
		{`2["a"]x`, 6, "unexpected 'x', want the end"},
		{`2["a",tru]`, 9, "want true"},
		{`2["a",01]`, 7, "unexpected '1'"},
		{`2["a",-]`, 7, "a digit"},
		{`2["a",1.]`, 8, "a digit"},
		{`2["a",1e+]`, 9, "a digit"},
		{`2["a",+1]`, 6, "a JSON value"},
		{`2["a",NaN]`, 6, "a JSON value"},
		{`2["a",'b']`, 6, "a JSON value"},
		{`2["a",{"b"}]`, 10, "':'"},
		{`2["a",{"b":1,}]`, 13, "an object key"},
		{`2["a",{b:1}]`, 7, "an object key"},
		{`2["a",{"b":1]`, 12, "',' or '}'"},
		{`2["a","\x41"]`, 8, "escape"},
		{`2["a","123\q567890"]`, 11, "escape"},
		{`2["a","\u00g0"]`, 11, "hexadecimal"},
		{"2[\"a\",\"b\nc\"]", 8, "control character"},
		{"2[\"a\",\"12345678\x1f\"]", 15, "control character"},
		{`2["a","b]`, 9, "inside a string"},
		{"2[\"a\",\"\xff\"]", 0, "UTF-8"},
		{`218446744073709551616["a"]`, 1, "above 64 bits"},
		{`31{}`, 2, "array of arguments"},
		{`0[]`, 1, "an object"},
		{`0"a"`, 1, "an object"},
		{`0null`, 1, "an object"},
		{`0{"a":}`, 6, "a JSON value"},
		{`1{}`, 1, "the end"},
		{`1[]`, 1, "the end"},
		{`4[]`, 1, "a string or an object"},
		{`41null`, 2, "a string or an object"},
		{`5["a"]`, 1, "illegal number of attachments"},
		{`5-["a"]`, 1, "illegal number of attachments"},
		{`50-["a"]`, 1, "illegal number of attachments"},
		{`51["a"]`, 1, "illegal number of attachments"},
		{`51`, 1, "illegal number of attachments"},
		{`51.0-["a"]`, 1, "illegal number of attachments"},
		{`5-1-["a"]`, 1, "illegal number of attachments"},
		{`511-["a"]`, 1, "too many attachments"},
		{`699999999999999999999999-["a"]`, 1, "too many attachments"},
		{`51-["a",{"_placeholder":true,"num":1}]`, 8, "placeholder without an attachment"},
		{`51-["a",{"_placeholder":true,"num":-1}]`, 8, "placeholder without an attachment"},
		{`51-["a",{"_placeholder":true,"num":0.5}]`, 8, "placeholder without an attachment"},
		{`51-["a",{"_placeholder":true,"num":"0"}]`, 8, "placeholder without an attachment"},
		{`51-["a",{"_placeholder":true,"num":1e999}]`, 8, "placeholder without an attachment"},
		{`51-["a",{"_placeholder":true}]`, 8, "placeholder without an attachment"},
		{`51-["a",{"\u005fplaceholder":true,"num":3}]`, 8, "placeholder without an attachment"},
		{`51-["a",[{"b":{"num":3,"_placeholder":true}}]]`, 14, "placeholder without an attachment"},
		{`2["a",` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `]`, 6 + 511, "nested too deeply"},
		{`2["a"` + strings.Repeat(",0", maxArgs+1) + `]`, 6 + 2*maxArgs, "too many arguments"},
		{`2/` + strings.Repeat("n", DefaultMaxNamespace) + `,["a"]`, 1, "namespace longer than 1024"},
	} {
		_, _, err := new(Decoder).Text([]byte(c.text))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%.60q: error %v", c.text, err)
			continue
		}
		if syntax.Offset != c.offset || !strings.Contains(syntax.Msg, c.msg) {
			t.Errorf("%.60q: %q at %d, want %q at %d", c.text, syntax.Msg, syntax.Offset, c.msg, c.offset)
		}
	}
}

func TestDecoder_Accepts(t *testing.T) {
	for _, text := range []string{
		`0/random`, `1/custom`, `0/admin`, // the comma may be missing at the end
		`0{"token":"123"}`, `0/,{}`, `4"no"`,
		`2["a"] ` + "\n", `2[ "a" , 1 ]`, `2["a",{ }, [ ] ]`,
		`2[-1.5e3]`, `2["connected"]`, `2[""]`,
		`218446744073709551615["a"]`, `2007["a"]`, `3["no id"]`,
		`2["a",` + strings.Repeat("[", 511) + strings.Repeat("]", 511) + `]`,
		`2["a"` + strings.Repeat(`,[1],{"b":[]},{}`, 600) + `]`, // beside each other is not nested
		`2["a"` + strings.Repeat(",0", maxArgs) + `]`,
		`2/` + strings.Repeat("n", DefaultMaxNamespace-1) + `,["a"]`,
		`2["a",{"_placeholder":true,"num":99}]`, // an ordinary object without attachments
		`2["a","\ud83d\ude00\ud83d"]`,
	} {
		if _, done, err := new(Decoder).Text([]byte(text)); err != nil || !done {
			t.Errorf("%.60q: done %v, error %v", text, done, err)
		}
	}
	for _, text := range []string{
		`51-["a"]`, `510-["a"]`, `501-["a"]`,
		`51-["a",{"_placeholder":true,"num":0.0}]`,
		`51-["a",{"_placeholder":"true","num":7}]`, // not the boolean: an ordinary object
		`51-["a",{"_placeholder":false,"num":7}]`,
		`51-["a",{"_placeholder":true,"num":7,"_placeholder":false}]`,                    // the last one holds
		`51-["a",{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":7}}]`,       // goes with the outer one
		`51-["a",{"x":{"_placeholder":true,"num":7},"_placeholder":true,"num":0},[1,2]]`, // whatever the order
		`51-["a","{\"_placeholder\":true,\"num\":7}"]`,
	} {
		if _, done, err := new(Decoder).Text([]byte(text)); err != nil || done {
			t.Errorf("%q: done %v, error %v, want attachments to be awaited", text, done, err)
		}
	}
}

func TestDecoder_RefusesReservedEvents(t *testing.T) {
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener", `c\u006fnnect`} {
		for _, text := range []string{`2["%s"]`, `2/ns,1[ "%s",1]`, `51-["%s"]`} {
			if _, _, err := new(Decoder).Text(fmt.Appendf(nil, text, name)); !errors.Is(err, ErrReservedEvent) {
				t.Errorf(text+": error %v", name, err)
			}
		}
		if _, _, err := new(Decoder).Text([]byte(`31["` + name + `"]`)); err != nil {
			t.Errorf("acknowledgement with %q: %v", name, err)
		}
	}
}

func TestDecoder_KeepsTextAndBinaryApart(t *testing.T) {
	var d Decoder
	decode(t, &d, wire{`51-["a",{"_placeholder":true,"num":0}]`, "x"})
	if _, _, err := d.Binary([]byte{1}); err != ErrUnexpectedBinary {
		t.Errorf("one attachment too many: %v", err)
	}
	if _, done, err := d.Text([]byte(`52-["a"]`)); done || err != nil {
		t.Fatal(done, err)
	}
	if _, done, err := d.Binary([]byte{1}); done || err != nil {
		t.Fatal(done, err)
	}
	if _, _, err := d.Text([]byte(`2["b"]`)); err != ErrAwaitingAttachments {
		t.Errorf("text while an attachment is awaited: %v", err)
	}
	if _, _, err := d.Binary([]byte{2}); err != ErrUnexpectedBinary {
		t.Errorf("the broken packet is still awaited: %v", err)
	}
}

// A transport may well hand over an empty message as nil; bound to a []byte it
// must still be told from null.
func TestDecoder_EmptyAttachmentIsNotNull(t *testing.T) {
	var d Decoder
	if _, _, err := d.Text([]byte(`51-["a",{"_placeholder":true,"num":0}]`)); err != nil {
		t.Fatal(err)
	}
	p, done, err := d.Binary(nil)
	var b []byte
	if err != nil || !done || p.Args.Bind(&b) != nil || b == nil || len(b) != 0 {
		t.Errorf("%#v, %v", b, err)
	}
}

func TestDecoder_LimitsAreOptions(t *testing.T) {
	for _, c := range []struct {
		d    Decoder
		text string
		ok   bool
	}{
		{Decoder{MaxAttachments: 20}, `520-["a"]`, true},
		{Decoder{MaxAttachments: 20}, `521-["a"]`, false},
		{Decoder{MaxAttachments: -1}, `51-["a"]`, false},
		{Decoder{MaxAttachments: -1}, `2["a"]`, true},
		{Decoder{MaxNamespace: 3}, `0/ab,`, true},
		{Decoder{MaxNamespace: 3}, `0/abc,`, false},
		{Decoder{MaxNamespace: 3, Protocol: Protocol4}, `0/ab?query=long,`, true},
	} {
		if _, _, err := c.d.Text([]byte(c.text)); (err == nil) != c.ok {
			t.Errorf("%q with %+v: %v", c.text, c.d, err)
		}
	}
}

func TestDecoder_QueryOfProtocol4(t *testing.T) {
	for _, c := range []struct {
		protocol         int
		text, name, rest string
	}{
		{Protocol4, `0/ns?token=a?b&c=d,`, "/ns", "token=a?b&c=d"},
		{Protocol4, `0/?token=a`, "/", "token=a"},
		{Protocol4, `2/ns?token=a,["x"]`, "/ns", "token=a"},
		{Protocol4, `0/ns,`, "/ns", ""},
		{0, `0/ns?token=a,`, "/ns?token=a", ""}, // part of the name there
		{Protocol5, `0/ns?token=a,`, "/ns?token=a", ""},
	} {
		p, _, err := (&Decoder{Protocol: c.protocol}).Text([]byte(c.text))
		if err != nil || p.Namespace != c.name || p.Query != c.rest {
			t.Errorf("%d %q: %q, %q, %v", c.protocol, c.text, p.Namespace, p.Query, err)
		}
	}
}

// Names that share a slot of the decoder's memory must not be confused.
func TestDecoder_RemembersNamesCorrectly(t *testing.T) {
	var d Decoder
	for range 2 {
		for _, name := range []string{"a", "e", "i", "aa", "ea", strings.Repeat("x", 64), strings.Repeat("x", 65), ""} {
			p := decode(t, &d, wire{`2/` + name + `,["` + name + `"]`})
			if p.Event != name || p.Namespace != "/"+name {
				t.Errorf("%q became %q in %q", name, p.Event, p.Namespace)
			}
		}
	}
}

func TestArgs_MissingOnesAreNull(t *testing.T) {
	p := decode(t, new(Decoder), wire{`2["a",1,"b"]`})
	if got := string(p.Args.At(2).JSON()) + string(p.Args.At(-1).JSON()); got != "nullnull" {
		t.Error(got)
	}
	if rest := p.Args.From(1); rest.Len() != 1 || string(rest.At(0).JSON()) != `"b"` {
		t.Errorf("From(1) has %d: %s", rest.Len(), rest.At(0).JSON())
	}
	if p.Args.From(9).Len() != 0 || p.Args.From(-1).Len() != 2 {
		t.Error("From out of range")
	}
	if b, err := json.Marshal(p.Args); err != nil || string(b) != `[1,"b"]` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestNewArgs_TakesArraysOnly(t *testing.T) {
	a, err := NewArgs([]byte(` [1, {"_placeholder":true,"num":0} ] `), []byte("x"))
	if err != nil || a.Len() != 2 {
		t.Fatalf("%d, %v", a.Len(), err)
	}
	var b []byte
	if err := a.At(1).Bind(&b); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	if r, err := NewRaw([]byte(" 1\n")); err != nil || string(r.JSON()) != "1" {
		t.Errorf("%q, %v", r.JSON(), err)
	}
	for _, bad := range []string{`{}`, `1`, ``, `[`, `[1]]`, "[\"\xff\"]"} {
		if _, err := NewArgs([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := NewRaw([]byte(`{"_placeholder":true,"num":1}`), nil); err == nil {
		t.Error("a placeholder without attachment was taken")
	}
}

// An acknowledgement without its array is one without arguments, as Node's server
// takes it, with attachments or without.
func TestDecoder_AckWithoutArray(t *testing.T) {
	var d Decoder
	for _, text := range []string{`3/v,0`, `30`, `3`, `61-/v,0`} {
		p, done, err := d.Text([]byte(text))
		if err == nil && !done {
			p, done, err = d.Binary([]byte{1})
		}
		if err != nil || !done || p.Type != Ack || p.Args.Len() != 0 {
			t.Errorf("%s: %+v, %v, %v", text, p, done, err)
		}
	}
}
