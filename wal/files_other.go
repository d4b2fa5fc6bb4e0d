//go:build !linux

package wal

import (
	"os"
	"runtime"
)

func (f diskFile) Fdatasync() error { return f.Sync() }

func (f diskFile) dropCache() {}

// reserve leaves the work to the writing of zeros that follows it.
func (f diskFile) reserve(off, n int64) error { return nil }

// syncDirFile does nothing where folders cannot be synced.
func syncDirFile(d *os.File) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return d.Sync()
}
