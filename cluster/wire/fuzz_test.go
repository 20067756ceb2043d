package wire

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

func mustArgs(t testing.TB, array string, attachments ...[]byte) namespace.Args {
	t.Helper()
	a, err := packet.NewArgs([]byte(array), attachments...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Nobody's bytes make a decoder panic or take more memory than it may, and what it accepts can
// be sent on.
func FuzzDecode(f *testing.F) {
	f.Add(unhex(f, sampleHi))
	f.Add(unhex(f, `83 a3756964 a8484979595f705a4c a67061636b6574 83 a474797065 cc32 a36e7370 a32f6e73 a464617461 92 a26869 a178 a46f707473 82 a5726f6f6d73 91a27231 a5666c616773 81 a8636f6d7072657373 c2`))
	f.Add(unhex(f, `93 a175 83 a474797065 05 a464617461 95 a26869 c40107 d7ff1d5353006553f100 c70300010203 81 a161 d40000 a36e7370 a32f6e73 80`))
	f.Add([]byte(`{"uid":"u","type":6,"requestId":"i","data":["sse",1]}`))
	f.Add([]byte(`{"requestId":"i","sockets":[{"id":"s","handshake":{"headers":{"a":["b"]}},"rooms":["s",1],"data":{}}]}`))
	f.Add([]byte("\x82\xa9requestId\xa1i\xa7sockets\x91\x82\xa2id\xa1s\xa4data\x81\xa1b\xc4\x02\x01\x02"))
	f.Add([]byte("\x83\xa4type\x09\xa9requestId\xa1i\xa6packet\x92\x01\xc4\x01\x07"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		const limit = 4096
		if b, err := DecodeBroadcast(payload); err == nil {
			if m, err := b.Message("/x", limit); err == nil {
				if size := m.Event.Size(); size > limit+64+len(payload) {
					t.Fatalf("%d bytes of a limit of %d", size, limit)
				}
				resend(t, m)
			}
		}
		if q, err := DecodeRequest(payload, limit); err == nil {
			if m, err := q.Message("/x", "/x"); err == nil && m.Event != nil {
				resend(t, m)
			}
		}
		for _, d := range []Dialect{Node, StockGo} {
			if r, err := DecodeResponse(payload, d, limit); err == nil && r.Args != nil {
				asked := TypeBroadcast
				if r.Type == TypeServerSide {
					asked = TypeServerSide
				}
				if _, err := AppendResponse(nil, d, asked, r); err != nil {
					t.Fatalf("accepted an acknowledgement that cannot be sent: %v", err)
				}
			}
		}
	})
}

// resend checks that a decoded message can be sent, and arrives the same.
func resend(t *testing.T, m *namespace.Message) {
	t.Helper()
	m.FullName = "/x"
	payload, err := AppendBroadcast(nil, Node, "u", m)
	if err != nil {
		t.Fatalf("accepted an event that cannot be sent: %v", err)
	}
	b, err := DecodeBroadcast(payload)
	if err != nil {
		t.Fatalf("%x: %v", payload, err)
	}
	again, err := b.Message("/x", 1<<30)
	if err != nil || !sameEvent(t, m, again) {
		t.Fatalf("%x: %v: %s, sent %s", payload, err, parts(again.Event), parts(m.Event))
	}
}

// sameEvent compares the values of two events: JSON has several forms for one. Numbers that are
// infinite become null on the way.
func sameEvent(t *testing.T, a, b *namespace.Message) bool {
	t.Helper()
	values := func(m *namespace.Message) ([]byte, [][]byte) {
		data, attachments, err := eventData(m.Event)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if json.Unmarshal(data, &v) != nil {
			return nil, nil // a number beyond float64
		}
		data, err = json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data, attachments
	}
	da, aa := values(a)
	db, ab := values(b)
	if da == nil || db == nil {
		return true
	}
	for i := range aa {
		if len(ab) != len(aa) || !bytes.Equal(aa[i], ab[i]) {
			return false
		}
	}
	return bytes.Equal(da, db)
}
