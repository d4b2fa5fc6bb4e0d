//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package hot

import (
	"os"
	"syscall"
)

// unlock gives back bbolt's lock of a file whose mapping nobody can undo any more:
// closing alone does not, because the mapping holds on to the open file.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
