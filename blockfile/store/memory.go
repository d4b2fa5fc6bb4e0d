package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Memory is a store that lives in memory, for tests and examples. It keeps
// every promise of Store but durability.
type Memory struct {
	mu struct {
		sync.RWMutex
		objects map[string][]byte // the values are never changed
		closed  bool
	}
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	m := &Memory{}
	m.mu.objects = make(map[string][]byte)
	return m
}

// admit is what every call checks first.
func admit(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return CheckKey(key)
}

// Create implements Store.
func (m *Memory) Create(ctx context.Context, key string) (Upload, error) {
	if err := admit(ctx, key); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.mu.closed {
		return nil, ErrClosed
	}
	return &memoryUpload{ctx: ctx, store: m, key: key}, nil
}

// PutIfAbsent implements Store.
func (m *Memory) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	if err := admit(ctx, key); err != nil {
		return err
	}
	return m.put(key, bytes.Clone(data))
}

// put takes over data.
func (m *Memory) put(key string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return ErrClosed
	}
	if _, ok := m.mu.objects[key]; ok {
		return fmt.Errorf("%s: %w", key, ErrExists)
	}
	m.mu.objects[key] = data
	return nil
}

// object finds the bytes of a key, which nobody may change.
func (m *Memory) object(ctx context.Context, key string) ([]byte, error) {
	if err := admit(ctx, key); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.mu.closed {
		return nil, ErrClosed
	}
	b, ok := m.mu.objects[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	return b, nil
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, key string, max int64) ([]byte, error) {
	b, err := m.object(ctx, key)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d", key, ErrTooLarge, len(b), max)
	}
	return append([]byte{}, b...), nil
}

// ReadRange implements Store.
func (m *Memory) ReadRange(ctx context.Context, key string, off int64, p []byte) error {
	if err := checkRange(key, off); err != nil {
		return err
	}
	if len(p) == 0 {
		return admit(ctx, key)
	}
	b, err := m.object(ctx, key)
	if err != nil {
		return err
	}
	n := copy(p, b[min(off, int64(len(b))):])
	if n < len(p) {
		return &ShortReadError{Key: key, Offset: off, Want: int64(len(p)), Got: int64(n)}
	}
	return nil
}

// checkRange refuses offsets that no object has.
func checkRange(key string, off int64) error {
	if off < 0 {
		return fmt.Errorf("%s: negative offset %d", clip(key), off)
	}
	return nil
}

// Size implements Store.
func (m *Memory) Size(ctx context.Context, key string) (int64, error) {
	b, err := m.object(ctx, key)
	return int64(len(b)), err
}

// List implements Store. It lists the objects there were when it was called.
func (m *Memory) List(ctx context.Context, prefix, after string, fn func(key string, size int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	type entry struct {
		key  string
		size int64
	}
	m.mu.RLock()
	if m.mu.closed {
		m.mu.RUnlock()
		return ErrClosed
	}
	var found []entry
	for k, b := range m.mu.objects {
		if strings.HasPrefix(k, prefix) && k > after {
			found = append(found, entry{k, int64(len(b))})
		}
	}
	m.mu.RUnlock()
	slices.SortFunc(found, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	for _, e := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(e.key, e.size); err != nil {
			return err
		}
	}
	return nil
}

// Delete implements Store.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := admit(ctx, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return ErrClosed
	}
	delete(m.mu.objects, key)
	return nil
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.closed = true
	return nil
}

// memoryUpload gathers the bytes of one object.
type memoryUpload struct {
	ctx   context.Context // of Create: bounds the whole upload
	store *Memory
	key   string
	data  []byte
	done  bool
	err   error // the first failure; the upload stays broken
}

// Write implements Upload.
func (u *memoryUpload) Write(p []byte) (int, error) {
	if u.done {
		return 0, ErrUploadDone
	}
	if u.err == nil {
		u.err = u.ctx.Err()
	}
	if u.err != nil {
		return 0, u.err
	}
	u.data = append(u.data, p...)
	return len(p), nil
}

// Commit implements Upload.
func (u *memoryUpload) Commit(ctx context.Context) error {
	if u.done {
		return ErrUploadDone
	}
	u.done = true
	if u.err != nil {
		return u.err
	}
	if err := u.ctx.Err(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	data := u.data
	u.data = nil
	return u.store.put(u.key, data)
}

// Abort implements Upload.
func (u *memoryUpload) Abort() error {
	u.done, u.data = true, nil
	return nil
}
