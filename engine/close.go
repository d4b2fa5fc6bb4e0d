package engine

import "errors"

// Close waits for the calls and reads under way, ends the background work, and lets go of
// everything, the folder's lock last. What was acknowledged and not yet archived stays in the log
// and the generations and is there again after the next Open. Closing twice is fine; calls begun
// after it return ErrClosed.
func (db *DB) Close() error {
	db.closeOnce.Do(func() {
		db.calls.Lock()
		db.calls.closed = true
		db.calls.Unlock()
		db.cancel() // the background, and ingest calls that wait for room
		db.calls.wg.Wait()
		db.background.Wait()
		db.closeErr = db.giveBack()
	})
	return db.closeErr
}

// giveBack closes what is open, in the reverse of the order it was opened in. Open uses it too when
// it fails on the way.
func (db *DB) giveBack() error {
	var errs []error
	if db.log != nil {
		errs = append(errs, db.log.Close())
	}
	for _, h := range db.mu.gens {
		errs = append(errs, h.gen.Close())
	}
	if db.keys.durable != nil {
		errs = append(errs, db.keys.durable.Close())
	}
	if db.cat != nil {
		errs = append(errs, db.cat.Close())
	}
	if db.cache != nil {
		db.cache.close()
	}
	if db.store != nil {
		errs = append(errs, db.store.Close())
	}
	if db.lock != nil {
		errs = append(errs, db.lock.release())
	}
	return errors.Join(errs...)
}
