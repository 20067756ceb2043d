package sim

import (
	"fmt"
	"time"
)

// do has what each kind of step does.
var do = map[string]func(w *world, s step){
	"connect":  (*world).doConnect,
	"leave":    func(w *world, s step) { w.clients[s.a%len(w.clients)].lose() },
	"say":      func(w *world, s step) { w.say(s, "") },
	"say-room": func(w *world, s step) { w.say(s, room(s.b)) },
	"room": func(w *world, s step) {
		if c := w.clients[s.a%len(w.clients)]; c.conn != nil {
			c.conn.room(room(s.b))
		}
	},

	"cut":      func(w *world, s step) { w.cut(s, false) },
	"cut-late": func(w *world, s step) { w.cut(s, true) },
	"cut-one":  (*world).doCutOne,
	"stall-up": func(w *world, s step) {
		w.onNode(s, s.d, func(n *node) { n.up.stick(s.d) })
	},
	"stall-down": func(w *world, s step) {
		w.onNode(s, s.d, func(n *node) { n.down.stick(s.d) })
	},
	"stall-node": func(w *world, s step) {
		w.onNode(s, s.d, func(n *node) { n.up.stick(s.d); n.down.stick(s.d) })
	},
	"slow": (*world).doSlow,
	"kill": func(w *world, s step) {
		if n := w.spareNode(s); n != nil {
			w.note(s, n.name)
			w.kill(n)
		}
	},
	"stop": func(w *world, s step) {
		if n := w.spareNode(s); n != nil {
			w.note(s, n.name)
			if n.hampered(w.server()) {
				// go-redis dials under a lock that closing a subscription wants, and no virtual
				// time passes while a goroutine waits for a lock. Stops of that kind are for e2e.
				w.kill(n)
			} else {
				w.stop(n)
			}
		}
	},
	"start": (*world).doStart,

	"stall-redis": func(w *world, s step) {
		if r := w.server(); r != nil {
			w.note(s, "")
			w.disturb(s.d)
			r.path.stick(s.d)
		}
	},
	"flush": func(w *world, s step) {
		if r := w.server(); r != nil {
			w.note(s, "")
			w.disturb(0)
			r.mini.FlushAll()
		}
	},
	"script-flush": func(w *world, s step) {
		if r := w.server(); r != nil {
			w.note(s, "")
			w.disturb(0)
			w.command("SCRIPT", "FLUSH")
		}
	},
	"kill-pubsub": func(w *world, s step) {
		if r := w.server(); r != nil {
			w.note(s, "")
			w.disturb(0)
			r.cutSubscribers()
		}
	},
	"save":          (*world).doSave,
	"restart-empty": func(w *world, s step) { w.restart(s, nil) },
	"restart-old":   func(w *world, s step) { w.restart(s, w.saved) },
	"failover":      func(w *world, s step) { w.failover(s, false) },
	"promote":       func(w *world, s step) { w.failover(s, true) },
}

func room(i int) string { return fmt.Sprint("r", i%roomCount) }

// note puts a step into the trace.
func (w *world) note(s step, about string) { w.log.add("%s %s %v", s.what, about, s.d) }

func (w *world) doConnect(s step) {
	if len(w.nodes) == 0 {
		return
	}
	c := w.clients[s.a%len(w.clients)]
	c.lose()
	w.connections++
	c.connect(w.nodes[s.b%len(w.nodes)], fmt.Sprint("/n", s.b/7%spaceCount), w.connections)
}

func (w *world) say(s step, room string) {
	if c := w.clients[s.a%len(w.clients)]; c.conn != nil {
		c.conn.broadcast(room)
	}
}

func (w *world) onNode(s step, disturbed time.Duration, f func(*node)) {
	if len(w.nodes) == 0 {
		return
	}
	n := w.nodes[s.a%len(w.nodes)]
	w.note(s, n.name)
	w.disturb(disturbed)
	f(n)
}

func (w *world) cut(s step, late bool) {
	w.onNode(s, 0, func(n *node) { n.host.cut(late) })
}

func (w *world) doCutOne(s step) {
	w.onNode(s, 0, func(n *node) {
		if all := n.all(); len(all) > 0 {
			all[s.b%len(all)].cut(s.b%2 == 0)
		}
	})
}

// doSlow makes answers take up to a second, which nobody may lose anything by.
func (w *world) doSlow(s step) {
	w.onNode(s, s.d, func(n *node) {
		n.down.setLatency(time.Duration(s.b%1000) * time.Millisecond)
		time.AfterFunc(s.d, func() { n.down.setLatency(0) })
	})
}

// spareNode is one that others are left without.
func (w *world) spareNode(s step) *node {
	if len(w.nodes) < 2 {
		return nil
	}
	return w.nodes[s.a%len(w.nodes)]
}

// doStart starts a node, under the name of one that has gone or under a new one.
func (w *world) doStart(s step) {
	if len(w.nodes) >= mostNodes {
		return
	}
	name := fmt.Sprint("n", s.a%(2*mostNodes))
	for _, n := range w.nodes {
		if n.name == name {
			return
		}
	}
	w.note(s, name)
	w.disturbNode()
	w.start(name)
}

func (w *world) doSave(s step) {
	if r := w.server(); r != nil {
		w.note(s, "")
		d, err := r.save()
		if err != nil {
			w.Fatal(err)
		}
		w.saved = d
	}
}

// restart kills Redis and starts it again a while later, with what a dump has.
func (w *world) restart(s step, data dump) {
	if w.server() == nil {
		return
	}
	down := min(s.d, nodeTTL)
	w.note(s, fmt.Sprintf("with %d keys", len(data)))
	w.disturb(down)
	w.stopRedis()
	w.later(down, func() {
		if err := w.startRedis(data); err != nil {
			w.Fatal(err)
		}
	})
}

// failover gives the address to another server, which lacks the writes of the last
// moments. The old one is gone or, if a failover was planned, goes on as a replica and
// keeps its connections.
func (w *world) failover(s step, alive bool) {
	old := w.server()
	if old == nil {
		return
	}
	data, err := old.save()
	if err != nil {
		w.Fatal(err)
	}
	lost := min(s.d, 3*time.Second)
	w.note(s, "")
	w.disturb(lost)
	w.later(lost, func() {
		if w.server() != old {
			return // it was restarted meanwhile
		}
		w.log.add("another server is promoted, which lacks %v", lost)
		w.disturb(0)
		if err := w.startRedis(data); err != nil {
			w.Fatal(err)
		}
		if alive {
			old.demote(w.server())
			w.dead = append(w.dead, old)
			// What notices it by nobody's help is the nodes' own affair, and takes its time.
			w.disturb(2 * nodeTTL)
			return
		}
		old.stop()
	})
}
