package engine

import (
	"cmp"
	"slices"
)

// A read merges sources. A source is a list of spans, places where records lie sorted by (time,
// order of acceptance): blocks of one file, chunks of one run, a part of a memory table. Within a
// source the spans follow each other in that order too; between sources, ties in time go by the
// order of the sources. A span is loaded when its turn comes, not before.

// span is one place with records.
type span struct {
	first, last int64 // time of its first and last record
	records     uint32
	tie         uint64 // orders spans of one source that hold one and the same time
	load        func() (*rows, error)
	block       *blockFetch // of a cold span, nil otherwise
	visitsLeft  int         // how often it will still be loaded, see visit
}

// visit is a look at the records of a span between two times. Reading downwards, a span whose first
// time is also the last of the span before it is visited twice: those records come after their
// elders in the span before.
type visit struct {
	span   *span
	lo, hi int64
}

// visits lists the looks at spans, sorted by time, that give the records between from and to in
// reading order.
func visits(spans []*span, from, to int64, desc bool) []visit {
	list := make([]visit, 0, len(spans))
	add := func(s *span, lo, hi int64) {
		if lo, hi = max(lo, from), min(hi, to); lo <= hi {
			list = append(list, visit{s, lo, hi})
			s.visitsLeft++
		}
	}
	if !desc {
		for _, s := range spans {
			add(s, s.first, s.last)
		}
		return list
	}
	for i := len(spans) - 1; i >= 0; {
		s := spans[i]
		lo, hi := s.first, s.last
		sharesLow := i > 0 && spans[i-1].last == s.first
		if i+1 < len(spans) && spans[i+1].first == s.last {
			hi-- // given already, with the span after
		}
		if sharesLow {
			lo++
		}
		add(s, lo, hi)
		if !sharesLow {
			i--
			continue
		}
		// All spans that hold the shared time, oldest first.
		t, j := s.first, i-1
		for j > 0 && spans[j-1].last == t {
			j--
		}
		for k := j; k <= i; k++ {
			add(spans[k], t, t)
		}
		i = j
	}
	return list
}

// sortSpans puts the spans of one source in order.
func sortSpans(spans []*span) {
	slices.SortFunc(spans, func(a, b *span) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last), cmp.Compare(a.tie, b.tie))
	})
}

// source is a cursor over the visits of one source.
type source struct {
	order  int // of the sources, for ties
	visits []visit
	desc   bool

	loaded     *rows // of visits[0]; nil until its turn comes
	lo, hi     int   // records of it still to give: lo <= i < hi
	group, at  int   // reading downwards: begin of the current group of one time, next of it
	time       int64 // of the next record; a bound on it while nothing is loaded
	unreadable func(s *span, err error) error
}

// settle sets time to what comes next. It returns false at the end.
func (s *source) settle() bool {
	for {
		if s.loaded == nil {
			if len(s.visits) == 0 {
				return false
			}
			if s.time = s.visits[0].lo; s.desc {
				s.time = s.visits[0].hi
			}
			return true
		}
		if s.desc {
			if s.at < s.hi {
				s.time = s.loaded.time(s.at)
				return true
			}
			if s.hi = s.group; s.hi > s.lo {
				s.group = s.groupBegin(s.hi)
				s.at = s.group
				continue
			}
		} else if s.lo < s.hi {
			s.time = s.loaded.time(s.lo)
			return true
		}
		s.loaded, s.visits = nil, s.visits[1:]
	}
}

// groupBegin finds where the records with the time of the one before end begin.
func (s *source) groupBegin(end int) int {
	t, i := s.loaded.time(end-1), end-1
	for i > s.lo && s.loaded.time(i-1) == t {
		i--
	}
	return i
}

// load brings in the records of the visit whose turn it is.
func (s *source) load() error {
	v := s.visits[0]
	r, err := v.span.load()
	if err != nil {
		if err = s.unreadable(v.span, err); err != nil {
			return err
		}
		s.visits = s.visits[1:]
		return nil
	}
	s.loaded = r
	s.lo = r.search(v.lo)
	s.hi = r.searchAfter(v.hi)
	if s.desc {
		s.group = s.hi
		if s.hi > s.lo {
			s.group = s.groupBegin(s.hi)
		}
		s.at = s.group
	}
	return nil
}

// next gives the index of the record whose turn it is and moves on.
func (s *source) next() (r *rows, i int) {
	r = s.loaded
	if s.desc {
		i = s.at
		s.at++
	} else {
		i = s.lo
		s.lo++
	}
	return r, i
}

// merger gives the records of several sources in reading order: a binary heap by (time, order).
type merger struct {
	heap []*source
	desc bool
}

func (m *merger) reset(sources []*source) {
	m.heap = m.heap[:0]
	for _, s := range sources {
		if s.settle() {
			m.heap = append(m.heap, s)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
}

func (m *merger) less(a, b *source) bool {
	if a.time != b.time {
		return (a.time < b.time) != m.desc
	}
	return a.order < b.order
}

func (m *merger) down(i int) {
	h := m.heap
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && m.less(h[c+1], h[c]) {
			c++
		}
		if !m.less(h[c], h[i]) {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// next gives the next record, nil at the end.
func (m *merger) next() (r *rows, i int, err error) {
	for len(m.heap) > 0 {
		s := m.heap[0]
		if s.loaded != nil {
			r, i = s.next()
		} else if err = s.load(); err != nil {
			return nil, 0, err
		}
		// Loading can move a source back: its bound was only a bound.
		if !s.settle() {
			m.heap[0] = m.heap[len(m.heap)-1]
			m.heap = m.heap[:len(m.heap)-1]
		}
		m.down(0)
		if r != nil {
			return r, i, nil
		}
	}
	return nil, 0, nil
}
