package store

import (
	"context"
	"sync/atomic"
)

// Counts says what was asked of a store: calls by kind, whether or not they
// succeeded, and the bytes that went through.
type Counts struct {
	Creates, Commits, Aborts  int64
	Puts, Gets, RangeReads    int64
	Sizes, Lists, Deletes     int64
	ReadBytes, WrittenBytes   int64 // bytes of successful Get and ReadRange; of successful Write and PutIfAbsent
	FailedReads, FailedWrites int64 // Get, ReadRange, Size, List; Create, Write, Commit, PutIfAbsent, Delete that returned an error
}

// Requests is the number of calls that a remote store answers: a Create
// counts with its Commit.
func (c Counts) Requests() int64 {
	return c.Commits + c.Puts + c.Gets + c.RangeReads + c.Sizes + c.Lists + c.Deletes
}

// Counting wraps a store and counts what is asked of it. One read may have a
// Counting of its own around the shared store. It is safe for concurrent use.
type Counting struct {
	inner Store
	n     struct {
		creates, commits, aborts  atomic.Int64
		puts, gets, ranges        atomic.Int64
		sizes, lists, deletes     atomic.Int64
		read, written             atomic.Int64
		failedReads, failedWrites atomic.Int64
	}
}

var _ Store = (*Counting)(nil)

// NewCounting returns a wrapper around s with all counters at zero.
func NewCounting(s Store) *Counting { return &Counting{inner: s} }

// Counts is a snapshot of the counters. Counters of calls under way may be
// ahead of one another.
func (c *Counting) Counts() Counts {
	return Counts{
		Creates: c.n.creates.Load(), Commits: c.n.commits.Load(), Aborts: c.n.aborts.Load(),
		Puts: c.n.puts.Load(), Gets: c.n.gets.Load(), RangeReads: c.n.ranges.Load(),
		Sizes: c.n.sizes.Load(), Lists: c.n.lists.Load(), Deletes: c.n.deletes.Load(),
		ReadBytes: c.n.read.Load(), WrittenBytes: c.n.written.Load(),
		FailedReads: c.n.failedReads.Load(), FailedWrites: c.n.failedWrites.Load(),
	}
}

func (c *Counting) wrote(n int, err error) {
	if err != nil {
		c.n.failedWrites.Add(1)
		return
	}
	c.n.written.Add(int64(n))
}

func (c *Counting) readBytes(n int, err error) {
	if err != nil {
		c.n.failedReads.Add(1)
		return
	}
	c.n.read.Add(int64(n))
}

// Create implements Store.
func (c *Counting) Create(ctx context.Context, key string) (Upload, error) {
	c.n.creates.Add(1)
	u, err := c.inner.Create(ctx, key)
	c.wrote(0, err)
	if err != nil {
		return nil, err
	}
	return &countingUpload{c: c, inner: u}, nil
}

// PutIfAbsent implements Store.
func (c *Counting) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	c.n.puts.Add(1)
	err := c.inner.PutIfAbsent(ctx, key, data)
	c.wrote(len(data), err)
	return err
}

// Get implements Store.
func (c *Counting) Get(ctx context.Context, key string, max int64) ([]byte, error) {
	c.n.gets.Add(1)
	b, err := c.inner.Get(ctx, key, max)
	c.readBytes(len(b), err)
	return b, err
}

// ReadRange implements Store.
func (c *Counting) ReadRange(ctx context.Context, key string, off int64, p []byte) error {
	c.n.ranges.Add(1)
	err := c.inner.ReadRange(ctx, key, off, p)
	c.readBytes(len(p), err)
	return err
}

// Size implements Store.
func (c *Counting) Size(ctx context.Context, key string) (int64, error) {
	c.n.sizes.Add(1)
	n, err := c.inner.Size(ctx, key)
	c.readBytes(0, err)
	return n, err
}

// List implements Store.
func (c *Counting) List(ctx context.Context, prefix, after string, fn func(key string, size int64) error) error {
	c.n.lists.Add(1)
	err := c.inner.List(ctx, prefix, after, fn)
	c.readBytes(0, err)
	return err
}

// Delete implements Store.
func (c *Counting) Delete(ctx context.Context, key string) error {
	c.n.deletes.Add(1)
	err := c.inner.Delete(ctx, key)
	c.wrote(0, err)
	return err
}

// Close closes the store within.
func (c *Counting) Close() error { return c.inner.Close() }

// countingUpload counts the bytes of one upload.
type countingUpload struct {
	c     *Counting
	inner Upload
}

// Write implements Upload.
func (u *countingUpload) Write(p []byte) (int, error) {
	n, err := u.inner.Write(p)
	u.c.wrote(n, err)
	return n, err
}

// Commit implements Upload.
func (u *countingUpload) Commit(ctx context.Context) error {
	u.c.n.commits.Add(1)
	err := u.inner.Commit(ctx)
	u.c.wrote(0, err)
	return err
}

// Abort implements Upload.
func (u *countingUpload) Abort() error {
	u.c.n.aborts.Add(1)
	return u.inner.Abort()
}
