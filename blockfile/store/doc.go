// Package store is where block files live: a flat name space of immutable
// objects, in a local folder or in a bucket.
//
// # Nouns
//
// An object is a run of bytes under a key. It appears whole, is never changed
// and never overwritten; it can only be deleted. A key is a slash path such as
//
//	battle/date=2024-05-01/00000001000000a3-000001.avro
//
// whose segments are already percent-encoded (EscapeSegment), so that no name
// a client chose can leave the root or be taken for firn's own folder _firn.
//
// # How one object travels
//
// A small object goes in one call, PutIfAbsent. A large one is an Upload:
// Create, many Writes, then Commit. Until Commit nothing is visible under the
// key; after it the object is whole and durable, or Commit says why not. Both
// ways are put-if-absent: of any number of writers of one key exactly one
// wins, the others get ErrExists. The log of the store rests on this.
//
// # What is promised
//
// The contract is written once, on the interface Store, and tested once, by
// the suite in storetest, which every implementation runs. Retries, rate
// limits and counters are wrappers (see Counting), not options.
//
// # Concurrency
//
// Every Store is safe for concurrent use. An Upload belongs to one goroutine.
package store
