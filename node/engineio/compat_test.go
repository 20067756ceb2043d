package engineio

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/namespace/frame"
)

// A polling answer has at most 16 packets, which is what Python's clients take;
// the parts of a large event come with several answers.
func TestPolling_AnswersHaveAFewPackets(t *testing.T) {
	h := listen(t, Options{AllowEIO3: true})
	p := h.polling()
	for i := range 40 {
		p.text(fmt.Sprint(i))
	}
	parts := []frame.Part{{Data: []byte("event")}}
	for range 36 {
		parts = append(parts, frame.Part{Data: []byte{1}, Binary: true})
	}
	p.Send(frame.New(parts[0], parts[1:]...), frame.Flags{})
	p.text("end")
	var all []string
	for len(all) < 40+37+1 {
		packets := strings.Split(p.get().body, "\x1e")
		if len(packets) > 16 {
			t.Fatalf("%d packets in one answer", len(packets))
		}
		all = append(all, packets...)
	}
	for i, packet := range all {
		want := "bAQ=="
		switch {
		case i < 40:
			want = fmt.Sprint("4", i)
		case i == 40:
			want = "4event"
		case i == 40+37:
			want = "4end"
		}
		check(t, fmt.Sprint("packet ", i), packet, want)
	}
	h.eventually("an empty queue", func() bool { _, queued := p.Queue(); return queued == 0 })
}

// What is left of an event goes over the WebSocket that takes over.
func TestUpgrade_InTheMidstOfAnEvent(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	parts := make([]frame.Part, 20)
	for i := range parts {
		parts[i] = frame.Part{Data: []byte{byte('a' + i)}, Binary: true}
	}
	p.Send(frame.New(frame.Part{Data: []byte("event")}, parts...), frame.Flags{})
	check(t, "packets", strings.Count(p.get().body, "\x1e"), 15)
	c := h.dial("EIO=4&transport=websocket&sid=" + p.sid)
	c.write("2probe")
	check(t, "probe", c.read(), "3probe")
	c.write("5")
	for _, part := range parts[15:] {
		check(t, "part", c.read(), string(part.Data))
	}
}

// All that is queued comes with the GETs that follow each other, also when the
// session has been closed.
func TestPolling_CloseAfterManyPackets(t *testing.T) {
	h := listen(t, Options{})
	p := h.polling()
	for range 40 {
		p.text("x")
	}
	p.Close("enough")
	got := 0
	for {
		a := p.get()
		if a.body == "1" {
			break
		}
		check(t, "status", a.status, 200)
		got += strings.Count(a.body, "4x")
	}
	check(t, "messages", got, 40)
}

// rawHandshake asks for a WebSocket with these header lines.
func (h *host) rawHandshake(query string, lines ...string) *http.Response {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.web.Listener.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /socket.io/?%s HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n\r\n",
		query, strings.Join(lines, "\r\n"))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return res
}

// A list header may come on several lines (RFC 9110, 5.3).
func TestWebSocket_ListHeaders(t *testing.T) {
	h := listen(t, Options{Compression: true})
	const q = "EIO=4&transport=websocket"
	for name, lines := range map[string][]string{
		"one line":            {"Connection: keep-alive, Upgrade", "Upgrade: websocket"},
		"two lines":           {"Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"},
		"the other order":     {"Connection: upgrade", "Connection: keep-alive", "Upgrade: WebSocket"},
		"several protocols":   {"Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"},
		"protocols in one":    {"Connection: Upgrade", "Upgrade: h2c, websocket"},
		"extensions in two":   {"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Extensions: x-unknown", "Sec-WebSocket-Extensions: permessage-deflate"},
		"subprotocols in two": {"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"},
	} {
		res := h.rawHandshake(q, lines...)
		check(t, name, res.StatusCode, 101)
		if strings.HasPrefix(name, "extensions") {
			check(t, name, strings.HasPrefix(res.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate"), true)
		}
	}
	check(t, "no upgrade", h.rawHandshake(q, "Connection: keep-alive", "Upgrade: websocket").StatusCode, 400)
}

// The first subprotocol that a client offers is answered, as Node's ws does;
// browsers close the connection otherwise.
func TestWebSocket_Subprotocol(t *testing.T) {
	h := listen(t, Options{})
	for offer, want := range map[string]string{"any": "any", "a, b": "a", "a,b": "a"} {
		res := h.rawHandshake("EIO=4&transport=websocket", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: "+offer)
		check(t, offer, fmt.Sprint(res.StatusCode, res.Header["Sec-Websocket-Protocol"]), fmt.Sprint(101, []string{want}))
	}
	res := h.rawHandshake("EIO=4&transport=websocket", "Connection: Upgrade", "Upgrade: websocket")
	check(t, "none offered", len(res.Header["Sec-Websocket-Protocol"]), 0)
	p := h.polling()
	h.peer()
	res = h.rawHandshake("EIO=4&transport=websocket&sid="+p.sid, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: any")
	check(t, "upgrade", res.Header.Get("Sec-WebSocket-Protocol"), "any")
}

// A request without EIO is one of revision 3, as in Node; JSONP is refused by
// its name; a body that is too large gets Node's answer, which has none.
func TestServer_OldClients(t *testing.T) {
	h := listen(t, Options{AllowEIO3: true, MaxPayload: 100})
	a := h.do("GET", "transport=polling", "")
	check(t, "no EIO", a.status, 200)
	p := h.peer()
	check(t, "protocol", p.Protocol(), 3)
	check(t, "POST", h.do("POST", "transport=polling&sid="+p.ID(), "2:4a").body, "ok")
	check(t, "received", receive(t, p.got).data, "a")
	a = h.do("GET", "EIO=3&transport=polling&j=0", "")
	check(t, "JSONP", fmt.Sprint(a.status, a.body), `400{"code":3,"message":"JSONP polling is not supported"}`)
	check(t, "counted", h.Stats().Refused["jsonp"], 1)
	a = h.do("POST", "transport=polling&sid="+p.ID(), strings.Repeat("x", 101))
	check(t, "too large", fmt.Sprintf("%d %q %s", a.status, a.body, a.header.Get("Content-Length")), `413 "" 0`)

	strict := listen(t, Options{})
	check(t, "no EIO, revision 3 off", strict.do("GET", "transport=polling", "").body, `{"code":5,"message":"Unsupported protocol version"}`)
}
