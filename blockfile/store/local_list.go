package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// List implements Store. The names of the folders on the path to one object
// are held in memory, not the whole tree. Regular files that firn did not
// write are listed too (whoever verifies a store reports them); symbolic links
// and the folder of temporaries are not.
func (l *Local) List(ctx context.Context, prefix, after string, fn func(key string, size int64) error) error {
	if l.closed.Load() {
		return ErrClosed
	}
	return l.list(ctx, "", prefix, after, fn)
}

// list walks one folder; at is its key with a slash at the end, or empty for
// root.
func (l *Local) list(ctx context.Context, at, prefix, after string, fn func(key string, size int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(l.root, filepath.FromSlash(at)))
	if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile, or a store never written to
		return nil
	}
	if err != nil {
		return fmt.Errorf("local store: %w", err)
	}
	// Byte order of keys is that of the names, a folder counting with its
	// slash: `a-b/x` comes before `a/x`.
	keyOf := func(e fs.DirEntry) string {
		if e.IsDir() {
			return at + e.Name() + "/"
		}
		return at + e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(keyOf(a), keyOf(b)) })
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if strings.HasPrefix(e.Name(), reservedPrefix) {
			continue
		}
		key := keyOf(e)
		switch {
		case e.IsDir():
			if !folderConcerned(key, prefix, after) {
				continue
			}
			if err := l.list(ctx, key, prefix, after, fn); err != nil {
				return err
			}
		case e.Type().IsRegular():
			if !strings.HasPrefix(key, prefix) || key <= after {
				continue
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
				continue
			}
			if err != nil {
				return fmt.Errorf("local store: %w", err)
			}
			if err := fn(key, info.Size()); err != nil {
				return err
			}
		}
	}
	return nil
}

// folderConcerned reports whether a folder, given with its slash, can hold
// keys that begin with prefix and are greater than after.
func folderConcerned(folder, prefix, after string) bool {
	if !strings.HasPrefix(folder, prefix) && !strings.HasPrefix(prefix, folder) {
		return false
	}
	return after < folder || strings.HasPrefix(after, folder)
}
