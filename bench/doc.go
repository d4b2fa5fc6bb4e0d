// Package bench measures firn from the outside: the real program, a socket, a disk.
//
// Benchmarks of single parts lie beside the code they measure. Here is what only the whole can
// show, and what the documentation gives as firn's speed (docs/performance.md):
//
//   - BenchmarkEndToEnd builds the program, starts the daemon on a free port of 127.0.0.1, sends it
//     records over a few keep-alive connections, waits until memory tables are applied, archives, and
//     reports what the daemon's process used in each stage. Beside it stands what a plain bbolt file
//     takes for the same records.
//   - BenchmarkHandler is the way of one request through server and engine, log and fdatasync
//     included, without a socket: it counts allocations.
//
// Results are processor time, user and system together, of the daemon's process alone: unlike wall
// clock time they mean something on a machine that does other things too, though a loaded machine,
// with its caches and clock shared, costs up to a third more. Compare numbers of one run only.
//
//	go test ./bench -run xxx -bench EndToEnd -benchtime 1x [-records 1000000] [-codec zstandard]
//	go test ./bench -run xxx -bench EndToEnd/program -benchtime 1x -program bin/before,bin/after
//
// The second form compares programs that were built before, in turn.
//
// Records are made up, the same in every run: ten members, some 250 bytes, a random identifier of 16
// digits among them (the part that no codec makes smaller). Batch n belongs to dataset n mod 50 and
// has 1,000 records 7 ms apart.
//
// Stages:
//
//	ingest   from the socket to the acknowledgement, and on into the generation's file
//	archive  from the generation's file to block files that were read back and committed
//
// The processor time of a stage is read from /proc; on other systems only the total is reported.
package bench
