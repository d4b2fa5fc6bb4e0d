package wal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// fileSystem is what the log asks of the disk. It is a seam: tests put in one that fails where they
// say, or that forgets what was not synced.
type fileSystem interface {
	// MkdirAll makes a folder and the ones above it, durably; one that exists is no error.
	MkdirAll(dir string) error
	// ReadDir returns the names in a folder, in any order.
	ReadDir(dir string) ([]string, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (file, error)
	// Create makes an empty file, in the place of one of that name.
	Create(name string) (file, error)
	// Rename and Remove are durable only after SyncDir.
	Rename(from, to string) error
	Remove(name string) error
	SyncDir(dir string) error
}

// file is an open file. WriteAt is durable only after Fdatasync.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Fdatasync makes content and size durable.
	Fdatasync() error
	// Settle makes content and size durable and then forgets what is cached of them, so that what is
	// read afterwards is what the disk has. After a failed fsync the kernel may take pages for clean
	// that never reached the disk; a replay that believed them would promise what a power cut undoes.
	Settle() error
	// Allocate grows the file to size, with the new blocks taken and written, so that a later WriteAt
	// inside them changes no metadata and finds room.
	Allocate(size int64) error
	// Truncate shortens the file and makes that durable.
	Truncate(size int64) error
}

// isNoSpace tells a full disk, or a quota reached, from other errors.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// disk is the fileSystem of the operating system.
type disk struct{}

var _ fileSystem = disk{}

func (disk) MkdirAll(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := (disk{}).MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return disk{}.SyncDir(parent)
}

func (disk) ReadDir(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func (disk) Open(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (disk) Create(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (disk) Rename(from, to string) error { return os.Rename(from, to) }
func (disk) Remove(name string) error     { return os.Remove(name) }

func (disk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDirFile(d), d.Close())
}

// diskFile is a file of the operating system; Fdatasync, dropCache and reserve are per system.
type diskFile struct{ *os.File }

var _ file = diskFile{}

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f diskFile) Settle() error {
	if err := f.Sync(); err != nil {
		return err
	}
	f.dropCache()
	return nil
}

func (f diskFile) Truncate(size int64) error {
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

// zeros is what new blocks are filled with, a piece at a time.
var zeros [1 << 20]byte

// Allocate first asks for all blocks at once, which fails fast on a full disk and keeps the file in
// one piece, and then writes them. Blocks that are only reserved must be marked as written by the
// journal at their first fdatasync. Measured on ext4 (2 cores, virtual NVMe), write + fdatasync of
// 250 KB, median: growing the file 0.42 ms, reserved 0.37 ms, written before 0.17 ms, a reused file
// that is not cached 0.24 ms; of 4 KiB: 0.26, 0.18, 0.12 and 0.10 ms. Writing 64 MiB of zeros took
// 35 ms and is done before the segment is needed.
func (f diskFile) Allocate(size int64) error {
	have, err := f.Size()
	if err != nil {
		return err
	}
	if have >= size {
		return nil
	}
	if err := f.reserve(have, size-have); err != nil {
		return errors.Join(err, f.File.Truncate(have))
	}
	for off := have; off < size; {
		n := min(int64(len(zeros)), size-off)
		if _, err := f.WriteAt(zeros[:n], off); err != nil {
			return errors.Join(err, f.File.Truncate(have))
		}
		off += n
	}
	return nil
}
