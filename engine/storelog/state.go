package storelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/firndb/firn/blockfile/store"
)

// ErrSequence is wrapped when an entry cannot follow the ones before it:
// another position than the next one, another writer than the one in force, a
// file added twice or removed without being there. A log that honest writers
// wrote has no such entry.
var ErrSequence = errors.New("storelog: entry does not follow")

// LiveFile is a block file that belongs to the store's content.
type LiveFile struct {
	File
	Run      string `json:"run"`       // of the entry that added it
	LiveFrom uint64 `json:"live_from"` // position of that entry
}

// State is what the entries below Next add up to. It holds every live file, so
// it grows with their number.
type State struct {
	Next        uint64 // position of the first entry that is not in it
	WriterID    string // whom the last takeover names; "" before the first
	Epoch       uint32
	ArchivedSeq uint64

	Files    map[string]LiveFile    // by object key
	Retired  map[string]struct{}    // ids of all generations ever retired
	Schemas  map[string][]SchemaDef // by table, ascending by version
	Tables   map[string]Settings    // of tables that have some
	Counters map[string]Counters    // by table
}

// NewState is the state of an empty log.
func NewState() *State {
	return &State{Files: map[string]LiveFile{}, Retired: map[string]struct{}{}, Schemas: map[string][]SchemaDef{},
		Tables: map[string]Settings{}, Counters: map[string]Counters{}}
}

// Apply moves the state on by the entry at Next. On an error it is unchanged.
func (s *State) Apply(e Entry) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: entry %d: %s", ErrSequence, e.N, fmt.Sprintf(format, args...))
	}
	if err := e.check(); err != nil {
		return fmt.Errorf("%w %d: %w", ErrInvalid, e.N, err)
	}
	switch {
	case e.N != s.Next:
		return fail("the next one is %d", s.Next)
	case e.Kind == KindTakeover:
		if e.Epoch <= s.Epoch {
			return fail("takeover in epoch %d after epoch %d", e.Epoch, s.Epoch)
		}
	case e.WriterID != s.WriterID || e.Epoch != s.Epoch:
		return fail("by writer %s in epoch %d, while %s writes in epoch %d", e.WriterID, e.Epoch, s.WriterID, s.Epoch)
	}
	for _, f := range e.Added {
		if _, there := s.Files[f.Key]; there {
			return fail("adds %q, which is there", f.Key)
		}
	}
	for _, key := range e.Removed {
		if _, there := s.Files[key]; !there {
			return fail("removes %q, which is not there", key)
		}
	}
	for i := range e.Schemas {
		d := &e.Schemas[i]
		if at, there := s.schema(d.Table, d.Version); there && s.Schemas[d.Table][at].Fingerprint != d.Fingerprint {
			return fail("version %d of table %q is another schema", d.Version, d.Table)
		}
	}

	s.Next++
	if e.Kind == KindTakeover {
		s.WriterID, s.Epoch = e.WriterID, e.Epoch
	}
	s.ArchivedSeq = max(s.ArchivedSeq, e.ArchivedSeq)
	for _, f := range e.Added {
		f.Lineage = slices.Clone(f.Lineage)
		s.Files[f.Key] = LiveFile{File: f, Run: e.Run, LiveFrom: e.N}
	}
	for _, key := range e.Removed {
		delete(s.Files, key)
	}
	for _, id := range e.Retired {
		s.Retired[id] = struct{}{}
	}
	for _, d := range e.Schemas {
		s.putSchema(d)
	}
	maps.Copy(s.Tables, e.Tables)
	maps.Copy(s.Counters, e.Counters)
	return nil
}

func (s *State) schema(table string, version uint64) (at int, there bool) {
	return slices.BinarySearchFunc(s.Schemas[table], version, func(d SchemaDef, v uint64) int {
		switch {
		case d.Version < v:
			return -1
		case d.Version > v:
			return 1
		}
		return 0
	})
}

// putSchema adds a schema; for one that is there the newer tree holds.
func (s *State) putSchema(d SchemaDef) {
	d.Tree = bytes.Clone(d.Tree)
	at, there := s.schema(d.Table, d.Version)
	if there {
		s.Schemas[d.Table][at].Tree = d.Tree
		return
	}
	s.Schemas[d.Table] = slices.Insert(s.Schemas[d.Table], at, d)
}

// Load reads the state of the whole log: the newest checkpoint that can be read,
// then the entries after it. An empty store gives the empty state.
func Load(ctx context.Context, st store.Store) (*State, error) {
	s, _, err := LoadNewestCheckpoint(ctx, st)
	if err != nil {
		return nil, err
	}
	if _, err := Read(ctx, st, s.Next, s.Apply); err != nil {
		return nil, err
	}
	return s, nil
}

// Writer tells who writes the store: whom the last takeover entry names, in
// which epoch, and the position of the next entry. A store without a log has
// writer "" and next 0.
func Writer(ctx context.Context, st store.Store) (writerID string, epoch uint32, next uint64, err error) {
	s, err := Load(ctx, st)
	if err != nil {
		return "", 0, 0, err
	}
	return s.WriterID, s.Epoch, s.Next, nil
}
