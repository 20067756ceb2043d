package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dynamicio/dynamicio/cluster/wire"
)

// Options tunes a [Bus]. Client and NodeID are required; the zero value of the others
// is fit for production.
type Options struct {
	// Client says where Redis is and how to log in. It is not closed. A *redis.Client, of
	// Sentinel too, or a *redis.ClusterClient.
	Client redis.UniversalClient
	// NodeID names the node in its answers. It is unique in the cluster.
	NodeID string
	// Cluster names the cluster, in the channel of the probe and to others who use the prefix. Default "default".
	Cluster string
	// Prefix begins all other channels. Default [PrefixFor] of the cluster: "socket.io", as
	// everybody's, or one of its own.
	Prefix string
	// Dialect is what is written; both are read. wire.StockGo needs a Prefix of its own: a Node
	// server that heard it would exit.
	Dialect wire.Dialect

	// MaxMessage bounds a message to be published, in bytes. Default 8 MiB: Redis cuts a
	// subscriber off that has 32 MiB waiting, or 8 MiB for a minute
	// (client-output-buffer-limit pubsub 32mb 8mb 60). So one message never
	// does it alone, and three more may be waiting. Received ones may be four times as large,
	// which is what Redis lets through.
	MaxMessage int
	// MaxQueue bounds what waits to be published, in bytes; what is more is dropped. Default
	// 64 MiB.
	MaxQueue int
	// MaxBacklog bounds what was received and waits for its namespace, in bytes of payload; what is
	// more is dropped. Default 64 MiB.
	MaxBacklog int
	// MaxAside bounds the requests of other nodes that are being answered while others go on: those that
	// wait for clients or handlers. More are dropped. Default 1024.
	MaxAside int

	// AskTimeout is how long Ask waits if its context has no deadline. Default 5 s, as Node.
	AskTimeout time.Duration
	// AnswerTimeout is how long a question of another node may take here if it does not say. Default 30 s.
	AnswerTimeout time.Duration
	// ProbeInterval is how often the bus sends itself a message. Default 1 s.
	ProbeInterval time.Duration
	// ReplyTimeout is how long Redis may take to answer a command before both connections count as
	// broken: PUBLISH, SUBSCRIBE, and the probe that has to come back. Default 3 s.
	ReplyTimeout time.Duration
	// PeerWait is how long messages that were kept while Redis was unavailable wait, once it is back,
	// for the nodes of Peers to be subscribed again. Default 5 s.
	PeerWait time.Duration

	// Members returns the ids of the nodes that have sockets in a namespace, so that Ask can
	// name those that did not answer. Default none: they are counted only.
	Members func(ctx context.Context, fullName string) ([]string, error)
	// Peers returns the ids of all nodes of the cluster, which is asked every PeerWait. Default none:
	// kept messages are published at once.
	Peers func(ctx context.Context) ([]string, error)
	// OnReconnect is called after the subscriber connection broke, once everything is
	// subscribed again: messages may have been lost. It must not block.
	OnReconnect func()
	// OnPublished is told, of each batch of messages, how long its oldest one waited until
	// Redis had taken it; probes are messages too. It must be quick. Default: nobody is.
	OnPublished func(took time.Duration)
	// Away says that somebody else has said already that Redis is unavailable: then failures to connect
	// are logged at debug level. Default nobody has.
	Away func() bool
	// Logger receives changes of state. Default slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Client == nil || o.NodeID == "" {
		return o, errors.New("bus: Options.Client and Options.NodeID are required")
	}
	setDefault(&o.Cluster, "default")
	setDefault(&o.Prefix, PrefixFor(o.Cluster))
	if err := errors.Join(CheckPrefix(o.Prefix), CheckDialect(o.Prefix, o.Dialect)); err != nil {
		return o, err
	}
	for name, v := range map[string]int{"MaxMessage": o.MaxMessage, "MaxQueue": o.MaxQueue, "MaxBacklog": o.MaxBacklog, "MaxAside": o.MaxAside} {
		if v < 0 {
			return o, fmt.Errorf("bus: Options.%s is %d, must not be negative", name, v)
		}
	}
	for name, v := range map[string]time.Duration{"AskTimeout": o.AskTimeout, "AnswerTimeout": o.AnswerTimeout, "ProbeInterval": o.ProbeInterval, "ReplyTimeout": o.ReplyTimeout, "PeerWait": o.PeerWait} {
		if v < 0 {
			return o, fmt.Errorf("bus: Options.%s is %v, must not be negative", name, v)
		}
	}
	setDefault(&o.MaxMessage, 8<<20)
	setDefault(&o.MaxQueue, 64<<20)
	setDefault(&o.MaxBacklog, 64<<20)
	setDefault(&o.MaxAside, 1024)
	setDefault(&o.AskTimeout, 5*time.Second)
	setDefault(&o.AnswerTimeout, 30*time.Second)
	setDefault(&o.ProbeInterval, time.Second)
	setDefault(&o.ReplyTimeout, 3*time.Second)
	setDefault(&o.PeerWait, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}
