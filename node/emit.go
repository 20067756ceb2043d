package node

import (
	"context"
	"time"

	"github.com/dynamicio/dynamicio/namespace"
)

// What a Server offers to send goes to the namespace "/" of the main host, as
// in Node's Socket.IO; see [namespace.Broadcast] for the details.

// To addresses the sockets of the main namespace in any of the rooms.
func (s *Server) To(rooms ...string) namespace.Broadcast { return s.main.To(rooms...) }

// In is another name of To.
func (s *Server) In(rooms ...string) namespace.Broadcast { return s.main.To(rooms...) }

// Except addresses the sockets of the main namespace in none of the rooms.
func (s *Server) Except(rooms ...string) namespace.Broadcast { return s.main.Except(rooms...) }

// Local addresses the sockets of the main namespace on this node.
func (s *Server) Local() namespace.Broadcast { return s.main.Local() }

// Volatile drops the event for clients that cannot take it at once.
func (s *Server) Volatile() namespace.Broadcast { return s.main.Volatile() }

// Compress says whether to compress the event.
func (s *Server) Compress(on bool) namespace.Broadcast { return s.main.Compress(on) }

// Timeout sets how long EmitWithAck waits for the clients.
func (s *Server) Timeout(d time.Duration) namespace.Broadcast { return s.main.Timeout(d) }

// Emit sends an event to every socket of the main namespace.
func (s *Server) Emit(event string, args ...any) error { return s.main.Emit(event, args...) }

// EmitWithAck sends an event to every socket of the main namespace and
// collects what they acknowledge.
func (s *Server) EmitWithAck(ctx context.Context, event string, args ...any) ([]namespace.Reply, error) {
	return s.main.EmitWithAck(ctx, event, args...)
}

// FetchSockets describes every socket of the main namespace.
func (s *Server) FetchSockets(ctx context.Context) ([]namespace.RemoteSocket, error) {
	return s.main.FetchSockets(ctx)
}

// SocketsJoin makes every socket of the main namespace join rooms.
func (s *Server) SocketsJoin(rooms ...string) error { return s.main.SocketsJoin(rooms...) }

// SocketsLeave makes every socket of the main namespace leave rooms.
func (s *Server) SocketsLeave(rooms ...string) error { return s.main.SocketsLeave(rooms...) }

// DisconnectSockets disconnects every socket of the main namespace.
func (s *Server) DisconnectSockets(closeConnection bool) error {
	return s.main.DisconnectSockets(closeConnection)
}

// ServerSideEmit sends an event to the other nodes' OnServerSide handlers of
// the main namespace.
func (s *Server) ServerSideEmit(event string, args ...any) error {
	return s.main.ServerSideEmit(event, args...)
}
