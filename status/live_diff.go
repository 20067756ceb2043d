package status

import (
	"encoding/json"
	"slices"
)

// update is what an open page is sent: all of its fragments, or those that are
// not as they were. The page's script knows the names of the fields.
type update struct {
	Title string `json:"title,omitempty"`
	// Put holds the new text of elements by id.
	Put map[string]string `json:"put,omitempty"`
	// Order has the ids of the elements of a region, if they are not those that
	// they were, or not in that order. What is not named is gone.
	Order map[string][]string `json:"order,omitempty"`
}

// diff returns what makes a page that shows old show s; all of s if old is nil.
func (s *scene) diff(old *scene) update {
	u := update{Put: map[string]string{}, Order: map[string][]string{}}
	was, ids := map[string]string{}, map[string][]string{}
	if old == nil {
		old = &scene{}
	}
	for _, r := range old.regions {
		ids[r.name] = r.ids()
		for _, f := range r.items {
			was[f.id] = f.html
		}
	}
	if s.title != old.title {
		u.Title = s.title
	}
	for _, r := range s.regions {
		for _, f := range r.items {
			if html, ok := was[f.id]; !ok || html != f.html {
				u.Put[f.id] = expand(f.html, s.time)
			}
		}
		if before, ok := ids[r.name]; !ok || !slices.Equal(before, r.ids()) {
			u.Order[r.name] = r.ids()
		}
	}
	return u
}

func (r region) ids() []string {
	ids := make([]string, len(r.items))
	for i, f := range r.items {
		ids[i] = f.id
	}
	return ids
}

func (u update) empty() bool {
	return u.Title == "" && len(u.Put) == 0 && len(u.Order) == 0
}

// encode returns the update as JSON on one line.
func (u update) encode() ([]byte, error) { return json.Marshal(u) }
