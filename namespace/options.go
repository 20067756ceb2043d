package namespace

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"
)

// Options tunes a [Registry]. The zero value is fit for production. In all
// limits zero means the default.
type Options struct {
	// Host says which hosts are the main one, whose namespaces have their
	// short name for a full name. Default [All].
	Host Pattern
	// Retirement is how long a namespace made on demand stays empty before it
	// is retired. Default 10 seconds; a namespace may set its own.
	Retirement time.Duration
	// Cluster decides about retirement and reaches the other nodes. Default
	// [NewSolo]; whoever made another one closes it after the registry.
	Cluster Cluster
	// NodeID names this node in answers. Default "local".
	NodeID string

	// ConnectTimeout is how long a connection may stay without joining any
	// namespace. Default 45 seconds.
	ConnectTimeout time.Duration
	// AckTimeout is how long EmitWithAck and Ask wait for an acknowledgement where
	// neither their context nor Timeout ends. Default 10 seconds.
	AckTimeout time.Duration
	// PacketTimeout is how long a client may take to send the next attachment of a
	// packet that announces some. Default 1 minute.
	PacketTimeout time.Duration
	// MaxNameLength bounds the names of namespaces, rooms and events that
	// clients choose, in bytes. Default 512.
	MaxNameLength int
	// MaxNamespaces bounds the namespaces that are live on this node. Default 100,000.
	MaxNamespaces int
	// MaxNamespacesPerAddress bounds how many of these the clients of one address (of
	// one /64 for IPv6) have brought to life. Behind a proxy that hides clients'
	// addresses all are one. Default 10,000.
	MaxNamespacesPerAddress int
	// MaxConnectionNamespaces bounds the namespaces of one connection, and a
	// tenth of it how many more it may ask for in a second. Default 100.
	MaxConnectionNamespaces int
	// MaxRooms bounds the rooms of one socket. Default 1000.
	MaxRooms int
	// MaxPendingEvents bounds the events of one connection that wait for their
	// handlers, and MaxPendingBytes the memory that they take; beyond either the
	// connection is not read until some are done. While the client owes an
	// acknowledgement, which is read behind what it has sent before, reading goes on
	// as long as Conn.Reserve allows; beyond that, the connection is closed if no
	// handler returns for a second. Defaults 256 and 4 MiB.
	MaxPendingEvents int
	MaxPendingBytes  int
	// EventsPerSecond bounds the events of one connection a second; a second's
	// worth, after a silence two, may come at once. Beyond it the connection is not read for a while.
	// Default 10,000; negative: no bound.
	EventsPerSecond float64
	// MaxAttachments bounds the binary attachments of one packet. Default 10.
	MaxAttachments int

	// Logger receives state changes and failures of user code. Default slog.Default().
	Logger *slog.Logger
}

// Defaults returns the limits and times that the zero value stands for.
func Defaults() Options {
	o, err := Options{}.withDefaults()
	if err != nil {
		panic(err) // the zero value is valid
	}
	o.Cluster, o.NodeID, o.Logger = nil, "", nil
	return o
}

func (o Options) withDefaults() (Options, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		zero  time.Duration
	}{
		{"Retirement", &o.Retirement, 10 * time.Second},
		{"ConnectTimeout", &o.ConnectTimeout, 45 * time.Second},
		{"AckTimeout", &o.AckTimeout, 10 * time.Second},
		{"PacketTimeout", &o.PacketTimeout, time.Minute},
	} {
		if *d.value < 0 {
			return o, fmt.Errorf("namespace: Options.%s is %v, must not be negative", d.name, *d.value)
		}
		*d.value = cmp.Or(*d.value, d.zero)
	}
	for _, limit := range []struct {
		name  string
		value *int
		zero  int
	}{
		{"MaxNameLength", &o.MaxNameLength, 512},
		{"MaxNamespaces", &o.MaxNamespaces, 100_000},
		{"MaxNamespacesPerAddress", &o.MaxNamespacesPerAddress, 10_000},
		{"MaxConnectionNamespaces", &o.MaxConnectionNamespaces, 100},
		{"MaxRooms", &o.MaxRooms, 1000},
		{"MaxPendingEvents", &o.MaxPendingEvents, 256},
		{"MaxPendingBytes", &o.MaxPendingBytes, 4 << 20},
		{"MaxAttachments", &o.MaxAttachments, 10},
	} {
		if *limit.value < 0 {
			return o, fmt.Errorf("namespace: Options.%s is %d, must not be negative", limit.name, *limit.value)
		}
		*limit.value = cmp.Or(*limit.value, limit.zero)
	}
	o.EventsPerSecond = cmp.Or(o.EventsPerSecond, 10_000)
	o.NodeID = cmp.Or(o.NodeID, "local")
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Cluster == nil {
		o.Cluster = NewSolo()
	}
	return o, nil
}
