package engine

import (
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/firndb/firn/blockfile/schema"
)

const (
	maxTableName   = 80     // bytes
	maxDatasetName = 512    // bytes
	maxTables      = 10_000 // each has a schema and files of its own
	maxKnownShapes = 16_384 // a table's remembered shapes; forgetting them only costs time
)

// tableState is what the process keeps of a table: the tree of its types, the shapes known to fit
// it, its settings. Trees only widen; what is durable of them travels with generations and
// catalog.
type tableState struct {
	name     string
	settings atomic.Pointer[TableSettings]

	// total counts the records accepted, ever. It and dirty belong to the log's lock.
	total uint64
	dirty bool // total changed since the last state frame

	mu struct {
		sync.RWMutex
		tree  *schema.Tree
		known map[uint64]struct{} // shape hashes, see schema.OwnShape
	}
}

func newTableState(name string, tree *schema.Tree, settings TableSettings) *tableState {
	t := &tableState{name: name}
	if tree == nil {
		tree = schema.NewTree(name)
	}
	t.mu.tree = tree
	t.mu.known = make(map[uint64]struct{})
	t.settings.Store(&settings)
	return t
}

// knows tells whether a shape is known to fit the tree.
func (t *tableState) knows(shape uint64) bool {
	t.mu.RLock()
	_, ok := t.mu.known[shape]
	t.mu.RUnlock()
	return ok
}

// widen makes the tree fit a record and remembers its shape.
func (t *tableState) widen(shape uint64, dataset string, time int64, rec []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.tree.Add(dataset, time, rec)
	if len(t.mu.known) >= maxKnownShapes {
		clear(t.mu.known)
	}
	t.mu.known[shape] = struct{}{}
}

// treeSince returns the durable form of the tree when it is newer than the given version.
func (t *tableState) treeSince(version uint64) (tree []byte, now uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	now = t.mu.tree.Version()
	if now <= version {
		return nil, now
	}
	return t.mu.tree.AppendTo(nil), now
}

// version is the tree's.
func (t *tableState) version() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mu.tree.Version()
}

// schemaNow makes the schema of the tree as it is.
func (t *tableState) schemaNow() *schema.Schema {
	t.mu.RLock()
	tree := t.mu.tree.Clone()
	t.mu.RUnlock()
	return tree.Schema()
}

// tableSet finds table states by name.
type tableSet struct {
	mu     sync.RWMutex
	byName map[string]*tableState
}

// get returns the state of a table, nil when there is none. It does not allocate.
func (s *tableSet) get(name []byte) *tableState {
	s.mu.RLock()
	t := s.byName[string(name)]
	s.mu.RUnlock()
	return t
}

// make returns the state of a table, new when there was none.
func (s *tableSet) make(name string) (*tableState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.byName[name]; t != nil {
		return t, nil
	}
	if len(s.byName) >= maxTables {
		return nil, invalid("table %q would be one more than the %d a database can have", name, maxTables)
	}
	t := newTableState(name, nil, TableSettings{})
	s.byName[name] = t
	return t, nil
}

// all returns every state, in no order.
func (s *tableSet) all() []*tableState {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*tableState, 0, len(s.byName))
	for _, t := range s.byName {
		list = append(list, t)
	}
	return list
}

// checkName says what is wrong with a table's or a dataset's name: it must be 1 to max bytes of
// UTF-8 without control characters. Dots and slashes are data.
func checkName(what string, name []byte, max int) error {
	switch {
	case len(name) == 0:
		return invalid("%s is empty", what)
	case len(name) > max:
		return invalid("%s has %d bytes, more than %d", what, len(name), max)
	case !utf8.Valid(name):
		return invalid("%s is not UTF-8", what)
	}
	for _, r := range string(name) {
		if r < 0x20 || r >= 0x7f && r <= 0x9f {
			return invalid("%s has the control character %U", what, r)
		}
	}
	return nil
}
