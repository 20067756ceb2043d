package node_test

import (
	"context"
	"fmt"
	"log"
	"regexp"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

type Message struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

type Receipt struct {
	ID string `json:"id"`
}

func ExampleServer() {
	srv, err := node.New(node.Options{
		Redis:        "redis://localhost:6379", // empty: alone, everything in memory
		Host:         namespace.Exact("myhost.com"),
		PublicStatus: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	srv.SetupNamespace("*", func(ns *namespace.Namespace, m namespace.Match) error {
		ns.SetRetirement(max(ns.Retirement(), 30*time.Second))
		ns.OnConnect(func(s *namespace.Socket) {
			log.Print("a socket connected to ", ns.FullName())
			s.On("chat", namespace.Handle(func(ctx context.Context, m Message) (Receipt, error) {
				return Receipt{ID: m.ID}, s.Broadcast().Emit("chat", m) // the result is the acknowledgement
			}))
			s.OnDisconnect(func(reason string) { log.Print("a socket left ", ns.FullName()) })
		})
		ns.OnExpire(func() { log.Print(ns.FullName(), " was empty long enough") })
		return nil // an error refuses the namespace
	})
	err = srv.ListenAndServe(context.Background(), ":8080") // or mount srv, an http.Handler
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleServer_SetupNamespaceRegexp() {
	srv, err := node.New(node.Options{Host: namespace.Exact("myhost.com")})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close(context.Background())

	rooms := regexp.MustCompile(`/rooms/(\w+)$`)
	srv.SetupNamespaceRegexp(rooms, func(ns *namespace.Namespace, m namespace.Match) error {
		if m.Groups[1] == "attic" {
			return namespace.Errorf("no way up")
		}
		fmt.Println("set up", ns.FullName(), "for the", m.Groups[1])
		return nil
	})
	// A client's wish has the same effect, but what Of makes is permanent.
	for _, host := range []string{"", "other.com"} {
		if _, err := srv.Of("/rooms/kitchen", host); err != nil {
			fmt.Println(err)
		}
	}
	_, err = srv.Of("/rooms/attic", "")
	fmt.Println(err)
	// Output:
	// set up /rooms/kitchen for the kitchen
	// set up //other.com/rooms/kitchen for the kitchen
	// namespace: refused by its setup: no way up
}
