package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
)

// Local is a store in a folder: the segments of a key are folders below root,
// the last one is the file. Temporaries live in one folder of their own,
//
//	<root>/.firn-tmp/<random>         an upload under way, locked by its process
//	<root>/battle/date=2024-05-01/…   objects
//
// on the same file system, since a commit is a link(2) from there: unlike
// rename, link fails when the name is taken.
//
// The order of a commit, and why no step can be left out:
//
//  1. fsync the temporary: otherwise the name could outlive its bytes
//  2. make missing folders, fsync every folder above that this process has not
//     yet synced (an earlier process may have died before it did)
//  3. link to the final name; EEXIST is ErrExists
//  4. unlink the temporary
//  5. fsync the folder of the final name: only now the object is durable
//
// A folder's fsync that failed has an unknown outcome, and asking the kernel
// again may well answer yes without having written: the store then refuses
// further writes until it is opened anew. Reads go on.
type Local struct {
	root    string
	syncDir func(dir string) error // a seam for tests
	closed  atomic.Bool
	failed  atomic.Pointer[error] // the fsync failure that ended writing

	// mu is held while folders are made or removed and while a name is linked,
	// so that Delete never removes a folder between the two.
	mu struct {
		sync.Mutex
		durable map[string]struct{} // folders whose own names are known to be synced
	}
}

var _ Store = (*Local)(nil)

// maxDurable bounds what Local remembers of folders; forgetting costs an extra
// fsync.
const maxDurable = 4096

// OpenLocal opens the store in folder root. The folder need not exist: it
// reads as empty and is made by the first write, so that a reader leaves no
// trace. Temporaries that a dead process left behind are removed, as far as
// the rights allow; those of living processes are locked and stay.
func OpenLocal(root string) (*Local, error) {
	if root == "" {
		return nil, errors.New("local store: no folder given")
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("local store: %w", err)
	}
	switch info, err := os.Stat(abs); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("local store: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("local store: %s is not a folder", abs)
	}
	l := &Local{root: abs, syncDir: syncDir}
	l.mu.durable = make(map[string]struct{})
	removeLeftovers(l.temporaries())
	return l, nil
}

// Root is the folder of the store, absolute.
func (l *Local) Root() string { return l.root }

// temporaries is the folder of uploads under way.
func (l *Local) temporaries() string { return filepath.Join(l.root, reservedPrefix) }

// path is where the object of a checked key lies.
func (l *Local) path(key string) string { return filepath.Join(l.root, filepath.FromSlash(key)) }

// admit is what every call checks first.
func (l *Local) admit(ctx context.Context, key string) error {
	if l.closed.Load() {
		return ErrClosed
	}
	return admit(ctx, key)
}

// admitWrite is what every write checks first.
func (l *Local) admitWrite(ctx context.Context, key string) error {
	if err := l.admit(ctx, key); err != nil {
		return err
	}
	if p := l.failed.Load(); p != nil {
		return fmt.Errorf("local store refuses writes until it is opened anew: %w", *p)
	}
	return nil
}

// fail makes the store refuse further writes.
func (l *Local) fail(err error) error {
	l.failed.CompareAndSwap(nil, &err)
	return err
}

// open opens the file of an object. Whatever is no regular file is no object.
func (l *Local) open(ctx context.Context, key string) (*os.File, int64, error) {
	if err := l.admit(ctx, key); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(l.path(key))
	switch {
	// ENOTDIR: a folder of the key is a file.
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, 0, fmt.Errorf("%s: %w", key, ErrNotFound)
	case err != nil:
		return nil, 0, fmt.Errorf("local store: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// Get implements Store.
func (l *Local) Get(ctx context.Context, key string, max int64) ([]byte, error) {
	f, size, err := l.open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > max {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d", key, ErrTooLarge, size, max)
	}
	b := make([]byte, size)
	if err := readAt(f, key, 0, b); err != nil {
		return nil, err
	}
	return b, nil
}

// ReadRange implements Store.
func (l *Local) ReadRange(ctx context.Context, key string, off int64, p []byte) error {
	if err := checkRange(key, off); err != nil {
		return err
	}
	if len(p) == 0 {
		return l.admit(ctx, key)
	}
	f, _, err := l.open(ctx, key)
	if err != nil {
		return err
	}
	defer f.Close()
	return readAt(f, key, off, p)
}

// readAt fills p from offset off of an object.
func readAt(f *os.File, key string, off int64, p []byte) error {
	n, err := f.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == io.EOF:
		return &ShortReadError{Key: key, Offset: off, Want: int64(len(p)), Got: int64(n)}
	}
	return fmt.Errorf("local store: %w", err)
}

// Size implements Store.
func (l *Local) Size(ctx context.Context, key string) (int64, error) {
	f, size, err := l.open(ctx, key)
	if err != nil {
		return 0, err
	}
	f.Close()
	return size, nil
}

// Delete implements Store. Folders that become empty go too.
func (l *Local) Delete(ctx context.Context, key string) error {
	if err := l.admitWrite(ctx, key); err != nil {
		return err
	}
	path := l.path(key)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil
	case err != nil:
		return fmt.Errorf("local store: %w", err)
	case info.IsDir():
		return nil // a folder is no object
	}
	switch err := os.Remove(path); {
	case errors.Is(err, fs.ErrNotExist): // another call was faster
		return nil
	case err != nil:
		return fmt.Errorf("local store: %w", err)
	}
	folder := filepath.Dir(path)
	// Gone means that another Delete emptied and removed the folder.
	if err := l.syncDir(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l.fail(fmt.Errorf("local store: sync folder: %w", err))
	}
	l.removeEmpty(folder)
	return nil
}

// removeEmpty removes folder and those above it, below root, while they are
// empty. Whether that survives a crash does not matter.
func (l *Local) removeEmpty(folder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; len(folder) > len(l.root); folder = filepath.Dir(folder) {
		if syscall.Rmdir(folder) != nil {
			return
		}
		delete(l.mu.durable, folder)
	}
}

// Close implements Store. Uploads still open can only be aborted.
func (l *Local) Close() error {
	l.closed.Store(true)
	return nil
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}
