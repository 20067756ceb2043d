package status

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxGuessers bounds the addresses that are kept apart. Beyond it the others
	// are taken for one.
	maxGuessers = 10_000
	guessWindow = time.Minute
)

// guesses counts wrong tokens by address, minute by minute.
type guesses struct {
	most int // wrong tokens of one address in a minute

	mu        sync.Mutex // guards the rest; a leaf
	begun     time.Time  // of this minute
	wrong     map[netip.Addr]int
	unlogged  int64 // since the last line
	total     int64
	throttled int64
}

// keyLocked begins a new minute if need be, and returns what stands for an address.
func (g *guesses) keyLocked(a netip.Addr) netip.Addr {
	if now := time.Now(); g.wrong == nil || now.Sub(g.begun) >= guessWindow {
		g.begun, g.wrong = now, make(map[netip.Addr]int)
	}
	if _, known := g.wrong[a]; !known && len(g.wrong) >= maxGuessers {
		return netip.Addr{}
	}
	return a
}

// mayTry reports whether a token of the address is looked at.
func (g *guesses) mayTry(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wrong[g.keyLocked(a)] < g.most {
		return true
	}
	g.throttled++
	return false
}

// note counts a wrong token. Of the first in a minute it says that it is to be
// logged, with how many there were since the last that was.
func (g *guesses) note(a netip.Addr) (before int64, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := g.keyLocked(a)
	first = len(g.wrong) == 0
	g.wrong[key]++
	g.total++
	if !first {
		g.unlogged++
		return 0, false
	}
	before, g.unlogged = g.unlogged, 0
	return before, true
}

// isRight looks at a token that a request presents, unless its address has
// presented too many wrong ones.
func (h *Handler) isRight(r *http.Request, token string) (right, throttled bool) {
	a := h.opts.Address(r)
	if !h.guesses.mayTry(a) {
		return false, true
	}
	if h.isToken(token) {
		return true, false
	}
	if before, first := h.guesses.note(a); first {
		h.log.Warn("status: a wrong token; further ones are counted, not logged, for a minute", "address", r.RemoteAddr, "unlogged_before", before)
	}
	return false, false
}

// tooManyGuesses refuses a request whose token was not looked at.
func tooManyGuesses(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "60")
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "status: too many wrong tokens from your address; try again in a minute", http.StatusTooManyRequests)
}

// Stats is what the handler has done, and whom it serves.
type Stats struct {
	// Visitors and Signed are the pages that are kept up to date now, for visitors
	// and for those who have presented the token.
	Visitors, Signed int
	WrongTokens      int64 // presented
	Throttled        int64 // requests whose token was not looked at, after too many wrong ones
}

// Stats returns a snapshot.
func (h *Handler) Stats() Stats {
	var s Stats
	h.guesses.mu.Lock()
	s.WrongTokens, s.Throttled = h.guesses.total, h.guesses.throttled
	h.guesses.mu.Unlock()
	h.feeds.mu.Lock()
	s.Visitors, s.Signed = h.feeds.viewers[true], h.feeds.viewers[false]
	h.feeds.mu.Unlock()
	return s
}

// perAddress bounds how many of something each address has at a time. What it
// remembers is bounded by how many there are in all.
type perAddress struct {
	most int

	mu sync.Mutex // guards n; a leaf
	n  map[netip.Addr]int
}

// enter reports whether the address may have another one, which it leaves again.
func (p *perAddress) enter(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n[a] >= p.most {
		return false
	}
	if p.n == nil {
		p.n = make(map[netip.Addr]int)
	}
	p.n[a]++
	return true
}

func (p *perAddress) leave(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n[a]--; p.n[a] <= 0 {
		delete(p.n, a)
	}
}
