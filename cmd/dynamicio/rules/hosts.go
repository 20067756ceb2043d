package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dynamicio/dynamicio/namespace"
)

// Hosts says which hosts are other names of one. The zero value has none.
//
// Exact names are looked for before "*." ones, and longer "*." names before
// shorter ones. A name with a port is for that port; one without is for all
// ports, and the port stays behind the canonical name. A canonical name stands
// for itself, whatever else matches it, and what a name stands for is not looked
// up again.
type Hosts struct {
	exact map[string]string // an alias, or a canonical name, to the canonical name
	below map[string]string // ".example.com" for *.example.com
}

// AddCanonical adds the name that others stand for. All canonical names are
// added before the first alias.
func (h *Hosts) AddCanonical(name string) (canonical string, err error) {
	canonical, ok := namespace.NormalizeHost(name, false)
	if !ok || canonical == "" {
		return "", errors.New("is no host name")
	}
	if h.exact == nil {
		h.exact, h.below = make(map[string]string), make(map[string]string)
	}
	if _, twice := h.exact[canonical]; twice {
		return "", errors.New("is there before, in another spelling")
	}
	h.exact[canonical] = canonical
	return canonical, nil
}

// AddAlias adds another name of a canonical one, perhaps with a leading "*.",
// which is every name below it, at any depth.
func (h *Hosts) AddAlias(canonical, alias string) error {
	names, rest := h.exact, alias
	below, wild := strings.CutPrefix(alias, "*.")
	if wild {
		names, rest = h.below, below
	}
	name, ok := namespace.NormalizeHost(rest, false)
	if !ok || name == "" {
		return errors.New(`want a host name or "*." and one`)
	}
	if wild {
		name = "." + name
	}
	if of, twice := names[name]; twice {
		if of == name {
			return errors.New("is a name that has aliases itself")
		}
		return fmt.Errorf("is an alias of %s already", of)
	}
	names[name] = canonical
	return nil
}

// Len returns the number of names that stand for another.
func (h *Hosts) Len() int {
	n := len(h.below)
	for alias, canonical := range h.exact {
		if alias != canonical {
			n++
		}
	}
	return n
}

// Canonical returns the host that a normalised host stands for: mostly itself.
func (h *Hosts) Canonical(host string) string {
	if len(h.exact) == 0 || host == "" {
		return host
	}
	if c, ok := h.find(host); ok {
		return c
	}
	name := withoutPort(host)
	c, ok := h.find(name)
	switch {
	case name == host || !ok:
		return host
	case hasPort(c):
		return c
	}
	return c + host[len(name):]
}

// find looks a host up as it is written.
func (h *Hosts) find(host string) (string, bool) {
	if c, ok := h.exact[host]; ok {
		return c, true
	}
	for i := range len(host) {
		if host[i] == '.' {
			if c, ok := h.below[host[i:]]; ok {
				return c, true
			}
		}
	}
	return "", false
}

// withoutPort returns a normalised host without its port, if it has one.
func withoutPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

func hasPort(host string) bool { return withoutPort(host) != host }
