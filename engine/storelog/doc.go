// Package storelog keeps a store's truth: who writes it, which block files it
// has, and what happened to it, as numbered entries that are put once and never
// changed or deleted. The catalog of a database is a cache of it; the objects of
// a bucket alone, read by this package, bring a catalog back.
//
// # Objects
//
//	_firn/store                             id and salt of the store, written once
//	_firn/log/00000000000000000000          entry 0: the first writer's takeover
//	_firn/log/00000000000000000001          entry 1, and so on without a gap
//	_firn/checkpoint/00000000000000000256   the state that entries 0 to 255 made
//
// format.go draws what is inside.
//
// # How one entry travels
//
// A writer knows the next position n. Put writes entry n if none is there; that
// is the commit of what the entry says. When the store's answer is lost, nothing
// is known: Put puts the same entry again until the store shows an entry at n,
// and returns that one, ours or another's. Another writer's entry at n means
// that the store was taken over: the caller is fenced.
//
// A takeover entry names the writer in force from then on, with an epoch one or
// more above the last one. A run entry adds and removes block files and retires
// generations; an abort entry takes the place a run's entry could still arrive
// at; a table entry changes settings. State applies entries in order and refuses
// what cannot follow from the ones before.
//
// # Promises
//
//   - Every object carries a CRC-32C; damage is a *CorruptError, never data.
//   - Nothing is allocated for a length that was not compared with a maximum;
//     an entry takes at most MaxEntryBytes.
//   - A checkpoint is a short cut and nothing more: a damaged one is passed over
//     for the one before it, and the log is read from there.
//
// The functions keep no state and are safe for concurrent use; a State is for
// one goroutine at a time.
package storelog
