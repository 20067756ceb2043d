package main

import (
	"cmp"
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

// message is one thing that was said.
type message struct {
	ID   string    `json:"id"`
	Name string    `json:"name"`
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

func newMessage(name, text string) message {
	return message{ID: rand.Text(), Name: name, Text: text, Time: time.Now().UTC()}
}

// maxHistory is how many messages a room remembers.
const maxHistory = 100

// history is what was said last in one room, the oldest first. The zero value
// is empty and ready for use.
type history struct {
	mu   sync.Mutex // guards said
	said []message
}

// add takes messages in, each once, wherever they came from.
func (h *history) add(messages ...message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range messages {
		if !slices.ContainsFunc(h.said, func(known message) bool { return known.ID == m.ID }) {
			h.said = append(h.said, m)
		}
	}
	slices.SortStableFunc(h.said, func(a, b message) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
	h.said = slices.Delete(h.said, 0, max(0, len(h.said)-maxHistory))
}

// all returns a copy.
func (h *history) all() []message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]message{}, h.said...) // never nil, which would be null to the client
}
