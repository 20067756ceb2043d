package cluster

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Connect makes a client for a URL; it does not dial yet. The forms are those of go-redis:
//
//	redis://[user[:password]@]host[:port][/db]           one server
//	rediss://...                                         the same over TLS
//	unix://[user[:password]@]/path/to/socket[?db=n]      the same over a socket file
//	redis+sentinel://[user[:password]@]host[:port][/db]?master_name=NAME[&addr=host:port...]
//	redis+cluster://[user[:password]@]host[:port][?addr=host:port...]
//
// and rediss+sentinel, rediss+cluster over TLS. Servers are checked against the roots of the
// system, or on Unix those in the file that the variable SSL_CERT_FILE names. Options of the client (timeouts, pool
// size, skip_verify) are query parameters in snake case. Errors never contain the
// password.
func Connect(rawURL string) (redis.UniversalClient, error) { return connectBy(rawURL, nil) }

// dialer makes the connections to Redis, as net.Dialer.DialContext does.
type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// connectBy is Connect with a dialer, nil for that of the client.
func connectBy(rawURL string, dial dialer) (redis.UniversalClient, error) {
	c, err := connect(rawURL, dial)
	if err != nil {
		return nil, fmt.Errorf("cluster: Redis URL: %w", explainURL(rawURL))
	}
	return c, nil
}

// dialerOver returns dial, or the client's own. That one's TLS handshake ends by a time-out of its own and not
// with the context, which would hold up a node that stops; so there is another for TLS.
func dialerOver(dial dialer, config *tls.Config) dialer {
	if dial != nil || config == nil {
		return dial
	}
	return (&tls.Dialer{Config: config}).DialContext
}

func connect(rawURL string, dial dialer) (redis.UniversalClient, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return nil, errors.New("it has no scheme, such as redis://")
	}
	if strings.Contains(rest, "#") {
		return nil, errors.New("it has a number sign, which in a password must be written %23")
	}
	plain, kind, _ := strings.Cut(strings.ToLower(scheme), "+")
	if plain != "redis" && plain != "rediss" && (plain != "unix" || kind != "") {
		return nil, errScheme
	}
	// The handoff of live connections to another server would let a session go on with
	// data that it was not registered with.
	noHandoff := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	// Deadlines of contexts count: a call that hangs must not hold up a node. One attempt
	// to dial is enough, since whatever needs a connection tries again: five with pauses, as the
	// client has it, outlast the time that a short node TTL leaves, and the reason would be lost.
	switch kind {
	case "":
		o, err := redis.ParseURL(plain + "://" + rest)
		if err != nil {
			return nil, err
		}
		o.ContextTimeoutEnabled, o.MaintNotificationsConfig = true, noHandoff
		o.Dialer = dialerOver(dial, o.TLSConfig)
		o.DialerRetries = cmp.Or(o.DialerRetries, 1)
		return redis.NewClient(o), nil
	case "sentinel":
		o, err := redis.ParseFailoverURL(plain + "://" + rest)
		if err != nil {
			return nil, err
		}
		if o.MasterName == "" {
			return nil, errors.New("a Sentinel URL needs ?master_name=")
		}
		o.ContextTimeoutEnabled = true // and it knows no handoff
		o.Dialer = dialerOver(dial, o.TLSConfig)
		o.DialerRetries = cmp.Or(o.DialerRetries, 1)
		return redis.NewFailoverClient(o), nil
	case "cluster":
		o, err := redis.ParseClusterURL(plain + "://" + rest)
		if err != nil {
			return nil, err
		}
		o.ContextTimeoutEnabled, o.MaintNotificationsConfig = true, noHandoff
		o.Dialer = dialerOver(dial, o.TLSConfig)
		o.DialerRetries = cmp.Or(o.DialerRetries, 1)
		return redis.NewClusterClient(o), nil
	}
	return nil, errScheme
}

var errScheme = errors.New("scheme is not one of redis, rediss, unix, and the first two with +sentinel or +cluster")
