package namespace

// byName is a map for values that know their own name. Nearly every client is
// in one namespace: a few entries stand in a slice, which takes a tenth of a
// map's memory. The zero value is empty.
type byName[V interface {
	comparable
	key() string
}] struct {
	few  []V
	many map[string]V // instead of few, once there were more than fewEntries
}

const fewEntries = 8

func (m *byName[V]) get(name string) V {
	if m.many != nil {
		return m.many[name]
	}
	for _, v := range m.few {
		if v.key() == name {
			return v
		}
	}
	var none V
	return none
}

// put adds a value under a name that has none.
func (m *byName[V]) put(v V) {
	if m.many == nil && len(m.few) == fewEntries {
		m.many = make(map[string]V, 2*fewEntries)
		for _, old := range m.few {
			m.many[old.key()] = old
		}
		m.few = nil
	}
	if m.many != nil {
		m.many[v.key()] = v
		return
	}
	if m.few == nil {
		m.few = make([]V, 0, 1)
	}
	m.few = append(m.few, v)
}

// remove takes v away and reports whether it was there.
func (m *byName[V]) remove(v V) bool {
	if m.many != nil {
		if m.many[v.key()] != v {
			return false
		}
		delete(m.many, v.key())
		return true
	}
	for i, other := range m.few {
		if other == v {
			last := len(m.few) - 1
			var none V
			m.few[i], m.few[last] = m.few[last], none
			if m.few = m.few[:last]; last == 0 {
				m.few = nil
			}
			return true
		}
	}
	return false
}

func (m *byName[V]) len() int { return len(m.few) + len(m.many) }

// values returns a copy.
func (m *byName[V]) values() []V {
	all := make([]V, 0, m.len())
	all = append(all, m.few...)
	for _, v := range m.many {
		all = append(all, v)
	}
	return all
}
