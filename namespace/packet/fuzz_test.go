package packet

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// Garbage may be refused but never panics, and what decodes is encoded again
// to a packet that decodes to the same.
func FuzzDecode(f *testing.F) {
	for _, s := range samples {
		w := append(s.wire, "", "")
		f.Add(w[0], []byte(w[1]), []byte(w[2]), false)
	}
	f.Add(`52-["a",{"num":1,"_placeholder":true},[{"_placeholder":true,"num":1}]]`, []byte("x"), []byte("y"), false)
	f.Add(`51-/a?b=c,1["\ud83d",{"\u005fplaceholder":true,"num":0e5,"num":0}]`, []byte("x"), []byte("y"), true)
	f.Add(`2["connect"]`, []byte("x"), []byte("y"), true)
	f.Fuzz(func(t *testing.T, text string, b1, b2 []byte, old bool) {
		d := Decoder{}
		if old {
			d.Protocol = Protocol4
		}
		p, done, err := d.Text([]byte(text))
		for i := 0; err == nil && !done; i++ {
			if i > DefaultMaxAttachments {
				t.Fatal("waits for more attachments than allowed")
			}
			p, done, err = d.Binary([][]byte{b1, b2}[i%2])
		}
		if err != nil {
			if err.Error() == "" || !utf8.ValidString(err.Error()) {
				t.Fatalf("error text %q", err)
			}
			return
		}
		var v []any
		bindAll(t, p.Args, &v)
		if p.Type != Event && p.Type != Ack {
			return
		}
		fr, err := EncodeArgs(Header{Type: p.Type, Namespace: p.Namespace, ID: p.ID, HasID: p.HasID}, p.Event, p.Args)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again := decode(t, &Decoder{}, wireOf(fr))
		if again.Type != p.Type || again.Namespace != p.Namespace || again.ID != p.ID || again.HasID != p.HasID || again.Event != p.Event || again.Args.Len() != p.Args.Len() {
			t.Fatalf("%q came back as %q", text, wireOf(fr))
		}
		var w []any
		bindAll(t, again.Args, &w)
		if !reflect.DeepEqual(v, w) {
			t.Fatalf("%q: %#v came back as %#v", text, v, w)
		}
	})
}

// bindAll binds each argument; numbers outside float64 stay nil.
func bindAll(t *testing.T, args Args, into *[]any) {
	for i := range args.Len() {
		var v any
		if err := args.At(i).Bind(&v); err != nil {
			if _, ok := err.(*json.UnmarshalTypeError); !ok && !bytes.ContainsAny(args.At(i).JSON(), "eE0123456789") {
				t.Fatalf("%s: %v", args.At(i).JSON(), err)
			}
		}
		*into = append(*into, v)
	}
}

// What is encoded decodes to the same values, as text, as any, as Raw.
func FuzzRoundTrip(f *testing.F) {
	f.Add("chat", "/admin", uint64(7), true, "text <&>", []byte("bin"), []byte(`{"a":[1,"x"]}`), 3.5)
	f.Add("", "", uint64(0), false, "\xff\u2028", []byte(nil), []byte(`{"_placeholder":true,"num":0}`), -1e300)
	f.Fuzz(func(t *testing.T, name, ns string, id uint64, hasID bool, s string, bin, text []byte, x float64) {
		type value struct {
			S   string         `json:"s"`
			Bin []byte         `json:"bin"`
			X   float64        `json:"x"`
			M   map[string]any `json:"m"`
		}
		raw, err := NewRaw(text)
		if err != nil {
			raw = Raw{}
		}
		in := value{s, bin, x, map[string]any{"bin": bin, "k": s}}
		h := Header{Type: Event, Namespace: ns, ID: id, HasID: hasID}
		fr, err := Encode(h, name, bin, in, raw, s)
		if err != nil {
			return // a bad name, namespace, number or placeholder; tested elsewhere
		}
		p := decode(t, &Decoder{MaxNamespace: 1 << 20}, wireOf(fr))
		checkRoundTrip(t, p, name, s, bin, x, raw)
		if want := h.Namespace; p.Namespace != want && want != "" || p.HasID != hasID || hasID && p.ID != id {
			t.Fatalf("%+v came back as %+v", h, p)
		}
		// Once more without decoding.
		var fr2 *frame.Frame
		if fr2, err = EncodeArgs(h, p.Event, p.Args); err != nil {
			t.Fatal(err)
		}
		checkRoundTrip(t, decode(t, &Decoder{MaxNamespace: 1 << 20}, wireOf(fr2)), name, s, bin, x, raw)
	})
}

func checkRoundTrip(t *testing.T, p Packet, name, s string, bin []byte, x float64, raw Raw) {
	t.Helper()
	var b []byte
	var out map[string]any
	var r Raw
	var str string
	if err := p.Args.Bind(&b, &out, &r, &str); err != nil {
		t.Fatal(err)
	}
	clean := string([]rune(s)) // invalid bytes become U+FFFD, as in encoding/json
	var wantBin any
	if bin != nil {
		wantBin = bin
	}
	want := map[string]any{"s": clean, "bin": wantBin, "x": x, "m": map[string]any{"bin": wantBin, "k": clean}}
	if p.Event != string([]rune(name)) || !bytes.Equal(b, bin) || str != clean || !reflect.DeepEqual(out, want) || !bytes.Equal(r.JSON(), raw.JSON()) {
		t.Fatalf("got %q %q %#v %s %q,\nwant %#v, %s", p.Event, b, out, r.JSON(), str, want, raw.JSON())
	}
}

// The scanner takes what encoding/json takes, but for its own limits, and
// splits as encoding/json does.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{`[]`, ` [1, "a" ,{"b":[null,true]} , -0.5e+7]`, `["\u00e9\n"]`, `[1,]`, `["01234567\"89012345"]`, "[\"\u00e9\u00e9\u00e9\u00e9\"]", `{"a":1}`, `nul`, `[[[]]`, `"1234567` + "\x1f" + `"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner{data: text, depth: ownDepth, seek: true}
		err := s.whole()
		if valid := json.Valid(text); (err == nil) != valid {
			t.Fatalf("%q: %v, json.Valid says %v", text, err, valid)
		}
		if err != nil && (err.Offset < 0 || err.Offset > len(text)) {
			t.Fatalf("%q: offset %d", text, err.Offset)
		}
		args, argsErr := NewArgs(text)
		var want []json.RawMessage
		if argsErr != nil || json.Unmarshal(text, &want) != nil {
			return
		}
		if args.Len() != len(want) {
			t.Fatalf("%q: %d elements, want %d", text, args.Len(), len(want))
		}
		for i, w := range want {
			if !bytes.Equal(args.At(i).JSON(), w) {
				t.Fatalf("%q: element %d is %q, want %q", text, i, args.At(i).JSON(), w)
			}
		}
	})
}
