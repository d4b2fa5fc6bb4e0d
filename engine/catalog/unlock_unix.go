//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package catalog

import (
	"os"
	"syscall"
)

// unlock lets go of a file that bbolt locked before it panicked. Closing it is
// not enough: the mapping that bbolt leaves behind keeps the lock alive.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
