// Typed shows handlers with Go types: acknowledgements both ways, errors that
// the client sees and errors that it does not, binary data, and a middleware
// that asks for a token.
//
//	go run ./node/example/typed --token secret
//
// It has no page. In a folder with the npm package socket.io-client, `node`
// and then:
//
//	const socket = require("socket.io-client").io("http://127.0.0.1:8080/orders", { auth: { user: "ann", token: "secret" } })
//	socket.on("confirm", (order, total, answer) => answer(total < 100))
//	await socket.emitWithAck("order", { item: "tea", count: 3 })     // { id: 1, total: 12 }
//	await socket.emitWithAck("order", { item: "piano", count: 1 })   // { error: "you declined" }
//	await socket.emitWithAck("order", { item: "tea", count: "three" }) // { error: "argument 1 is not understood" }
//	await socket.emitWithAck("split", 1, 4)                          // 0.25; between nobody: an error
//	await socket.emitWithAck("sha256", Buffer.from("abc"))           // a Buffer of 32 bytes
//	await socket.emitWithAck("fail")                                 // { error: "internal error" }, and more in the log
//
// With a wrong token the client gets a connect_error whose data say why.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node"
)

// Order is what a client orders.
type Order struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
}

// Receipt is the answer to an order that was accepted.
type Receipt struct {
	ID    int64 `json:"id"`
	Total int   `json:"total"`
}

// Refusal is what a client whose token is wrong finds in the data of its connect_error.
type Refusal struct {
	Code string `json:"code"`
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "TCP address to serve on")
	token := flag.String("token", "", "token that clients must present (required)")
	patience := flag.Duration("patience", 10*time.Second, "how long a client may think about an order")
	flag.Parse()

	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if *token == "" {
		log.Error("--token is missing: the token that clients must present")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log, *listen, *token, *patience); err != nil {
		log.Error("typed failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, listen, token string, patience time.Duration) error {
	srv, err := node.New(node.Options{Logger: log})
	if err != nil {
		return err
	}
	shop := &shop{prices: map[string]int{"tea": 4, "piano": 5000}, patience: patience}
	srv.SetupNamespace("/orders", func(ns *namespace.Namespace, _ namespace.Match) error {
		ns.Use(checkToken(token))
		// Handlers of the namespace cost nothing per socket; the context knows whose event it is.
		ns.On("order", namespace.Handle(shop.order))
		ns.On("split", namespace.Handle2(split))
		ns.On("sha256", namespace.Handle(digest))
		ns.On("fail", func(context.Context, *namespace.Event) error {
			return errors.New("the database at 10.0.0.7 is down") // stays in the log
		})
		return nil
	})
	return srv.ListenAndServe(ctx, listen)
}

// checkToken lets those in who present the token in their handshake.
func checkToken(token string) namespace.Middleware {
	want := sha256.Sum256([]byte(token))
	return func(_ context.Context, s *namespace.Socket) error {
		var auth struct{ User, Token string }
		if err := s.Auth(&auth); err != nil {
			return &namespace.ClientError{Message: "auth is not understood", Data: Refusal{"bad_auth"}}
		}
		// Digests, so that the time it takes tells nothing of the token.
		got := sha256.Sum256([]byte(auth.Token))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			return &namespace.ClientError{Message: "wrong token", Data: Refusal{"wrong_token"}}
		}
		s.Data.Set("user", auth.User)
		return nil
	}
}

type shop struct {
	prices   map[string]int // never written to after the start
	patience time.Duration
	orders   atomic.Int64
}

// order asks the client to confirm the price. Its handler may wait: only the
// events of this very client wait with it.
func (sh *shop) order(ctx context.Context, o Order) (Receipt, error) {
	price, ok := sh.prices[o.Item]
	if !ok || o.Count < 1 || o.Count > 1000 {
		return Receipt{}, namespace.Errorf("no %d of %q here", o.Count, o.Item)
	}
	total := price * o.Count
	asked, cancel := context.WithTimeout(ctx, sh.patience)
	defer cancel()
	yes, err := namespace.Ask[bool](asked, namespace.SocketFrom(ctx), "confirm", o, total)
	switch {
	case errors.Is(err, namespace.ErrTimeout):
		return Receipt{}, namespace.Errorf("you did not confirm within %v", sh.patience)
	case err != nil:
		return Receipt{}, err // the client has gone, or answered with what is no bool
	case !yes:
		return Receipt{}, namespace.Errorf("you declined")
	}
	return Receipt{ID: sh.orders.Add(1), Total: total}, nil
}

// split takes two arguments.
func split(_ context.Context, total float64, people int) (float64, error) {
	if people < 1 {
		return 0, namespace.Errorf("nobody to split it between")
	}
	return total / float64(people), nil
}

// digest takes and returns binary data.
func digest(_ context.Context, data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	return sum[:], nil
}
