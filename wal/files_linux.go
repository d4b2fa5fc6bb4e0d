package wal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Fdatasync leaves out what fsync would also write: the time of the last change.
func (f diskFile) Fdatasync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return wrapPath("fdatasync", f.Name(), err)
		}
	}
}

// dropCache is advice: where the kernel does not take it, a replay reads what it did before.
func (f diskFile) dropCache() {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

func (f diskFile) reserve(off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, off, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			return nil // writing the blocks takes them as well
		}
		return wrapPath("fallocate", f.Name(), err)
	}
}

func syncDirFile(d *os.File) error { return d.Sync() }

func wrapPath(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}
