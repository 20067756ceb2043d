package bus

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/cluster/redistest"
	"github.com/dynamicio/dynamicio/e2e/leaktest"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/namespace/frame"
	"github.com/dynamicio/dynamicio/namespace/packet"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience is how long a test waits for what must happen. It is long, since nothing waits for it
// but a test that fails.
const patience = time.Minute

// ownChannels is how many channels a bus listens to that is in no namespace: the probe's, and the
// announcements'.
const ownChannels = 2

// testNode is a bus and what was delivered to it.
type testNode struct {
	*Bus
	t  *testing.T
	id string

	mu      sync.Mutex // guards the rest
	got     []string   // messages, as show writes them
	answer  func(ctx context.Context, m *namespace.Message, reply func(namespace.Answer))
	deliver func(m *namespace.Message)
	changed chan struct{} // holds one after a change of got
}

func (n *testNode) Retire(string, uint64)                   {}
func (n *testNode) Retired(string, uint64)                  {}
func (n *testNode) Adopt(string, uint64)                    {}
func (n *testNode) Count(string) (int, time.Duration, bool) { return 0, 0, false }

func (n *testNode) Deliver(m *namespace.Message) {
	n.mu.Lock()
	n.got = append(n.got, show(m))
	deliver := n.deliver
	n.mu.Unlock()
	signal(n.changed)
	if deliver != nil {
		deliver(m)
	}
}

func (n *testNode) Answer(ctx context.Context, m *namespace.Message, reply func(namespace.Answer)) {
	n.mu.Lock()
	n.got = append(n.got, "asked "+show(m))
	answer := n.answer
	n.mu.Unlock()
	signal(n.changed)
	if answer != nil {
		answer(ctx, m, reply)
		return
	}
	reply(namespace.Answer{Node: n.id})
}

// onAnswer and onDeliver say what the node does from now on.
func (n *testNode) onAnswer(f func(context.Context, *namespace.Message, func(namespace.Answer))) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = f
}

func (n *testNode) onDeliver(f func(*namespace.Message)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deliver = f
}

// show writes a message in one line.
func show(m *namespace.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", m.Kind, m.Name)
	if m.FullName != m.Name {
		b.WriteString(" full:" + m.FullName)
	}
	if m.Rooms != nil {
		fmt.Fprintf(&b, " to:%v", m.Rooms)
	}
	if m.Except != nil {
		fmt.Fprintf(&b, " except:%v", m.Except)
	}
	if m.To != nil {
		fmt.Fprintf(&b, " rooms:%v", m.To)
	}
	if m.Close {
		b.WriteString(" close")
	}
	if m.Flags != (frame.Flags{}) {
		fmt.Fprintf(&b, " %+v", m.Flags)
	}
	for i := range frames(m.Event) {
		if p := m.Event.Part(i); p.Binary {
			fmt.Fprintf(&b, " <%x>", p.Data)
		} else {
			fmt.Fprintf(&b, " %s", p.Data)
		}
	}
	return b.String()
}

func frames(f *frame.Frame) int {
	if f == nil {
		return 0
	}
	return f.Len()
}

// messages waits for n messages, and then a moment for more that must not come.
func (n *testNode) messages(want int) []string {
	n.t.Helper()
	deadline := time.After(patience)
	for {
		n.mu.Lock()
		got := slices.Clone(n.got)
		n.mu.Unlock()
		if len(got) >= want {
			return got
		}
		select {
		case <-n.changed:
		case <-deadline:
			n.t.Fatalf("%s: %d messages, want %d: %.2000v", n.id, len(got), want, got)
		}
	}
}

// expect waits for these messages, and for no more: it publishes a mark that comes behind them.
func (n *testNode) expect(from *testNode, full string, want ...string) {
	n.t.Helper()
	mark := broadcast(full, "mark")
	if err := from.Publish(mark); err != nil {
		n.t.Fatal(err)
	}
	all := append(slices.Clone(want), show(&namespace.Message{FullName: full, Name: mark.Name, Event: mark.Event}))
	got := n.messages(len(all))
	if !slices.Equal(got, all) {
		n.t.Errorf("%s got\n %s\nwant\n %s", n.id, strings.Join(got, "\n "), strings.Join(all, "\n "))
	}
	n.forget()
}

func (n *testNode) forget() {
	n.mu.Lock()
	n.got = nil
	n.mu.Unlock()
}

func (n *testNode) enter(full string) {
	n.t.Helper()
	n.wait(n.Enter(full))
}

func (n *testNode) wait(wait func(context.Context) error) {
	n.t.Helper()
	if wait == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := wait(ctx); err != nil {
		n.t.Fatalf("%s: %v", n.id, err)
	}
}

func (n *testNode) publish(m *namespace.Message) {
	n.t.Helper()
	if err := n.Publish(m); err != nil {
		n.t.Fatal(err)
	}
}

// broadcast makes a broadcast of an event.
func broadcast(full, name string, args ...any) *namespace.Message {
	_, short := namespace.SplitFullName(full)
	f, err := packet.Encode(packet.Header{Type: packet.Event, Namespace: short}, append([]any{name}, args...)...)
	if err != nil {
		panic(err)
	}
	return &namespace.Message{Kind: namespace.KindBroadcast, FullName: full, Name: short, Event: f}
}

func argsOf(values ...any) *namespace.Args {
	f, err := packet.Encode(packet.Header{Type: packet.Ack}, values...)
	if err != nil {
		panic(err)
	}
	d := packet.Decoder{MaxAttachments: f.Len()}
	p, done, err := d.Text(f.Part(0).Data)
	for i := 1; err == nil && !done && i < f.Len(); i++ {
		p, _, err = d.Binary(f.Part(i).Data)
	}
	if err != nil {
		panic(err)
	}
	return &p.Args
}

// start makes a bus on the server, with the probes of production: with more of them a busy machine would
// make it deaf for a moment, and what is said in it is lost. edit may change the options.
func start(t *testing.T, s *redistest.Server, id string, edit ...func(*Options)) *testNode {
	t.Helper()
	n := &testNode{t: t, id: id, changed: make(chan struct{}, 1)}
	o := Options{Client: s.Client(), NodeID: id, Logger: slog.New(slog.DiscardHandler)}
	for _, e := range edit {
		e(&o)
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	n.Bus = b
	b.Start(n)
	t.Cleanup(func() {
		// For what is queued, where Redis may be away for good. Close waits for its goroutines in any case.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		b.Close(ctx)
	})
	return n
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// clients returns the lines of CLIENT LIST that have the text.
func clients(t *testing.T, c *redis.Client, text string) []string {
	t.Helper()
	list, err := c.ClientList(context.Background()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(list), "\n"), func(line string) bool { return !strings.Contains(line, text) })
}
