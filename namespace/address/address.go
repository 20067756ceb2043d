// Package address says which network addresses count as one client where
// something is bounded for each address.
package address

import "net/netip"

// Group returns what an address, with or without a port, counts as: an IPv4 address
// itself, and for IPv6 the /64 that one customer usually has. Whatever is no address
// counts as the zero Addr.
func Group(addr string) netip.Addr {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		ap, err := netip.ParseAddrPort(addr)
		if err != nil {
			return netip.Addr{}
		}
		a = ap.Addr()
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Masked().Addr()
		}
	}
	return a
}
