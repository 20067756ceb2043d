package engineio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// dialDeflate opens a WebSocket that offers permessage-deflate, and returns the
// answer to the offer.
func (h *host) dialDeflate(query, offer string) (*wsClient, string) {
	h.t.Helper()
	opts, ok := httphead.ParseOptions([]byte(offer), nil)
	if !ok {
		h.t.Fatal("bad offer")
	}
	d := ws.Dialer{Extensions: opts, Timeout: patience}
	conn, br, hs, err := d.Dial(context.Background(), "ws"+strings.TrimPrefix(h.url(query), "http"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	c := &wsClient{t: h.t, conn: conn, br: conn}
	if br != nil {
		c.br = br
	}
	var got bytes.Buffer
	_, _ = httphead.WriteOptions(&got, hs.Extensions)
	return c, got.String()
}

func TestDeflate_Messages(t *testing.T) {
	h := listen(t, Options{Compression: true, MaxPayload: 10_000})
	c, answer := h.dialDeflate("EIO=4&transport=websocket", "permessage-deflate; client_max_window_bits")
	if !strings.Contains(answer, "server_no_context_takeover") || !strings.Contains(answer, "client_no_context_takeover") {
		t.Errorf("answer to the offer: %q", answer)
	}
	c.read()
	p := h.peer()
	large := strings.Repeat("abc", 1000)
	for range 2 { // twice: no context is taken over
		p.text(large)
		f, err := c.next()
		if err != nil || !f.Header.Rsv1() || len(f.Payload) > 200 {
			t.Fatalf("%+v, %d bytes, %v", f.Header, len(f.Payload), err)
		}
		if got, err := inflated(f.Payload, 10_000); err != nil || string(got) != "4"+large {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	p.text("small")
	check(t, "small", c.read(), "4small")
	p.Send(frame.Text([]byte(large)), frame.Flags{NoCompress: true})
	check(t, "not to be compressed", c.read(), "4"+large)

	squeezed := func(s string) ws.Frame {
		f := ws.NewTextFrame(deflated([]byte(s)))
		f.Header.Rsv = ws.Rsv(true, false, false)
		return f
	}
	c.frame(squeezed("4" + large))
	check(t, "received", receive(t, p.got).data, large)
	c.write("4plain")
	check(t, "received", receive(t, p.got).data, "plain")
	c.frame(squeezed("4" + strings.Repeat("x", 10_000))) // 30 bytes on the wire
	check(t, "bomb", c.readClose(), ws.StatusMessageTooBig)
	check(t, "reason", receive(t, p.closed), ReasonTransportError)
}

func TestDeflate_BadData(t *testing.T) {
	h := listen(t, Options{Compression: true})
	for name, f := range map[string]ws.Frame{
		"garbage":      {Header: ws.Header{Fin: true, OpCode: ws.OpText, Rsv: ws.Rsv(true, false, false), Length: 3}, Payload: []byte{0xff, 0xff, 0xff}},
		"on a ping":    {Header: ws.Header{Fin: true, OpCode: ws.OpPing, Rsv: ws.Rsv(true, false, false)}},
		"second bit":   {Header: ws.Header{Fin: true, OpCode: ws.OpText, Rsv: ws.Rsv(true, true, false)}},
		"continuation": {Header: ws.Header{Fin: true, OpCode: ws.OpContinuation, Rsv: ws.Rsv(true, false, false)}},
	} {
		c, _ := h.dialDeflate("EIO=4&transport=websocket", "permessage-deflate")
		c.read()
		c.frame(f)
		want := ws.StatusProtocolError
		if name == "garbage" {
			want = ws.StatusInvalidFramePayloadData
		}
		check(t, name, c.readClose(), want)
	}
}

// An offer that cannot be met is declined, and the connection goes on without.
func TestDeflate_Negotiation(t *testing.T) {
	h := listen(t, Options{Compression: true})
	for offer, want := range map[string]bool{
		"permessage-deflate": true, "permessage-deflate; server_max_window_bits=10": false, "permessage-deflate; nonsense=1": false,
		"x-webkit-deflate-frame": false, "permessage-deflate; server_max_window_bits=10, permessage-deflate": true,
	} {
		c, answer := h.dialDeflate("EIO=4&transport=websocket", offer)
		check(t, offer, answer != "", want)
		c.read()
		h.peer().text(strings.Repeat("x", 5000))
		f, err := c.next()
		check(t, offer, fmt.Sprint(f.Header.Rsv1(), err), fmt.Sprint(want, nil))
	}
	off := listen(t, Options{})
	_, answer := off.dialDeflate("EIO=4&transport=websocket", "permessage-deflate")
	check(t, "off", answer, "")
}

func TestDeflate_BinaryOfRevision3(t *testing.T) {
	h := listen(t, Options{Compression: true, AllowEIO3: true})
	c, _ := h.dialDeflate("EIO=3&transport=websocket", "permessage-deflate")
	c.read()
	data := bytes.Repeat([]byte{7}, 3000)
	h.peer().Send(frame.Binary(data), frame.Flags{})
	f, err := c.next()
	if err != nil {
		t.Fatal(err)
	}
	got, err := inflated(f.Payload, 10_000)
	if err != nil || !bytes.Equal(got, append([]byte{4}, data...)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func FuzzInflate(f *testing.F) {
	f.Add([]byte("hello"), 100)
	f.Fuzz(func(t *testing.T, p []byte, limit int) {
		limit = max(0, min(limit, 1<<16))
		if out, err := inflated(p, limit); err == nil && len(out) > limit {
			t.Fatalf("%d bytes, limit %d", len(out), limit)
		}
		if got, err := inflated(deflated(p), len(p)); err != nil || !bytes.Equal(got, p) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(p), err)
		}
		if len(p) > 0 {
			if _, err := inflated(deflated(p), len(p)-1); !errors.Is(err, errTooLarge) {
				t.Fatalf("beyond the limit: %v", err)
			}
		}
	})
}
