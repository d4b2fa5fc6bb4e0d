package wal

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

// memFiles is a file system in memory that knows what a power cut may leave: a sector written and not
// synced is there or not, and so is a tail of the name changes since the folder was synced.
type memFiles struct {
	mu      sync.Mutex
	names   map[string]*memFile // as the process sees them
	durable map[string]*memFile // as of the last SyncDir
	pending []nameChange        // since then
	// before is called ahead of each operation, with no lock held; an error is the operation's outcome.
	before func(op, name string) error
}

type nameChange struct {
	remove, add string
	file        *memFile
}

type memFile struct {
	fs         *memFiles
	name       string
	live, disk []byte
}

const sectorBytes = 512

func newMemFiles() *memFiles {
	return &memFiles{names: map[string]*memFile{}, durable: map[string]*memFile{}}
}

func (m *memFiles) do(op, name string) error {
	m.mu.Lock()
	before := m.before
	m.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(op, filepath.Base(name))
}

func (m *memFiles) hook(before func(op, name string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = before
}

func (m *memFiles) apply(names map[string]*memFile, c nameChange) {
	if c.remove != "" {
		delete(names, c.remove)
	}
	if c.add != "" {
		names[c.add] = c.file
		c.file.name = c.add
	}
}

func (m *memFiles) change(c nameChange) {
	m.apply(m.names, c)
	m.pending = append(m.pending, c)
}

func (m *memFiles) MkdirAll(dir string) error { return m.do("mkdir", dir) }

func (m *memFiles) ReadDir(dir string) ([]string, error) {
	if err := m.do("readdir", dir); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for n := range m.names {
		if filepath.Dir(n) == dir {
			names = append(names, filepath.Base(n))
		}
	}
	return names, nil
}

func (m *memFiles) Open(name string) (file, error) {
	if err := m.do("open", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.names[name]
	if f == nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return &memHandle{f}, nil
}

func (m *memFiles) Create(name string) (file, error) {
	if err := m.do("create", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &memFile{fs: m}
	m.change(nameChange{add: name, file: f})
	return &memHandle{f}, nil
}

func (m *memFiles) Rename(from, to string) error {
	if err := m.do("rename", from); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.names[from]
	if f == nil {
		return &os.PathError{Op: "rename", Path: from, Err: os.ErrNotExist}
	}
	m.change(nameChange{remove: from, add: to, file: f})
	return nil
}

func (m *memFiles) Remove(name string) error {
	if err := m.do("remove", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names[name] == nil {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	m.change(nameChange{remove: name})
	return nil
}

func (m *memFiles) SyncDir(dir string) error {
	if err := m.do("syncdir", dir); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durable, m.pending = maps.Clone(m.names), nil
	return nil
}

// clone copies the state as it is, as if the process had ended.
func (m *memFiles) clone() *memFiles {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemFiles()
	copies := map[*memFile]*memFile{}
	cp := func(f *memFile) *memFile {
		if f == nil {
			return nil
		}
		if copies[f] == nil {
			copies[f] = &memFile{fs: c, name: f.name, live: append([]byte(nil), f.live...), disk: append([]byte(nil), f.disk...)}
		}
		return copies[f]
	}
	for n, f := range m.names {
		c.names[n] = cp(f)
	}
	for n, f := range m.durable {
		c.durable[n] = cp(f)
	}
	for _, p := range m.pending {
		c.pending = append(c.pending, nameChange{p.remove, p.add, cp(p.file)})
	}
	return c
}

// crash returns what a power cut leaves, as rng decides.
func (m *memFiles) crash(rng *rand.Rand) *memFiles {
	c := m.clone()
	names := c.durable
	for _, p := range c.pending[:rng.IntN(len(c.pending)+1)] {
		c.apply(names, p)
	}
	for _, f := range names {
		f.tear(rng)
	}
	c.names, c.durable, c.pending = names, maps.Clone(names), nil
	return c
}

func (f *memFile) tear(rng *rand.Rand) {
	size := len(f.disk)
	if rng.IntN(2) == 0 {
		size = len(f.live)
	}
	keep := rng.IntN(4) // 0: nothing, 3: everything, else a coin for each sector
	after := make([]byte, size)
	copy(after, f.disk)
	for off := 0; off < min(size, len(f.live)); off += sectorBytes {
		end := min(off+sectorBytes, size, len(f.live))
		if keep == 3 || (keep > 0 && rng.IntN(2) == 0) {
			copy(after[off:end], f.live[off:end])
		}
	}
	f.live, f.disk = after, append([]byte(nil), after...)
}

// memHandle is an open memFile.
type memHandle struct{ *memFile }

func (h *memHandle) do(op string) error {
	h.fs.mu.Lock()
	name := h.name
	h.fs.mu.Unlock()
	return h.fs.do(op, name)
}

func (h *memHandle) ReadAt(b []byte, off int64) (int, error) {
	if err := h.do("read"); err != nil {
		return 0, err
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if off >= int64(len(h.live)) {
		return 0, io.EOF
	}
	n := copy(b, h.live[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// A failing write leaves its first half, as a disk may.
func (h *memHandle) WriteAt(b []byte, off int64) (int, error) {
	err := h.do("write")
	if err != nil {
		b = b[:len(b)/2]
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.grow(off + int64(len(b)))
	return copy(h.live[off:], b), err
}

func (f *memFile) grow(size int64) {
	if n := size - int64(len(f.live)); n > 0 {
		f.live = append(f.live, make([]byte, n)...)
	}
}

func (h *memHandle) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return int64(len(h.live)), nil
}

func (h *memHandle) sync(op string) error {
	if err := h.do(op); err != nil {
		return err
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.disk = append(h.disk[:0], h.live...)
	return nil
}

func (h *memHandle) Fdatasync() error { return h.sync("sync") }
func (h *memHandle) Settle() error    { return h.sync("settle") }

func (h *memHandle) Allocate(size int64) error {
	if err := h.do("allocate"); err != nil {
		return err
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.grow(size)
	return nil
}

func (h *memHandle) Truncate(size int64) error {
	if err := h.do("truncate"); err != nil {
		return err
	}
	h.fs.mu.Lock()
	h.live = h.live[:size]
	h.fs.mu.Unlock()
	return h.sync("truncate")
}

func (h *memHandle) Close() error { return nil }

// content returns the bytes of a file, to be changed in place.
func (m *memFiles) content(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.names[filepath.Join(memDir, name)].live
}

// shorten cuts a file; remove takes it away.
func (m *memFiles) shorten(name string, size int64) {
	f := m.names[filepath.Join(memDir, name)]
	f.live = f.live[:size]
}

func (m *memFiles) remove(name string) { delete(m.names, filepath.Join(memDir, name)) }

const memDir = "/log"

var errDisk = errors.New("the disk is broken")
