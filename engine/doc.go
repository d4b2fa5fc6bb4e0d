// Package engine is firn's storage engine: the one place that knows both tiers.
//
// # The way of one record
//
// A record enters with [DB.Ingest] inside a batch. [jsonscan] reads it once: it must be one JSON
// object; its time is taken, and its shape, a hash of which fields have which types. A shape not
// seen before widens the table's [schema.Tree]; a known one costs a look-up. So when the record is
// archived later, a schema that fits it exists already and encoding cannot fail on data.
//
// The batch becomes one frame of the write-ahead log ([wal.Log]). Under the appender's lock its
// records get their sequence numbers, which are the order of acceptance. Everything that waits
// shares one write and one fdatasync: this is the step that makes the record durable. Then the
// batch enters the memory table ([hot.Memory]), where reads see it, and only then the call
// returns.
//
// A full memory table is frozen at a batch boundary and applied by one goroutine to the open
// generation ([hot.Generation]), a bbolt file, as compressed chunks in the order table, day,
// dataset. When that is durable the table is dropped and the log trimmed.
//
// Archiving seals the generation and walks it once in key order, which is the order of block
// files: every record becomes Avro, every block holds one dataset and one day, and the writer
// notes where each block lies. Block files and sidecars go to the store, are read back, and are
// then named by one entry of the store's log ([storelog]): from there on they are the truth. One
// small transaction of the [catalog.Catalog] makes them live and takes the generation away, in the
// same moment for every reader; its file is unlinked when the last reader lets go.
//
// A read ([DB.Query]) takes one view: the memory tables and generations under the lock, then one
// snapshot of the catalog. Everything it needs from the store is known from the references in the
// catalog; blocks are fetched by byte range, checked, decoded, and merged with the hot records by
// (time, order of acceptance).
//
// # Who owns the bytes
//
// Records passed to Ingest are copied before it returns. The copy is shared by the log's buffer,
// briefly, and the memory table, which keeps it until it is applied and the last reader that saw
// it is done. A [Record] given by a read is valid until the next step.
//
// # Locks
//
// DB.mu guards the lists of memory tables and generations, and no I/O happens under it. The log
// has a lock of its own, under which sequence numbers are given (DB.seq and the totals belong to
// it). Trees and known shapes of a table are under its table state's lock. Jobs that change the
// file set hold DB.jobs. They are taken in the order jobs, log, table state, mu.
//
// # What is where
//
//	open.go      Open: the start, step by step        close.go   the reverse
//	batch.go     what callers pass in and get         frame.go   the payload of a log frame
//	ingest.go    validation of batches                logentry.go  the way into the log
//	keys.go      idempotency keys                     replay.go  the way back out of it
//	apply.go     memory table → generation, sealing   tables.go  what is known of each table
//	archive.go   generation → block files             jobs.go    open jobs, aborted or finished
//	view.go      what a read pins                     query.go   Rows: one read under way
//	pages.go     a read's plan, days at a time        merge.go   merging by (time, acceptance)
//	fetch.go     blocks: ranges, checks, decoding     cache.go   what is remembered of the cold tier
//	cursor.go    where a read goes on                 ocf.go     reads as Avro files, spliced
//	explain.go   plans                                stats.go   counts; stale.go, tableinfo.go too
//	doctor.go    accepting the loss of damaged log    schedule.go  when archiving runs
//	full.go      a disk without room                  losses.go    what was accepted as lost
package engine
