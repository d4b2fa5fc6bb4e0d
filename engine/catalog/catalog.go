package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ErrFormat is wrapped when the file was written by a program that knows a
// format this one does not.
var ErrFormat = errors.New("catalog: unknown format")

// Options say how a catalog is opened. The zero value is what the daemon uses.
type Options struct {
	// Timeout is how long Open waits for another process to let go of the file.
	// Default 1 s.
	Timeout time.Duration

	// ReadOnly opens an existing file without the right to change it. Several
	// processes can, while no writer has it.
	ReadOnly bool

	// NoSync leaves out fsync, for tests whose files need not survive.
	NoSync bool

	commit func(*bolt.Tx) error // test seam; nil commits
}

// Catalog is an open catalog file. Safe for concurrent use; see the package
// comment for what blocks what.
type Catalog struct {
	path    string
	options Options
	created bool

	writing sync.Mutex // held by the one Update at a time, and by Close

	mu struct {
		sync.RWMutex          // write-held only while the handle is exchanged
		db           *bolt.DB // nil after a failed reopening and after Close
		failed       error    // why db is nil although the catalog is not closed
		closed       bool
	}
}

// Open opens the catalog at path, or creates one there, whole or not at all,
// and syncs the folder. A file that is damaged gives *CorruptError, one of a
// later format ErrFormat; neither is touched.
func Open(path string, o Options) (*Catalog, error) {
	if o.Timeout <= 0 {
		o.Timeout = time.Second
	}
	if o.commit == nil {
		o.commit = (*bolt.Tx).Commit
	}
	c := &Catalog{path: path, options: o}
	switch st, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist) && !o.ReadOnly:
		if err := c.create(); err != nil {
			return nil, fmt.Errorf("catalog: creating %s: %w", path, err)
		}
	case err != nil:
		return nil, fmt.Errorf("catalog: %w", err)
	case st.IsDir():
		return nil, fmt.Errorf("catalog: %s is a folder", path)
	}
	named, err := c.open()
	if err != nil {
		return nil, err
	}
	c.created = !named
	return c, nil
}

// Created reports whether the catalog held no store id when it was opened: it
// is new, or the process that made it stopped before it named it.
func (c *Catalog) Created() bool { return c.created }

// Path is where the catalog's file lies.
func (c *Catalog) Path() string { return c.path }

func (c *Catalog) boltOptions() *bolt.Options {
	o := &bolt.Options{
		Timeout:      c.options.Timeout,
		FreelistType: bolt.FreelistMapType, // synced: opening a large catalog must not read all of it
		NoStatistics: true,
		ReadOnly:     c.options.ReadOnly,
		NoSync:       c.options.NoSync,
	}
	// Growing the mapping waits for every reader, so it is made large once; it
	// costs address space alone. On Windows the file itself would be that large.
	if strconv.IntSize == 64 && runtime.GOOS != "windows" {
		size := int64(8) << 30
		o.InitialMmapSize = int(size)
	}
	return o
}

// create writes a file with empty buckets under a temporary name and moves it
// into place, so that a crash leaves nothing that looks like a catalog.
func (c *Catalog) create() (err error) {
	temp := c.path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	o := c.boltOptions()
	o.InitialMmapSize = 0
	db, err := bolt.Open(temp, 0o600, o)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range bucketNames {
			if _, err := createBucket(tx.CreateBucket, []byte(name)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte(bucketNames[bktMeta]))
		state, err := (&state{nextFile: 1}).append(nil)
		if err != nil {
			return err
		}
		format := binary.AppendUvarint(nil, formatVersion)
		return errors.Join(meta.Put(keyFormat, appendSealed(nil, keyFormat, format)), meta.Put(keyState, appendSealed(nil, keyState, state)))
	})
	if err := errors.Join(err, db.Sync(), db.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, c.path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(c.path))
}

func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// open opens the file and looks it over. Called by Open, and with mu held.
func (c *Catalog) open() (named bool, err error) {
	o := c.boltOptions()
	var file *os.File // bbolt leaves it open, and locked, when it panics
	o.OpenFile = func(name string, flag int, perm os.FileMode) (*os.File, error) {
		// The file exists by now: were it gone, an empty one must not take its place.
		f, err := os.OpenFile(name, flag&^os.O_CREATE, perm)
		file = f
		return f, err
	}
	if st, err := os.Stat(c.path); err != nil {
		return false, fmt.Errorf("catalog: %w", err)
	} else if st.Size() < 8<<10 { // two metadata pages of the smallest size
		return false, &CorruptError{File: c.path, Reason: fmt.Sprintf("a file of %d bytes", st.Size())}
	}
	var db *bolt.DB
	if perr := protect(c.path, "", nil, func() { db, err = bolt.Open(c.path, 0o600, o) }); perr != nil {
		if file != nil {
			unlock(file)
			file.Close()
		}
		return false, perr
	}
	switch {
	case err == nil:
	case errors.Is(err, berrors.ErrTimeout):
		return false, fmt.Errorf("catalog: %s is in use by another process: %w", c.path, err)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch),
		errors.Is(err, berrors.ErrInvalidMapping):
		return false, &CorruptError{File: c.path, Reason: err.Error()}
	default:
		return false, fmt.Errorf("catalog: opening %s: %w", c.path, err)
	}
	c.mu.db = db
	if named, err = c.inspect(db); err != nil {
		c.mu.db = nil
		return false, errors.Join(err, db.Close())
	}
	return named, nil
}

// inspect looks at the format first, then at what every use needs.
func (c *Catalog) inspect(db *bolt.DB) (named bool, err error) {
	s, err := c.begin(db)
	if err != nil {
		return false, err
	}
	defer s.Close()
	st, err := os.Stat(c.path)
	if err != nil {
		return false, fmt.Errorf("catalog: %w", err)
	}
	if size := s.btx.Size(); st.Size() < size {
		return false, &CorruptError{File: c.path, Reason: fmt.Sprintf("the file has %d bytes of %d", st.Size(), size)}
	}
	body, ok, err := s.get(bktMeta, keyFormat)
	if err == nil && !ok {
		err = s.damage(bktMeta, keyFormat, errors.New("the row is missing"))
	}
	if err != nil {
		return false, err
	}
	r := rowReader{b: body}
	if v := r.uvarint(); r.end() != nil {
		return false, s.damage(bktMeta, keyFormat, r.err)
	} else if v != formatVersion {
		return false, fmt.Errorf("%w: %s has format %d, this program knows %d", ErrFormat, c.path, v, formatVersion)
	}
	for id := range bucketCount {
		if _, err := s.bucket(id); err != nil {
			return false, err
		}
	}
	err = s.loadState()
	return s.state.identity.StoreID != "", err
}

// Close waits for the running Update and for every open Snapshot, then closes
// the file. A second call returns nil.
func (c *Catalog) Close() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	db := c.mu.db
	c.mu.closed, c.mu.db = true, nil
	if db == nil {
		return nil
	}
	return c.closeBolt(db)
}

func (c *Catalog) closeBolt(db *bolt.DB) (err error) {
	if perr := protect(c.path, "", nil, func() { err = db.Close() }); perr != nil {
		return perr
	}
	return err
}

// handle gives the open file, opening it again when an earlier attempt failed.
func (c *Catalog) handle() (*bolt.DB, error) {
	c.mu.RLock()
	db, closed := c.mu.db, c.mu.closed
	c.mu.RUnlock()
	switch {
	case closed:
		return nil, ErrClosed
	case db != nil:
		return db, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil, ErrClosed
	}
	if c.mu.db == nil {
		if errors.Is(c.mu.failed, errAbandoned) {
			return nil, c.mu.failed
		}
		if _, err := c.open(); err != nil {
			c.mu.failed = err
			return nil, err
		}
		c.mu.failed = nil
	}
	return c.mu.db, nil
}

// Snapshot is one state of the catalog, unmoved by later transactions. Close it
// soon: pages it can see are not used again until then, so the file grows. One
// goroutine at a time may use it, and a goroutine that holds one must neither
// take a second one nor call Update or Close: both may have to wait for it.
type Snapshot struct{ Reader }

// View takes a snapshot. It waits while the file is opened anew after a failed
// commit.
func (c *Catalog) View() (*Snapshot, error) {
	if _, err := c.handle(); err != nil {
		return nil, err
	}
	c.mu.RLock() // keeps the handle from being exchanged before the transaction holds it
	defer c.mu.RUnlock()
	switch {
	case c.mu.closed:
		return nil, ErrClosed
	case c.mu.db == nil:
		return nil, c.mu.failed
	}
	s, err := c.begin(c.mu.db)
	if err != nil {
		return nil, err
	}
	if err := s.loadState(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (c *Catalog) begin(db *bolt.DB) (*Snapshot, error) {
	var btx *bolt.Tx
	var err error
	if perr := protect(c.path, "", nil, func() { btx, err = db.Begin(false) }); perr != nil {
		return nil, perr
	}
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	return &Snapshot{Reader{rows: rows{path: c.path, btx: btx}, live: map[FileID]bool{}}}, nil
}

// Close lets the snapshot go. What was read from it stays valid; calls after it
// return ErrClosed. A second call does nothing.
func (s *Snapshot) Close() {
	if s.btx == nil {
		return
	}
	btx := s.btx
	s.btx = nil
	s.buckets, s.tables = [bucketCount]*bolt.Bucket{}, nil
	_ = protect(s.path, "", nil, func() { _ = btx.Rollback() }) // of a read transaction: cannot fail
}
