// Package hot keeps the records that are acknowledged and not yet archived.
//
// # Words
//
// A record here is a time, a number and the bytes of its JSON; nothing in this
// package looks into them. The number, seq, orders records by acceptance and is
// given by the write-ahead log, which this package does not know either.
//
// A memory table ([Memory]) holds records that are in the write-ahead log and
// nowhere else on disk. A generation ([Generation]) is one bbolt file that holds
// the records of many memory tables. A run is one memory table within a
// generation. A chunk is up to 32 KiB of records of one table, one dataset, one
// UTC day and one run, compressed, under one key. Keys ([Keys]) is a file of its
// own for idempotency keys.
//
// # How a record travels
//
// The engine has made a batch durable and hands its groups to [Memory.Add]. From
// then on views ([Memory.View]) see it. At some size or age the engine starts a new
// memory table and freezes this one. [Generation.Apply] sorts what is frozen into
// chunks, in order of (table, day, dataset), and commits them in steps under a run
// number nobody looks at yet; the last commit publishes the run together with the
// highest number applied. When Apply returns, the write-ahead log up to that number
// may go. Later the engine seals the generation, that is, applies to another one,
// and reads it once from beginning to end with [Tx.Walk], which yields exactly the
// order in which block files are written; then it closes and removes the file.
//
//	Add ──► memory table ──Apply──► chunks of run r ──publish──► visible ──Walk──► block files
//	             │ View                                  │ Begin
//	             └──────────────► readers ◄──────────────┘
//
// # What is promised
//
// A run is visible whole or not at all, also after a crash between its commits:
// readers skip the chunks of higher runs than the published one, and opening the
// file removes them. Applying a memory table again does nothing.
//
// A view taken from a memory table and one taken from a generation never change.
// Put together by number (from memory what is above [Tx.Applied]) they give every
// record once.
//
// Damage is never handed out as data. Every value carries a checksum over its key
// and itself; sums per dataset and per table tell when a whole chunk is missing from
// a read that covers a dataset, or from a walk. bbolt itself checks none of its
// pages but the first two: what it makes of a damaged one, panics and faults
// included, becomes a [CorruptError]. One thing stays out of reach: a page of bbolt's
// inner nodes that is damaged so that it leads back to itself can send bbolt round
// for ever.
//
// A failed commit has an unknown outcome and ends the use of a handle
// ([UnknownOutcomeError]); opening the file anew shows what happened.
//
// Memory is bounded: an Apply needs a few commits' worth beside the memory table, a
// reader one unpacked chunk, a walk one of each run whose times overlap. No length
// that a file claims is believed before it is compared with a named maximum.
//
// # Who may call what
//
// One goroutine at a time adds to a memory table and takes views of it; views are
// then read without a lock. A generation and Keys may be used by any number of
// goroutines; what writes waits for what writes. A [Tx] belongs to one goroutine.
// Nothing runs in the background: Apply uses one goroutine of its own and ends it.
package hot
