package namespace

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

// pack returns a message of the text form, with its attachments, in the msgpack form.
func pack(text string, attachments ...string) []byte {
	var rest []frame.Part
	for _, a := range attachments {
		rest = append(rest, frame.Part{Data: []byte(a), Binary: true})
	}
	return packet.Msgpack(frame.New(frame.Part{Data: []byte(text)}, rest...)).Part(0).Data
}

// sendPacked passes a message in the msgpack form to the client's connection.
func (p *peer) sendPacked(text string, attachments ...string) {
	p.t.Helper()
	if err := p.client.Receive(pack(text, attachments...), true); err != nil {
		p.t.Fatalf("Receive(%.80q): %v", text, err)
	}
}

// nextPacked waits for a packet in the msgpack form, and writes it as text: its type,
// namespace, id and data, and its attachments.
func (p *peer) nextPacked() string {
	p.t.Helper()
	got, done, err := new(packet.Decoder).Binary([]byte(p.next()))
	if err != nil || !done {
		p.t.Fatalf("no packet in the msgpack form: %v", err)
	}
	text := fmt.Sprint(int(got.Type)) + prefix(got.Namespace)
	if got.HasID {
		text += fmt.Sprint(got.ID)
	}
	text += string(got.Data)
	for _, a := range got.Attachments {
		text += fmt.Sprintf(" <%s>", a)
	}
	return text
}

func (p *peer) wantPacked(want string) {
	p.t.Helper()
	if got := p.nextPacked(); got != want {
		p.t.Fatalf("got %s, want %s", got, want)
	}
}

// joinPacked is join for a client that speaks msgpack.
func (p *peer) joinPacked(name string) *Socket {
	p.t.Helper()
	p.sendPacked("0" + prefix(name))
	if got := p.nextPacked(); !strings.HasPrefix(got, "0"+prefix(name)+`{"sid":"`) {
		p.t.Fatalf("got %s, want to be admitted to %s", got, name)
	}
	return p.client.Sockets()[len(p.client.Sockets())-1]
}

func TestMsgpack_BesideText(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	text, packed, other := newPeer(t, r, dial{}), newPeer(t, r, dial{}), newPeer(t, r, dial{})
	text.join("/chat")
	packed.joinPacked("/chat")
	other.joinPacked("/chat")

	ns := r.Lookup("/chat")
	if err := ns.Emit("news", 1, map[string]any{"b": []byte("bin")}, "é"); err != nil {
		t.Fatal(err)
	}
	text.want(`51-/chat,["news",1,{"b":{"_placeholder":true,"num":0}},"é"]`)
	const want = `2/chat,["news",1,{"b":{"_placeholder":true,"num":0}},"é"] <bin>`
	packed.wantPacked(want)
	other.wantPacked(want)
	last := func(p *peer) *frame.Frame { return p.conn.frames[len(p.conn.frames)-1] }
	if last(packed) != last(other) || packet.Msgpack(last(text)) != last(packed) {
		t.Error("the msgpack form was made for each receiver")
	}
}

func TestMsgpack_EventsAndAcknowledgements(t *testing.T) {
	r := newRegistry(t, Options{})
	auth := make(chan string, 1)
	gone := make(chan string, 1)
	r.Setup("*", func(ns *Namespace, _ Match) error {
		ns.On("echo", func(_ context.Context, e *Event) error { return e.AckArgs(e.Args) })
		ns.OnConnect(func(s *Socket) {
			auth <- string(s.auth)
			s.OnDisconnect(func(reason string) { gone <- reason })
		})
		return nil
	})
	p := newPeer(t, r, dial{})
	p.sendPacked(`0/chat,{"token":"t"}`)
	p.nextPacked()
	if got := receive(t, auth); got != `{"token":"t"}` {
		t.Errorf("auth %s", got)
	}
	p.sendPacked(`51-/chat,7["echo",{"_placeholder":true,"num":0},[1]]`, "bin")
	p.wantPacked(`3/chat,7[{"_placeholder":true,"num":0},[1]] <bin>`)

	s := p.client.Sockets()[0]
	answer := make(chan string, 1)
	go func() {
		args, err := s.EmitWithAck(t.Context(), "ask", 1)
		if err != nil {
			t.Error(err)
			args = &Args{}
		}
		answer <- string(args.At(0).JSON())
	}()
	id := strings.TrimSuffix(strings.TrimPrefix(p.nextPacked(), "2/chat,"), `["ask",1]`)
	p.sendPacked(`3/chat,` + id + `["yes"]`)
	if got := receive(t, answer); got != `"yes"` {
		t.Errorf("answered %s", got)
	}
	s.Disconnect(false)
	p.wantPacked(`1/chat,`)
	receive(t, gone)
	p.joinPacked("/more")
	receive(t, auth)
	p.sendPacked(`1/more,`)
	if got := receive(t, gone); got != ReasonClientLeft {
		t.Errorf("left for %q", got)
	}
}

func TestMsgpack_Refusal(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", func(ns *Namespace, _ Match) error {
		ns.Use(func(context.Context, *Socket) error {
			return &ClientError{Message: "not you", Data: map[string]any{"code": 7}}
		})
		return nil
	})
	p := newPeer(t, r, dial{})
	p.sendPacked("0/chat,")
	p.wantPacked(`4/chat,{"message":"not you","data":{"code":7}}`)
}

// A client speaks one of the forms, from its first message on.
func TestMsgpack_Mixed(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Setup("*", accept)
	packed := newPeer(t, r, dial{})
	packed.joinPacked("/")
	if err := packed.client.Receive([]byte(`2["a"]`), false); !errors.Is(err, packet.ErrUnexpectedText) {
		t.Errorf("text of a client that speaks msgpack: %v", err)
	}
	text := newPeer(t, r, dial{})
	text.join("/")
	if err := text.client.Receive(pack(`2["a"]`), true); !errors.Is(err, packet.ErrUnexpectedBinary) {
		t.Errorf("msgpack of a client that speaks text: %v", err)
	}
	old := newPeer(t, r, dial{protocol: 3})
	if err := old.client.Receive(pack(`0`), true); !errors.Is(err, packet.ErrUnexpectedBinary) {
		t.Errorf("msgpack of a client of Socket.IO v2: %v", err)
	}
	early := newPeer(t, r, dial{})
	if err := early.client.Receive(pack(`2["a"]`), true); err != nil {
		t.Errorf("an event before any CONNECT: %v", err)
	}
	early.wantClosed(ReasonForcedClose)
	for _, bad := range []string{"", "\x80", "\xc1", "2[\"a\"]"} {
		if err := newPeer(t, r, dial{}).client.Receive([]byte(bad), true); err == nil {
			t.Errorf("%q is taken for a packet", bad)
		}
	}
}

// What a broadcast to 1000 clients costs that speak msgpack.
func BenchmarkBroadcast_1000Msgpack(b *testing.B) {
	r := benchRegistry(b, accept)
	clients := make([]*Client, 1000)
	for i := range clients {
		clients[i] = benchClient(b, r, nullConn{})
		if err := clients[i].Receive(pack("0"), true); err != nil {
			b.Fatal(err)
		}
	}
	for r.Lookup("/") == nil || r.Lookup("/").SocketCount() != len(clients) {
		time.Sleep(time.Millisecond)
	}
	ns := r.Lookup("/")
	b.ReportAllocs()
	for b.Loop() {
		if err := ns.Emit("news", "some text of a common length", 12345); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/delivery")
	for _, c := range clients {
		c.Closed(ReasonTransportClose)
	}
	_ = r.Close(context.Background())
}

// An event echoed as an acknowledgement, in either form.
func BenchmarkEcho(b *testing.B) {
	for _, packed := range []bool{false, true} {
		b.Run(map[bool]string{false: "text", true: "msgpack"}[packed], func(b *testing.B) {
			r := benchRegistry(b, func(ns *Namespace, _ Match) error {
				ns.On("echo", func(_ context.Context, e *Event) error { return e.AckArgs(e.Args) })
				return nil
			})
			echoed := nullConn{got: make(chan struct{}, 1)}
			c := benchClient(b, r, echoed)
			connect, event := []byte("0"), []byte(`21["echo",{"id":12345,"text":"hello, everybody in this room"}]`)
			if packed {
				connect, event = pack(string(connect)), pack(string(event))
			}
			send := func(message []byte) {
				if err := c.Receive(message, packed); err != nil {
					b.Fatal(err)
				}
				<-echoed.got
			}
			send(connect)
			b.ReportAllocs()
			for b.Loop() {
				send(event)
			}
			c.Closed(ReasonTransportClose)
			_ = r.Close(context.Background())
		})
	}
}
