package engineio

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
)

const (
	// maxStrangers is how many refused origins get a warning of their own, and
	// maxStranger how much of one is kept, in bytes.
	maxStrangers = 100
	maxStranger  = 200
)

// strangers are the origins that were refused: an operator is told once of each.
type strangers struct {
	mu   sync.Mutex // guards seen; a leaf
	seen map[string]struct{}
}

// note reports whether an origin is a new one, and whether it is the last that
// is remembered.
func (s *strangers) note(origin string) (isNew, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.seen[origin]; known || len(s.seen) >= maxStrangers {
		return false, false
	}
	if s.seen == nil {
		s.seen = make(map[string]struct{})
	}
	s.seen[strings.Clone(origin)] = struct{}{} // not all of the request's header
	return true, len(s.seen) == maxStrangers
}

// noteOrigin warns of the origin of a refused request, if it is a new one.
func (s *Server) noteOrigin(r *http.Request) {
	origin := strings.Join(r.Header["Origin"], ", ")
	if u, ok := parseOrigin(origin); ok {
		origin = u.String()
	}
	how := admission(origin)
	if len(origin) > maxStranger {
		origin, how = origin[:maxStranger], ", a long one"
	}
	isNew, last := s.strangers.note(origin)
	if !isNew {
		return
	}
	log := s.opts.Logger
	log.Warn(fmt.Sprintf("engineio: origin %+q refused%s", origin, how), "remote", r.RemoteAddr)
	if last {
		log.Warn("engineio: many origins were refused; new ones are no longer warned of, only logged at debug level", "warned", maxStrangers)
	}
}

// admission says how to let an origin in. It is not said of what an operator
// should not paste into a shell.
func admission(origin string) string {
	if checkOrigin(origin) != nil || strings.ContainsFunc(origin, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune(".-_:/[]", r))
	}) {
		return ""
	}
	return fmt.Sprintf("; --cors-origin %s (Options.Origins) would admit it", origin)
}
