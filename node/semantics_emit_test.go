package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// members joins n clients to "/", every other one over polling; all are in
// their rooms: those named by their letters, a client's letter is a, b, c...
func (s *testServer) members(n int, rooms map[string]string) (cs []*client, ss []*namespace.Socket) {
	s.t.Helper()
	for i := range n {
		c, sock := s.member(how{polling: i%2 == 1})
		cs, ss = append(cs, c), append(ss, sock)
		for room, letters := range rooms {
			if strings.Contains(letters, string(rune('a'+i))) {
				if err := sock.Join(room); err != nil {
					s.t.Fatal(err)
				}
			}
		}
	}
	return cs, ss
}

// Who gets a broadcast: To, In, Except, own rooms, the socket itself; each once.
func TestAPI_BroadcastAddressing(t *testing.T) {
	srv := start(t, node.Options{})
	cs, ss := srv.members(4, map[string]string{"ab": "ab", "bc": "bc", "d": "d"})
	a, main := ss[0], srv.Main()
	for name, tc := range map[string]struct {
		to   namespace.Broadcast
		want string
	}{
		"all":                   {main.All(), "abcd"},
		"room":                  {main.To("ab"), "ab"},
		"rooms, each once":      {main.To("ab").In("bc"), "abc"},
		"except":                {main.Except("bc"), "ad"},
		"room except room":      {main.To("ab").Except("bc"), "a"},
		"no such room":          {main.To("none"), ""},
		"except no such room":   {main.Except("none"), "abcd"},
		"own room":              {main.To(ss[3].Room()), "d"},
		"own room and its room": {main.To(ss[3].ID(), "d"), "d"},
		"except own room":       {main.Except(ss[3].Room()), "abc"},
		"of a socket":           {a.Broadcast(), "bcd"},
		"of a socket to a room": {a.To("ab"), "b"},
		"of a socket, in":       {a.In("ab", "d"), "bd"},
		"of a socket, except":   {a.Except("bc"), "d"},
		"local":                 {main.Local().To("bc"), "bc"},
		"of a socket, local":    {a.Local(), "bcd"},
		"not compressed":        {main.Compress(false).To("d"), "d"},
	} {
		if err := tc.to.Emit("e", name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, c := range cs {
			var want []string
			if strings.Contains(tc.want, string(rune('a'+i))) {
				want = []string{fmt.Sprintf(`2["e",%q]`, name)}
			}
			if got := c.rest(); !slices.Equal(got, want) {
				t.Errorf("%s: client %c received %q, want %q", name, 'a'+i, got, want)
			}
		}
	}
}

// A Broadcast is a value: what is derived from it does not change it.
func TestAPI_BroadcastIsAValue(t *testing.T) {
	srv := start(t, node.Options{})
	cs, _ := srv.members(2, map[string]string{"a": "a", "b": "b"})
	base := srv.Main().To("none").To("nobody").To("nowhere")
	toA, toB := base.To("a"), base.To("b")
	_ = toA.Emit("a")
	_ = toB.Emit("b")
	cs[0].want(`2["a"]`)
	cs[1].want(`2["b"]`)
	cs[0].wantNothing()
	cs[1].wantNothing()
	not := srv.Main().Except("none").Except("nobody").Except("nowhere")
	notA, notB := not.Except("a"), not.Except("b")
	_ = notA.Emit("b")
	_ = notB.Emit("a")
	cs[0].want(`2["a"]`)
	cs[1].want(`2["b"]`)
}

// Leaving rooms, one's own among them; joining is done when Join returns; limits refuse all of a call.
func TestAPI_Rooms(t *testing.T) {
	srv := start(t, node.Options{Limits: namespace.Options{MaxRooms: 3}})
	cs, ss := srv.members(1, nil)
	c, s, main := cs[0], ss[0], srv.Main()
	if err := s.Join("x", "y"); err != nil {
		t.Fatal(err)
	}
	_ = main.To("x").Emit("1")
	c.want(`2["1"]`)
	if err := s.Join("z", "zz"); !errors.Is(err, namespace.ErrLimit) || s.InRoom("z") {
		t.Errorf("join beyond the limit: %v", err)
	}
	s.Leave("x", "never joined")
	rooms := s.Rooms()
	if !slices.Equal(rooms, []string{"y"}) || main.Rooms()["y"] != 1 || main.Rooms()["x"] != 0 {
		t.Errorf("rooms of the socket %q, of the namespace %v", rooms, main.Rooms())
	}
	s.Leave(s.Room())
	_ = main.To("x", s.Room()).Emit("2")
	c.wantNothing()
	_ = s.Join(s.Room())
	_ = main.To(s.Room()).Emit("3")
	c.want(`2["3"]`)
	c.leave("/")
	waitFor(t, "the rooms are gone", func() bool { return len(main.Rooms()) == 0 && main.SocketCount() == 0 })
	if err := s.Join("late"); !errors.Is(err, namespace.ErrDisconnected) {
		t.Errorf("join after the end: %v", err)
	}
}

// What one goroutine emits reaches each receiver in the order of the calls, whatever the way.
func TestAPI_OrderOfEmits(t *testing.T) {
	const n = 300
	srv := start(t, node.Options{})
	cs, ss := srv.members(2, map[string]string{"r": "ab"})
	for i := range n {
		switch i % 4 {
		case 0:
			_ = srv.Main().Emit("n", i)
		case 1:
			_ = srv.Main().To("r").Emit("n", i)
		case 2:
			_ = srv.Main().Emit("n", i, []byte{1})
		case 3:
			_, _ = ss[0].Emit("n", i), ss[1].Emit("n", i)
		}
	}
	for _, c := range cs {
		for i := range n {
			if i%4 == 2 {
				c.want(fmt.Sprintf(`51-["n",%d,{"_placeholder":true,"num":0}]`, i), "\x00\x01")
				continue
			}
			c.want(fmt.Sprintf(`2["n",%d]`, i))
		}
	}
}

// A volatile event is dropped for a client that cannot take it at once, others are not.
func TestAPI_Volatile(t *testing.T) {
	srv := start(t, node.Options{})
	c := srv.connect(how{polling: true})
	s := srv.Main().Socket(c.join("/"))
	// Between two GETs a polling client cannot take anything at once: the
	// first event ends the GET that waits.
	dropped := false
	for i := 0; i < 1000 && !dropped; i++ {
		_ = s.Emit("kept", i)
		if err := s.Volatile().Emit("volatile", i); err != nil {
			t.Fatal(err)
		}
		got := c.rest()
		if want := fmt.Sprintf(`2["kept",%d]`, i); len(got) == 0 || got[0] != want {
			t.Fatalf("received %q, want %s first", got, want)
		}
		dropped = len(got) == 1
	}
	if !dropped {
		t.Error("no volatile event was dropped")
	}
	ws, _ := srv.member(how{})
	waitFor(t, "a volatile event reaches a client that is idle", func() bool {
		_ = srv.Main().Volatile().Emit("v")
		return slices.Contains(ws.rest(), `2["v"]`)
	})
}

// A server asks one client: the answer, a timeout, a context, a client that goes.
func TestAPI_EmitWithAck(t *testing.T) {
	_, c, s := inMain(t, node.Options{})
	type result struct {
		v   message
		err error
	}
	ask := func(ctx context.Context, e namespace.Emitter) (id string, got chan result) {
		got = make(chan result, 1)
		go func() { // ends with the answer
			var m message
			args, err := e.EmitWithAck(ctx, "q", 1)
			if err == nil {
				err = args.Bind(&m)
			}
			got <- result{m, err}
		}()
		id, _ = strings.CutSuffix(strings.TrimPrefix(c.next(), "2"), `["q",1]`)
		return id, got
	}
	id, got := ask(t.Context(), s.Timeout(time.Hour))
	c.send(`61-`+id+`[{"id":3,"blob":{"_placeholder":true,"num":0}}]`, "\x00\x05")
	if r := receive(t, got); r.err != nil || r.v.ID != 3 || string(r.v.Blob) != "\x05" {
		t.Errorf("answer %+v", r)
	}
	c.send(`3` + id + `["again"]`) // nobody waits
	_, got = ask(t.Context(), s.Timeout(time.Millisecond))
	if r := receive(t, got); !errors.Is(r.err, namespace.ErrTimeout) {
		t.Errorf("after the timeout: %v", r.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, got = ask(ctx, s.Compress(true))
	cancel()
	if r := receive(t, got); !errors.Is(r.err, namespace.ErrTimeout) {
		t.Errorf("after the context: %v", r.err)
	}
	_, got = ask(t.Context(), s.Timeout(0))
	c.close()
	if r := receive(t, got); !errors.Is(r.err, namespace.ErrDisconnected) {
		t.Errorf("after the end: %v", r.err)
	}
	if _, err := s.EmitWithAck(t.Context(), "q"); !errors.Is(err, namespace.ErrDisconnected) {
		t.Errorf("asked after the end: %v", err)
	}
}

// A broadcast with acknowledgements has a result for each client: answered, silent, gone.
func TestAPI_BroadcastEmitWithAck(t *testing.T) {
	inBubble(t, node.Options{NodeID: "n"}, broadcastEmitWithAck)
}

func broadcastEmitWithAck(t *testing.T, srv *testServer, _ *journal) {
	cs, ss := srv.members(4, map[string]string{"r": "abcd"})
	answer := func(c *client, with string) {
		id, ok := strings.CutSuffix(strings.TrimPrefix(c.next(), "2"), `["q"]`)
		if !ok {
			t.Errorf("client was asked %q", id)
		}
		if with != "" {
			c.send(`3` + id + with)
		}
	}
	type result struct {
		replies []namespace.Reply
		err     error
	}
	ask := func(b namespace.Broadcast) chan result {
		got := make(chan result, 1)
		go func() { // ends with the answers or the timeout
			replies, err := b.EmitWithAck(context.Background(), "q")
			got <- result{replies, err}
		}()
		return got
	}
	got := ask(srv.Main().To("r"))
	for i, c := range cs {
		answer(c, fmt.Sprintf("[%d]", i))
	}
	r := receive(t, got)
	if r.err != nil || len(r.replies) != 4 {
		t.Fatalf("%d replies, %v", len(r.replies), r.err)
	}
	for _, reply := range r.replies {
		var i int
		if err := reply.Args.Bind(&i); err != nil || reply.SocketID != ss[i].ID() || reply.Node != "n" || reply.Err != nil {
			t.Errorf("reply %+v, %v", reply, err)
		}
	}

	got = ask(ss[0].Broadcast().Timeout(300 * time.Millisecond)) // b answers, c is silent, d goes
	answer(cs[1], `["ok"]`)
	answer(cs[2], "")
	answer(cs[3], "")
	cs[3].leave("/")
	cs[0].wantNothing()
	r = receive(t, got)
	byID := map[string]error{}
	for _, reply := range r.replies {
		byID[reply.SocketID] = reply.Err
	}
	if !errors.Is(r.err, namespace.ErrTimeout) || len(byID) != 3 || byID[ss[1].ID()] != nil ||
		!errors.Is(byID[ss[2].ID()], namespace.ErrTimeout) || !errors.Is(byID[ss[3].ID()], namespace.ErrDisconnected) {
		t.Errorf("replies %+v, %v", r.replies, r.err)
	}
	if replies, err := srv.Main().To("none").EmitWithAck(t.Context(), "q"); err != nil || len(replies) > 0 {
		t.Errorf("asked nobody: %v, %v", replies, err)
	}
}

// FetchSockets describes sockets; what it returns can be acted on.
func TestAPI_FetchSockets(t *testing.T) {
	srv := start(t, node.Options{NodeID: "n"})
	cs, ss := srv.members(3, map[string]string{"r": "ab", "q": "a"})
	ss[0].Data.Set("name", "ann")
	all, err := srv.Main().FetchSockets(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatalf("%d sockets, %v", len(all), err)
	}
	found, err := srv.Main().To("q").FetchSockets(t.Context())
	if err != nil || len(found) != 1 {
		t.Fatalf("%d sockets in q, %v", len(found), err)
	}
	f := found[0]
	slices.Sort(f.Rooms)
	if f.ID != ss[0].ID() || f.Node != "n" || !slices.Equal(f.Rooms, []string{"q", "r"}) || f.Transport != "websocket" ||
		string(f.Data) != `{"name":"ann"}` || f.Handshake.Address != "127.0.0.1" || f.Handshake.Query["EIO"] != "4" {
		t.Errorf("socket %+v", f)
	}
	if !json.Valid(f.Data) {
		t.Errorf("data %q is no JSON", f.Data)
	}
	_ = f.Emit("hi")
	cs[0].want(`2["hi"]`)
	_ = f.Join("new")
	_ = f.Leave("q")
	if rooms := ss[0].Rooms(); !slices.Contains(rooms, "new") || slices.Contains(rooms, "q") {
		t.Errorf("rooms %q", rooms)
	}
	_ = f.Disconnect(false)
	cs[0].want("1")
	if found, err := srv.Main().Local().FetchSockets(t.Context()); err != nil || len(found) != 2 {
		t.Errorf("%d sockets are left, %v", len(found), err)
	}
}

// SocketsJoin, SocketsLeave and DisconnectSockets do to all that are addressed what they say.
func TestAPI_CommandsToSockets(t *testing.T) {
	srv := start(t, node.Options{})
	cs, ss := srv.members(4, map[string]string{"ab": "ab", "cd": "cd"})
	main := srv.Main()
	_ = main.To("ab").SocketsJoin("x", "y")
	_ = main.Except("ab").SocketsLeave("cd")
	if rooms := main.Rooms(); rooms["x"] != 2 || rooms["y"] != 2 || rooms["cd"] != 0 || !ss[0].InRoom("y") || ss[2].InRoom("x") {
		t.Errorf("rooms %v", rooms)
	}
	if err := main.To("x").Except(ss[0].Room()).DisconnectSockets(false); err != nil {
		t.Error(err)
	}
	cs[1].want("1")
	cs[1].join("/") // its connection lives on
	cs[0].wantNothing()
	if err := main.To(ss[2].Room()).DisconnectSockets(true); err != nil {
		t.Error(err)
	}
	cs[2].want("1")
	cs[2].wantClosed()
	cs[3].wantNothing()
}

// What cannot be encoded is refused, and nobody gets anything.
func TestAPI_EmitErrors(t *testing.T) {
	srv, c, s := inMain(t, node.Options{})
	for _, event := range []string{"connect", "disconnect", "connect_error", "newListener"} {
		if s.Emit(event) == nil || srv.Main().Emit(event) == nil {
			t.Errorf("the reserved event %q was sent", event)
		}
	}
	if s.Emit("e", make(chan int)) == nil || srv.Main().Emit("e", func() {}) == nil {
		t.Error("what is no JSON was sent")
	}
	if _, err := s.EmitWithAck(t.Context(), "e", make(chan int)); err == nil {
		t.Error("what is no JSON was asked")
	}
	c.wantNothing()
}
