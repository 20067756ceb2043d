// Hosts serves several customers with one program: each has a host name of its
// own, and namespaces of its own on it.
//
//	go run ./node/example/hosts
//
// A client of shop.example and one of news.example may both join /room/2 and
// never meet: the full names are //shop.example/room/2 and
// //news.example/room/2. Clients come by the host name: to try it, with an
// entry in /etc/hosts or, in Node.js, with the header:
//
//	io("http://127.0.0.1:8080/room/2", { transports: ["websocket"], extraHeaders: { Host: "www.shop.example" } })
//
// A customer has the rooms, and the time for which an empty room is kept, that
// the table below says. Rooms beyond, and hosts that are no customer's, are
// refused. "www." and the port make no difference.
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// customer is what one host gets.
type customer struct {
	Name       string
	Rooms      int           // numbered from 1
	Retirement time.Duration // how long an empty room is kept
}

// customers would come from a database.
var customers = map[string]customer{
	"shop.example": {Name: "The Shop", Rooms: 20, Retirement: time.Second},
	"news.example": {Name: "The News", Rooms: 3, Retirement: 5 * time.Minute},
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "TCP address to serve on")
	flag.Parse()

	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log, *listen); err != nil {
		log.Error("hosts failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, listen string) error {
	srv, err := node.New(node.Options{
		Host:         namespace.None, // no host is the main one: each has namespaces of its own
		DropHostPort: true,
		MapHost:      func(host string) string { return strings.TrimPrefix(host, "www.") },
		Logger:       log,
	})
	if err != nil {
		return err
	}
	// Patterns are matched against full names. Of several that match, the last
	// registered counts, and an exact name counts more than any.
	srv.SetupNamespaceRegexp(regexp.MustCompile(`^//([^/]+)/room/([0-9]{1,6})$`), func(ns *namespace.Namespace, m namespace.Match) error {
		return openRoom(log, ns, m.Groups[1], m.Groups[2])
	})
	srv.SetupNamespace("//news.example/room/1", func(ns *namespace.Namespace, _ namespace.Match) error {
		return namespace.Errorf("room 1 is being painted")
	})
	return srv.ListenAndServe(ctx, listen)
}

// openRoom sets up a room of a customer, or refuses it.
func openRoom(log *slog.Logger, ns *namespace.Namespace, host, number string) error {
	c, ok := customers[host]
	if !ok {
		return namespace.Errorf("nobody of that name here")
	}
	if n, err := strconv.Atoi(number); err != nil || n < 1 || n > c.Rooms {
		return namespace.Errorf("%s has the rooms 1 to %d", c.Name, c.Rooms)
	}
	ns.SetRetirement(c.Retirement)
	ns.OnExpire(func() { log.Info("room closed", "customer", c.Name, "room", ns.FullName()) })
	ns.OnConnect(func(s *namespace.Socket) {
		if err := s.Emit("welcome", "Welcome to "+c.Name); err != nil {
			log.Debug("no welcome", "error", err) // gone already
		}
	})
	ns.On("say", func(ctx context.Context, e *namespace.Event) error {
		// Passed on to the others as it came, undecoded.
		if err := namespace.SocketFrom(ctx).Broadcast().EmitArgs("said", e.Args); err != nil {
			return err
		}
		return e.Ack()
	})
	return nil
}
