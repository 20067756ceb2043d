package bus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/namespace"
)

// A few sockets with long headers, or in many rooms, once kept all sockets of their namespace from being seen.
func TestBus_LargeSocketsAreDescribedInShort(t *testing.T) {
	s := redistest.Start(t)
	a, b := start(t, s, "a"), start(t, s, "b", func(o *Options) { o.MaxMessage = 2000 })
	a.enter("/x")
	b.enter("/x")
	long := strings.Repeat("x", 3000)
	for what, tc := range map[string]struct {
		large namespace.SocketInfo
		rooms []string // of the other socket
	}{
		"headers": {namespace.SocketInfo{Handshake: namespace.HandshakeInfo{Headers: map[string]string{"x": long}}}, []string{"r"}},
		"auth":    {namespace.SocketInfo{Handshake: namespace.HandshakeInfo{Auth: []byte(`"` + long + `"`)}}, []string{"r"}},
		"url":     {namespace.SocketInfo{Handshake: namespace.HandshakeInfo{URL: "/?EIO=3&x=" + long}}, []string{"r"}},
		"data":    {namespace.SocketInfo{Data: []byte(`{"x":"` + long + `"}`)}, []string{"r"}},
		"rooms":   {namespace.SocketInfo{Rooms: []string{long}}, nil},
	} {
		tc.large.ID = "large"
		b.onAnswer(func(_ context.Context, _ *namespace.Message, reply func(namespace.Answer)) {
			reply(namespace.Answer{Sockets: []namespace.SocketInfo{tc.large, {
				ID: "other", Rooms: []string{"r"}, Handshake: namespace.HandshakeInfo{Address: "10.0.0.9", Issued: 7},
			}}})
		})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var got []namespace.SocketInfo
		err := a.Ask(ctx, &namespace.Message{Kind: namespace.KindFetch, FullName: "/x"}, func(a namespace.Answer) { got = append(got, a.Sockets...) })
		cancel()
		if missing, ok := errors.AsType[*namespace.MissingError](err); !ok || !slices.Equal(missing.Nodes, []string{"b"}) {
			t.Errorf("%s: %v, want that b did not say all", what, err)
		}
		if len(got) != 2 || got[0].ID != "large" || got[1].ID != "other" {
			t.Errorf("%s: sockets %+v", what, got)
			continue
		}
		rooms := slices.DeleteFunc(got[1].Rooms, func(r string) bool { return r == "other" })
		if h := got[1].Handshake; h.Address != "10.0.0.9" || h.Issued != 7 || !slices.Equal(rooms, tc.rooms) {
			t.Errorf("%s: the other socket is %+v", what, got[1])
		}
		if what == "url" && !strings.Contains(got[0].Handshake.URL, "EIO=3") {
			t.Errorf("it is not seen that the socket is one of an old protocol: %q", got[0].Handshake.URL)
		}
	}
}
