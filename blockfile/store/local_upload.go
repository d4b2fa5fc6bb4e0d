package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Rights of what a store makes, before the umask: block files are meant to be
// opened by other programs.
const (
	folderMode = 0o755
	fileMode   = 0o644
)

// raceAttempts bounds how often a step is begun again that other processes
// undid; more than one in a row means that something is wrong.
const raceAttempts = 100

// localUpload is a temporary file on its way to its name.
type localUpload struct {
	ctx     context.Context // of Create: bounds the whole upload
	store   *Local
	key     string
	file    *os.File // nil once finished
	written int64
	err     error // the first failure; the upload stays broken
}

// Create implements Store.
func (l *Local) Create(ctx context.Context, key string) (Upload, error) {
	if err := l.admitWrite(ctx, key); err != nil {
		return nil, err
	}
	f, err := l.createTemporary()
	if err != nil {
		return nil, fmt.Errorf("local store: %w", err)
	}
	return &localUpload{ctx: ctx, store: l, key: key, file: f}, nil
}

// PutIfAbsent implements Store.
func (l *Local) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	u, err := l.Create(ctx, key)
	if err != nil {
		return err
	}
	defer u.Abort()
	if _, err := u.Write(data); err != nil {
		return err
	}
	return u.Commit(ctx)
}

// createTemporary makes a file of a random name and locks it. The lock tells
// other processes that it is in use; it goes with the process.
func (l *Local) createTemporary() (*os.File, error) {
	for range raceAttempts {
		path := filepath.Join(l.temporaries(), rand.Text())
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
		if errors.Is(err, fs.ErrNotExist) {
			if err := l.makeTemporaries(); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil && err != syscall.EWOULDBLOCK {
			os.Remove(path)
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		} else if err == nil && stillNamed(f) {
			return f, nil
		}
		// Another process that cleans up was between our open and our lock and
		// takes the file away.
		f.Close()
	}
	return nil, fmt.Errorf("%s: other processes keep removing it", l.temporaries())
}

// stillNamed reports whether f still lies under its name.
func stillNamed(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(mine, there)
}

// makeTemporaries makes the folder of temporaries, and root durably.
func (l *Local) makeTemporaries() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.makeRoot(l.root); err != nil {
		return err
	}
	err := os.Mkdir(l.temporaries(), folderMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// makeRoot makes dir and what is missing above it, each synced in its parent.
func (l *Local) makeRoot(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := l.makeRoot(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return l.syncDir(parent)
}

// Write implements Upload.
func (u *localUpload) Write(p []byte) (int, error) {
	if u.file == nil {
		return 0, ErrUploadDone
	}
	if u.err == nil {
		u.err = u.ctx.Err()
	}
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.file.Write(p)
	u.written += int64(n)
	if err != nil {
		u.err = fmt.Errorf("local store: %w", err)
	}
	return n, u.err
}

// Commit implements Upload.
func (u *localUpload) Commit(ctx context.Context) error {
	if u.file == nil {
		return ErrUploadDone
	}
	defer u.Abort() // also unlinks the temporary after success
	if u.err != nil {
		return u.err
	}
	if err := u.ctx.Err(); err != nil {
		return err
	}
	if err := u.store.admitWrite(ctx, u.key); err != nil {
		return err
	}
	if err := u.syncFile(); err != nil {
		return fmt.Errorf("local store: %w", err)
	}
	path := u.store.path(u.key)
	err := u.store.link(u.file.Name(), path)
	taken := errors.Is(err, fs.ErrExist)
	if err != nil && !taken {
		return fmt.Errorf("local store: %w", err)
	}
	// A temporary that cannot be unlinked now is removed by a later OpenLocal;
	// the object has its name all the same.
	u.Abort()
	// Also when the name was taken: its writer may have died before this sync,
	// and ErrExists speaks of a durable object.
	if err := u.store.syncDir(filepath.Dir(path)); err != nil {
		return u.store.fail(fmt.Errorf("local store: sync folder: %w", err))
	}
	if taken {
		return fmt.Errorf("%s: %w", u.key, ErrExists)
	}
	return nil
}

// syncFile makes the bytes durable and checks that all are there.
func (u *localUpload) syncFile() error {
	if err := u.file.Sync(); err != nil {
		return err
	}
	info, err := u.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != u.written {
		return fmt.Errorf("%s: %d bytes written, the file has %d", u.file.Name(), u.written, info.Size())
	}
	return nil
}

// Abort implements Upload.
func (u *localUpload) Abort() error {
	if u.file == nil {
		return nil
	}
	// Unlinked before closed: closing gives up the lock.
	err := os.Remove(u.file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	err = errors.Join(err, u.file.Close())
	u.file = nil
	return err
}

// link gives the temporary its name, below durable folders. fs.ErrExist says
// that the name is taken.
func (l *Local) link(temporary, path string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range raceAttempts {
		if err := l.makeFoldersLocked(filepath.Dir(path)); err != nil {
			return err
		}
		err := os.Link(temporary, path)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// Another process removed the folder, empty as it was.
		clear(l.mu.durable)
	}
	return fmt.Errorf("%s: other processes keep removing its folder", path)
}

// makeFoldersLocked makes folder and those above it, below root, and syncs
// each name unless this process knows it to be synced.
func (l *Local) makeFoldersLocked(folder string) error {
	if len(folder) <= len(l.root) {
		return l.makeRoot(l.root)
	}
	if _, ok := l.mu.durable[folder]; ok {
		return nil
	}
	parent := filepath.Dir(folder)
	if err := l.makeFoldersLocked(parent); err != nil {
		return err
	}
	if err := os.Mkdir(folder, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := l.syncDir(parent); err != nil {
		return l.fail(fmt.Errorf("sync folder: %w", err))
	}
	if len(l.mu.durable) >= maxDurable {
		clear(l.mu.durable)
	}
	l.mu.durable[folder] = struct{}{}
	return nil
}

// removeLeftovers removes the temporaries that no living process holds.
func removeLeftovers(folder string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(folder, e.Name())
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.Remove(path)
		}
		f.Close()
	}
}
