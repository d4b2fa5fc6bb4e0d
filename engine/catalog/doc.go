// Package catalog keeps the one bbolt file that says what a database has: its
// tables and their schemas, its hot generations, its block files, and where in
// them the blocks of each dataset and day lie. It is a cache of the store's log
// (package storelog): a lost or damaged catalog is built again from there.
//
// # Nouns
//
// A file row is one block file, staged (of a job under way), live (what reads
// see) or dead (replaced, not yet collected). A reference is where one block
// lies; references of one dataset and day in one file are a group, which is
// immutable once written. A job is a change of the file set under way. The log
// position is how many entries of the store's log the catalog holds.
//
// # How one job travels
//
// BeginJob gives the run its id, which its object keys begin with. When block
// files are in the store, StageFile and StageRefs write their rows, in as many
// transactions as it takes: no read sees them. After the job's log entry is in
// the store, one small transaction, Commit, makes the files live and the inputs
// dead, retires the generations, sets the counters and the log position. A job
// that was given up is taken apart by DropStaged, in bounded transactions, and
// CloseJob. Dead files are dropped by DropDead, once nobody can see them.
//
// # How one look-up travels
//
// View takes a Snapshot. Refs seeks to the dataset's first day wanted, walks its
// groups in key order, leaves out those whose file is not live, and hands out
// the others packed; RefGroup.Decode unpacks them, and RefGroup.Key names them
// for a cache, for good: file ids are never used twice. A read that outlives its
// snapshot keeps Identity.LogNext and goes on by RefQuery with At and After; it
// then sees the same files, as long as those that died are not collected.
//
// # Promises
//
//   - A transaction is whole and durable when Update returned nil, absent when
//     it returned an error, and of unknown outcome with *UnknownOutcomeError.
//   - What a Snapshot shows never changes; what it returned stays valid.
//   - Every row has a CRC-32C, over its key too. Damage within a row is an
//     error, never data. bbolt's own pages have none; a rotten key or page that
//     hides rows is met by searches that check their neighbours and by walks that
//     count, and what still gets past them is found by Check.
//   - Steps that do not add up are refused (ErrState): a file with references
//     missing, a generation retired twice, a commit out of the log's order,
//     totals that the files do not give.
//
// # Concurrency
//
// A Catalog is safe for concurrent use: one Update at a time, any number of
// Snapshots beside it. A Snapshot or Tx is for one goroutine at a time, and a
// goroutine that holds a Snapshot takes no second one and calls neither Update
// nor Close. Nothing runs in the background.
package catalog
