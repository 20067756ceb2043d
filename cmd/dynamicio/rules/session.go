package rules

import (
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/dynamicio/dynamicio/namespace"
)

// session is what the rules know about one socket. Its middleware makes it, or
// its first event that needs it; from then on the goroutine that handles the
// socket's events has it alone.
type session struct {
	claims Claims
	events *rate.Limiter
}

// MarshalJSON keeps the session out of what FetchSockets shows to other nodes.
func (*session) MarshalJSON() ([]byte, error) { return nil, errPrivate }

var errPrivate = errors.New("rules: a session is for its own node")

const sessionKey = "dynamicio.session"

func sessionOf(s *namespace.Socket) *session {
	if sess, ok := namespace.Value[*session](&s.Data, sessionKey); ok {
		return sess
	}
	sess := new(session)
	s.Data.Set(sessionKey, sess)
	return sess
}

// claimsOf returns the claims of a socket's JWT, if it presented one.
func claimsOf(s *namespace.Socket) Claims {
	if sess, ok := namespace.Value[*session](&s.Data, sessionKey); ok {
		return sess.claims
	}
	return nil
}

// mayEvent takes one event of what a socket may send.
func (l *Limits) mayEvent(s *namespace.Socket) bool {
	if l.EventsPerSecond == 0 {
		return true
	}
	sess := sessionOf(s)
	limit, burst := rate.Limit(l.EventsPerSecond), l.burst()
	if sess.events == nil || sess.events.Limit() != limit || sess.events.Burst() != burst { // the rules have changed
		sess.events = rate.NewLimiter(limit, burst)
	}
	return sess.events.AllowN(time.Now(), 1)
}

func (l *Limits) burst() int {
	if l.EventsBurst > 0 {
		return l.EventsBurst
	}
	return max(1, int(l.EventsPerSecond))
}
