// Package kill tests the real process: it is built, fed over HTTP by many clients at once, ended at
// instants nobody chose, and started again on the same folder. An oracle in the test's own process
// knows what was acknowledged, what was refused and what nobody was told of, and holds every answer
// of the next process against it.
//
// The other tests do to a folder what a machine may do to it: bytes of the log change, its tail is
// torn, the disk is full.
package kill
