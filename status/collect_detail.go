package status

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

// setClients fills in the sockets of a namespace, and the rooms that they are in.
func (n *Namespace) setClients(clients []Client) {
	rooms := make(map[string]int)
	n.Rooms, n.Clients = []Room{}, clients
	if clients == nil {
		n.Clients = []Client{}
	}
	for i := range clients {
		c := &clients[i]
		if c.Rooms == nil {
			c.Rooms = []string{}
		}
		slices.Sort(c.Rooms)
		for _, room := range c.Rooms {
			rooms[room]++
		}
	}
	for name, sockets := range rooms {
		n.Rooms = append(n.Rooms, Room{Name: name, Sockets: sockets})
	}
	slices.SortFunc(n.Rooms, func(a, b Room) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(n.Clients, func(a, b Client) int { // in the order of their coming
		if c := a.Connected.Compare(b.Connected); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// askDetails fills in rooms and sockets, by asking the nodes, and says who did
// not answer.
func (c *Collector) askDetails(ctx context.Context, rep *Report) {
	var (
		work    sync.WaitGroup
		mu      sync.Mutex // guards missing
		missing = make(map[string]struct{})
		slots   = make(chan struct{}, askAtOnce)
	)
	for i := range rep.Namespaces {
		n := &rep.Namespaces[i]
		if !n.Occupied() {
			n.setClients(nil)
			continue
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			err := c.askDetail(ctx, n)
			if err == nil {
				return
			}
			c.log.Debug("details of a namespace", "namespace", n.FullName, "error", err)
			mu.Lock()
			defer mu.Unlock()
			for _, node := range c.silentOn(n, err) {
				missing[node] = struct{}{}
			}
		})
	}
	work.Wait()
	for node := range missing {
		rep.Missing = append(rep.Missing, node)
	}
	slices.Sort(rep.Missing)
}

// silentOn names the nodes whose sockets are not in n.
func (c *Collector) silentOn(n *Namespace, err error) []string {
	if late, ok := errors.AsType[*namespace.MissingError](err); ok {
		return late.Nodes
	}
	// The question did not get as far as the other nodes.
	var nodes []string
	for node := range n.Nodes {
		if node != c.opts.Node {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// hideSessions puts something else, by which they can be told apart, in place of ids
// that would let anybody take a connection over.
func (r *Report) hideSessions() {
	for i := range r.Namespaces {
		clients := r.Namespaces[i].Clients
		for j := range clients {
			if c := &clients[j]; c.Session {
				sum := sha256.Sum256([]byte(c.ID))
				c.ID = "hidden-" + base64.RawURLEncoding.EncodeToString(sum[:9])
			}
		}
	}
}

func (c *Collector) askDetail(ctx context.Context, n *Namespace) error {
	clients := c.opts.Local.Clients(n.FullName)
	m := &namespace.Message{Kind: namespace.KindFetch, FullName: n.FullName, Name: n.Name}
	err := c.opts.Ask(ctx, m, func(a namespace.Answer) {
		for _, i := range a.Sockets {
			clients = append(clients, Client{
				ID: i.ID, Node: a.Node, Address: i.Handshake.Address, Transport: i.Transport,
				Connected: time.UnixMilli(i.Handshake.Issued), Session: i.Handshake.V2(),
				// A Node server lists a socket's own room, too.
				Rooms: slices.DeleteFunc(i.Rooms, func(room string) bool { return room == i.ID }),
			})
		}
	})
	n.setClients(clients)
	return err
}
