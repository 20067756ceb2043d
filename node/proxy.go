package node

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies says whose word is believed on where a request comes from, in
// X-Forwarded-For and X-Forwarded-Proto. The zero value believes nobody.
type Proxies struct {
	direct   bool
	networks []netip.Prefix
}

// DirectPeer believes whoever opens a connection to the node, and only on where
// that request came from. It is for a node that only its proxies can reach.
func DirectPeer() Proxies { return Proxies{direct: true} }

// ParseProxies reads a list of networks ("10.0.0.0/8,fd00::/8") or addresses,
// separated by commas, whose proxies are believed. "true" is [DirectPeer];
// "false" and nothing believe nobody.
func ParseProxies(list string) (Proxies, error) {
	switch strings.ToLower(list) {
	case "", "false":
		return Proxies{}, nil
	case "true":
		return DirectPeer(), nil
	}
	var p Proxies
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		network, err := netip.ParsePrefix(item)
		if err != nil {
			addr, addrErr := netip.ParseAddr(item)
			if addrErr != nil || addr.Zone() != "" {
				return Proxies{}, fmt.Errorf(`node: %q is neither a network such as 10.0.0.0/8 nor an address`, item)
			}
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		if addr := network.Addr(); addr.Is4In6() && network.Bits() >= 96 { // addresses are compared as IPv4
			network = netip.PrefixFrom(addr.Unmap(), network.Bits()-96)
		}
		if network != network.Masked() {
			return Proxies{}, fmt.Errorf("node: %q has bits beyond its mask: write %v", item, network.Masked())
		}
		p.networks = append(p.networks, network)
	}
	return p, nil
}

// String returns what [ParseProxies] reads.
func (p Proxies) String() string {
	if p.direct {
		return "true"
	}
	list := make([]string, len(p.networks))
	for i, n := range p.networks {
		list[i] = n.String()
	}
	return strings.Join(list, ",")
}

// believes reports whether the word of a peer counts that is so many hops away;
// the one that opened the connection is 0 away.
func (p *Proxies) believes(peer netip.Addr, hops int) bool {
	return p.direct && hops == 0 ||
		peer.IsValid() && slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(peer) })
}

// forwarded is what proxies said of a request, for secure.
type forwarded struct{ https bool }

type forwardedKey struct{}

// behind returns the request as it came to the outermost proxy that is believed:
// entries of X-Forwarded-For are taken from the right, each from a hop that is
// believed, up to one that is not a proxy.
func (p *Proxies) behind(r *http.Request) *http.Request {
	if !p.direct && len(p.networks) == 0 {
		return r
	}
	client, _ := parseHop(r.RemoteAddr)
	if !p.believes(client.Addr(), 0) {
		return r
	}
	var said forwarded
	for scheme := range fromRight(r.Header["X-Forwarded-Proto"]) {
		said.https = strings.EqualFold(scheme, "https")
		break
	}
	out := r.WithContext(context.WithValue(r.Context(), forwardedKey{}, said))
	hops := 0
	for entry := range fromRight(r.Header["X-Forwarded-For"]) {
		next, ok := parseHop(entry)
		if !ok || !p.believes(client.Addr(), hops) {
			break
		}
		client = next
		hops++
		out.RemoteAddr = client.String()
	}
	return out
}

// secure reports whether the client came by TLS, to the node or to a proxy that
// is believed.
func secure(r *http.Request) bool {
	said, _ := r.Context().Value(forwardedKey{}).(forwarded)
	return r.TLS != nil || said.https
}

// fromRight yields the entries of lines that are one list, the last first.
func fromRight(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range slices.Backward(lines) {
			for more := true; more; {
				comma := strings.LastIndexByte(line, ',')
				entry := strings.TrimSpace(line[comma+1:])
				if more = comma >= 0; more {
					line = line[:comma]
				}
				if entry != "" && !yield(entry) {
					return
				}
			}
		}
	}
}

// parseHop reads an address with or without a port: "192.0.2.7", "192.0.2.7:80",
// "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80".
func parseHop(s string) (netip.AddrPort, bool) {
	hop, err := netip.ParseAddrPort(s)
	if err != nil {
		if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
			s = s[1 : len(s)-1]
		}
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return netip.AddrPort{}, false
		}
		hop = netip.AddrPortFrom(addr, 0)
	}
	return netip.AddrPortFrom(hop.Addr().Unmap().WithZone(""), hop.Port()), true
}
