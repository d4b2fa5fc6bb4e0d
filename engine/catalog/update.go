package catalog

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// errAbandoned marks a handle whose transaction could neither be committed nor
// rolled back: its locks are gone with it, only a new process can open the file.
var errAbandoned = errors.New("catalog: given up after a failed rollback")

// Update runs fn in the one write transaction there is at a time, and commits
// what it did: all of it, durably, or nothing. When fn returns an error, or any
// step of it failed, nothing changed and that error is returned. When the commit
// fails, Update waits for all snapshots, opens the file anew and returns
// *UnknownOutcomeError. The Tx ends with fn.
func (c *Catalog) Update(fn func(*Tx) error) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	db, err := c.handle()
	if err != nil {
		return err
	}
	var btx *bolt.Tx
	if perr := protect(c.path, "", nil, func() { btx, err = db.Begin(true) }); perr != nil {
		return perr
	}
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	tx := &Tx{Reader: Reader{rows: rows{path: c.path, btx: btx}}}
	open := true
	rollback := func() error {
		if !open {
			return nil
		}
		open, tx.btx = false, nil
		return c.rollback(btx)
	}
	defer rollback() // a panic of fn takes it here

	err = tx.loadState()
	tx.was = tx.state
	if err == nil {
		err = fn(tx)
	}
	if err == nil {
		err = tx.finish()
	}
	if err != nil {
		return errors.Join(err, rollback())
	}

	if perr := protect(c.path, "", nil, func() { err = c.options.commit(btx) }); perr != nil {
		err = perr
	}
	if err == nil {
		open, tx.btx = false, nil
		return nil
	}
	// The metadata page may have reached the disk, or only the page cache, or
	// nothing did. What bbolt holds in memory is no witness any more.
	unknown := &UnknownOutcomeError{Err: err}
	if unknown.Reopen = rollback(); unknown.Reopen == nil {
		unknown.Reopen = c.reopen()
	}
	return unknown
}

// rollback gives the write transaction up. After a failed one, the handle is
// never used again: closing it would wait for the lock that was lost.
func (c *Catalog) rollback(btx *bolt.Tx) (err error) {
	if perr := protect(c.path, "", nil, func() { err = btx.Rollback() }); perr != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.db, c.mu.failed = nil, fmt.Errorf("%w: %w", errAbandoned, perr)
		return c.mu.failed
	}
	if errors.Is(err, berrors.ErrTxClosed) {
		return nil // a failed commit has rolled back by itself
	}
	return err
}

// reopen exchanges the handle after a failed commit. New views wait meanwhile.
func (c *Catalog) reopen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	db := c.mu.db
	c.mu.db = nil
	if err := c.closeBolt(db); err != nil {
		c.mu.failed = err
		return err
	}
	_, err := c.open()
	c.mu.failed = err
	return err
}
