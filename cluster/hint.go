package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// server says in a few words which server a client goes to, and how.
func server(client redis.UniversalClient) string {
	var addr string
	var secure bool
	switch c := client.(type) {
	case *redis.Client:
		addr, secure = c.Options().Addr, c.Options().TLSConfig != nil
		if addr == "FailoverClient" { // go-redis's word for a server that Sentinel names
			addr = "the master that Sentinel names"
		}
	case *redis.ClusterClient:
		addr, secure = "the cluster of "+strings.Join(c.Options().Addrs, ", "), c.Options().TLSConfig != nil
	}
	if secure {
		return addr + " over TLS"
	}
	return addr
}

// hint says what may be done about an error of Redis, or of the way there; empty if that is not known.
// It holds neither addresses nor credentials.
func hint(client redis.UniversalClient, err error) string {
	var user, password string
	var secure bool
	switch c := client.(type) {
	case *redis.Client:
		o := c.Options()
		user, password, secure = o.Username, o.Password, o.TLSConfig != nil
	case *redis.ClusterClient:
		o := c.Options()
		user, password, secure = o.Username, o.Password, o.TLSConfig != nil
	}
	said, ok := errors.AsType[redis.Error](err)
	if ok {
		return hintRefused(said.Error(), user != "" && password == "")
	}
	return hintWay(err, secure)
}

// hintRefused is hint for what Redis itself said. half: the URL has a user name without a password.
func hintRefused(said string, half bool) string {
	code, _, _ := strings.Cut(said, " ")
	switch {
	case (code == "NOAUTH" || code == "WRONGPASS") && half:
		return "the URL has a user name and no password; a password alone stands behind a colon: redis://:PASSWORD@HOST:PORT"
	case code == "NOAUTH":
		return "this Redis wants a password: redis://:PASSWORD@HOST:PORT, or redis://USER:PASSWORD@HOST:PORT"
	case code == "WRONGPASS" || strings.Contains(said, "invalid password"):
		return "the user name or the password in the URL is wrong"
	case code == "NOPERM":
		return "the Redis user lacks a right; those that are needed are in cluster/doc.go, and ACL LOG in Redis says which one it was"
	}
	return ""
}

// hintWay is hint for what went wrong on the way to Redis.
func hintWay(err error, secure bool) string {
	var noTLS tls.RecordHeaderError
	var unknownAuthority x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var dns *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &noTLS):
		return "this port does not speak TLS: write redis:// instead of rediss://, or give the port that does"
	case errors.As(err, &unknownAuthority):
		return "nobody here knows who signed the server's certificate: the variable SSL_CERT_FILE names a file with the authority"
	case errors.As(err, &wrongName):
		return "the server's certificate is for another name: use that one in the URL"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at this address: is Redis running, and is the address right?"
	case errors.As(err, &dns):
		return "this host name is not known here: is it right?"
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		if secure {
			return "the server ends the connection: is there a Redis that speaks TLS on this port?"
		}
		return "the server ends the connection: if it speaks TLS on this port, write rediss:// instead of redis://"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout():
		if secure { // a Redis that does not speak TLS waits for the rest of what it takes for a command
			return "no answer in time: if this port does not speak TLS, write redis:// instead of rediss://; otherwise see whether the address is right"
		}
		return "no answer in time: is the address right, and does a firewall let it through?"
	}
	return ""
}

// hinted adds to an error for people who the server is, and what may be done.
func hinted(client redis.UniversalClient, err error) error {
	if h := hint(client, err); h != "" {
		return fmt.Errorf("%w (Redis at %s; %s)", err, server(client), h)
	}
	return fmt.Errorf("%w (Redis at %s)", err, server(client))
}
