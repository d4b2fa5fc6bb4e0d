// Package wal is a write-ahead log: it makes bytes durable before they are acknowledged, and gives them
// back in order after a crash. It knows bytes, not records.
//
// # Nouns
//
// A frame is one payload with a header that says where it stands. A group is the frames that share one
// write and one fdatasync. A segment is a file of frames, allocated and written with zeros before it is
// needed; a trimmed segment is reused. A position is a place in the log that no other frame ever has.
// The bound is the highest position that the log itself proves to have been on disk.
//
// # How one entry travels
//
// Append puts the entry into a queue and waits. One goroutine, the appender, takes everything that is
// queued as one group. It makes sure of room first, by the sizes the entries give, and begins the next
// segment where needed; only then it calls Fill of each entry, in log order, to build the frames in one
// buffer. It writes the buffer, calls fdatasync, calls Durable of each entry in the same order, and lets
// the callers go. Entries that arrive meanwhile are the next group: the busier the log, the fewer syncs
// an entry costs.
//
// When nothing follows for a while the appender writes an idle frame, and Close writes a closing one.
// Each says that what was before it is on disk.
//
// Later the owner of the log has what it needs of a segment elsewhere and calls Trim.
//
// # Promises
//
//   - An entry whose Append returned nil is replayed by every later Open until it is trimmed, also after
//     a power cut. (With SyncInterval: also after a power cut if it is older than the interval or Sync
//     was called.)
//   - An entry whose Append returned an error matching ErrNotWritten is never replayed. After ErrFailed
//     without it, the next Open tells.
//   - Entries are replayed in the order of their Fill and Durable calls, each at most once by one Open.
//   - A failed write or fsync is final for the process.
//   - A torn tail is cut; damage to what was proven to be on disk is reported, never replayed and never
//     passed over in silence, and stops the log until AcceptDamage. recovery.go says how the two are told
//     apart and why that is a proof.
//   - A full disk is no failure: Append returns ErrNoSpace before anything has changed.
//   - Memory is bounded by the largest frame and the largest group, not by the size of the log.
//
// It is not promised that damage to the last group is noticed if the process ended before the idle
// frame after it was written, nor that the loss of the oldest or newest segment files is: nothing that
// is left refers to them. Owners that number their entries see these.
//
// # What is assumed of the disk
//
//  1. After a successful fdatasync content and size of a file survive a power cut, and after fsync of a
//     folder so do the names in it.
//  2. Writing a sector again with the same bytes at its front does not lose these bytes: a group may
//     begin in the last page of the group before it.
//  3. Pages of one unsynced write may reach the disk in any order, in part, or not at all.
//
// # Concurrency
//
// All methods of Log may be called from any number of goroutines. Fill, Durable and Options.IdleFill are
// called one at a time; they must not call back into the log. One process may have the folder open;
// the owner holds that lock.
//
// The bytes are drawn in format.go, the names of files in names.go.
package wal
