package hot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	filePerm = 0o600

	// pageSize is fixed, so that a folder carried to another machine is written on alike.
	pageSize = 4096
	// growBytes is by how much a file grows at once. Each growth is a truncate
	// and an fsync beside the commit's own; less would mean several a commit,
	// more would end a generation that much before its limit.
	growBytes = 4 << 20
	// txKeys is the most keys one commit touches. With small values the keys,
	// not the bytes, are what makes a large transaction slow.
	txKeys = 20_000

	defaultTimeout = time.Second
)

type boltOptions struct {
	timeout  time.Duration
	maxBytes int64 // no limit when 0
	mmap     int64
	noSync   bool
	stats    bool
	create   bool // the file must not exist
}

// openBolt opens a bbolt file. Panics of bbolt's on a damaged file become a
// CorruptError, and the file does not stay locked behind them.
func openBolt(path string, o boltOptions) (db *bbolt.DB, err error) {
	var file *os.File
	bo := &bbolt.Options{
		Timeout:         o.timeout,
		FreelistType:    bbolt.FreelistMapType, // synced on purpose: without it opening reads every page
		PageSize:        pageSize,
		InitialMmapSize: int(o.mmap),
		MaxSize:         int(o.maxBytes),
		NoSync:          o.noSync,
		NoGrowSync:      o.noSync,
		NoStatistics:    !o.stats,
		OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
			flag &^= os.O_CREATE
			if o.create {
				flag |= os.O_CREATE | os.O_EXCL
			}
			var err error
			file, err = os.OpenFile(name, flag, perm)
			return file, err
		},
	}
	err = protect(path, func(*guard) (err error) {
		db, err = bbolt.Open(path, filePerm, bo)
		return err
	})
	var damage *CorruptError
	switch {
	case err == nil:
		db.AllocSize = growBytes
		return db, nil
	case errors.As(err, &damage):
		if file != nil {
			unlock(file) // bbolt was interrupted before it could
			_ = file.Close()
		}
		return nil, err
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, &CorruptError{File: path, Reason: "both first pages are unreadable", Err: err}
	}
	return nil, fmt.Errorf("hot: open %s: %w", path, err)
}

// createBolt makes a new bbolt file under a temporary name, lets setup fill it,
// and gives it its name when that is on disk; so a file of that name is always
// whole. It returns after the folder is synced.
func createBolt(path string, o boltOptions, setup func(*bbolt.Tx) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("hot: create %s: %w", path, os.ErrExist)
	}
	tmp := path + TempSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	o.create = true
	db, err := openBolt(tmp, o)
	if err != nil {
		return err
	}
	err = db.Update(setup)
	if err == nil {
		err = db.Update(noChange) // see Generation.settle
	}
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		return syncFolder(path)
	}
	_ = os.Remove(tmp) // what is left is removed by the next try
	return fmt.Errorf("hot: create %s: %w", path, err)
}

// TempSuffix ends the name of a file that is being created. What is found under
// such a name when nothing is being created holds no record and may be removed.
const TempSuffix = ".new"

// Remove unlinks a file that is closed, and syncs its folder. That there is no
// such file is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	return syncFolder(path)
}

// syncFolder makes the name of a file durable.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there
	}
	f, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// notCreated says whether a file is one that bbolt would take for new.
func notCreated(path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("hot: %w", err)
	}
	if fi.Size() == 0 {
		return fmt.Errorf("%w: %s", ErrNotCreated, path)
	}
	return nil
}

// commitError names the outcome of a failed commit.
func commitError(path string, err error) error {
	if errors.Is(err, berrors.ErrMaxSizeReached) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	return &UnknownOutcomeError{File: path, Err: err}
}

// ascending watches that keys come in order. bbolt follows its pages wherever they
// lead; a damaged one can lead back, and reading would go round for ever.
type ascending struct {
	file string
	prev []byte
}

func (a *ascending) next(key []byte) error {
	if a.prev != nil && bytes.Compare(a.prev, key) >= 0 {
		return &CorruptError{File: a.file, Key: bytes.Clone(key), Reason: "keys are out of order"}
	}
	a.prev = key
	return nil
}

// each calls fn for the keys of a bucket that begin with prefix, in order. Key and
// value are bbolt's.
func each(file string, b *bbolt.Bucket, prefix []byte, fn func(key, value []byte) error) error {
	order := ascending{file: file}
	c := b.Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if err := order.next(k); err != nil {
			return err
		}
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}
