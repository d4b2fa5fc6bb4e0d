package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Errors a caller tells apart with errors.Is. Implementations wrap them with
// the key.
var (
	// ErrExists says that the key is taken; the object there is durable.
	ErrExists = errors.New("object exists already")
	// ErrNotFound says that no object lies under the key.
	ErrNotFound = errors.New("object not found")
	// ErrTooLarge says that an object is larger than the caller allowed.
	ErrTooLarge = errors.New("object larger than allowed")
	// ErrInvalidKey says that a key breaks the rules of CheckKey.
	ErrInvalidKey = errors.New("invalid object key")
	// ErrClosed says that the store was closed before the call.
	ErrClosed = errors.New("store is closed")
	// ErrUploadDone says that an upload was used after Commit or Abort.
	ErrUploadDone = errors.New("upload is finished")
)

// ShortReadError says that an object ended before a range did. It unwraps to
// io.ErrUnexpectedEOF.
type ShortReadError struct {
	Key    string
	Offset int64 // where the range began
	Want   int64 // its length in bytes
	Got    int64 // bytes the object had of it
}

// Error names the object and the range.
func (e *ShortReadError) Error() string {
	return fmt.Sprintf("%s: wanted %d bytes at offset %d, the object has %d of them", e.Key, e.Want, e.Offset, e.Got)
}

// Unwrap makes errors.Is(err, io.ErrUnexpectedEOF) hold.
func (e *ShortReadError) Unwrap() error { return io.ErrUnexpectedEOF }

// Store is a flat name space of immutable objects.
//
// Durability: when Commit, PutIfAbsent or Delete returns nil, its effect
// survives power loss. ErrExists too is only reported of an object that is
// durable.
//
// Atomicity: an object is visible whole or not at all. Nothing is ever
// overwritten. Reads see every write that returned before they began.
//
// Unknown outcomes: when Commit or PutIfAbsent fails with anything but
// ErrExists, ErrInvalidKey, ErrClosed or ErrUploadDone, the object may be
// there now or may appear later. A caller that must know puts the same bytes
// again until Get answers.
//
// Missing objects: Get, ReadRange and Size report ErrNotFound; Delete of an
// absent key is nil.
//
// Retries: an implementation that speaks over a network retries what is safe
// to repeat, within ctx; callers need not.
//
// Keys: CheckKey says which are allowed; all others are ErrInvalidKey. No key
// may be a folder of another (`a` beside `a/b`): some stores could not hold
// both.
//
// Every method is safe for concurrent use. Slices passed in are the caller's
// again when the call returns; slices returned belong to the caller.
type Store interface {
	// Create starts an upload of key. Nothing is visible before Commit. It may
	// report ErrExists early when the key is taken. ctx bounds the whole
	// upload: when it ends, Write and Commit fail.
	Create(ctx context.Context, key string) (Upload, error)

	// PutIfAbsent writes a small object whole; ErrExists if the key is taken.
	PutIfAbsent(ctx context.Context, key string, data []byte) error

	// Get reads a small object whole. An object above max bytes is ErrTooLarge
	// and costs no memory.
	Get(ctx context.Context, key string, max int64) ([]byte, error)

	// ReadRange fills p with the bytes from offset off on. An object that ends
	// earlier is a *ShortReadError; p is then undefined. An empty p asks for
	// nothing and is nil.
	ReadRange(ctx context.Context, key string, off int64, p []byte) error

	// Size is the length of the object in bytes.
	Size(ctx context.Context, key string) (int64, error)

	// List calls fn for every object whose key begins with prefix and is
	// greater than after, in ascending byte order of the keys. Objects written
	// or deleted meanwhile may or may not be seen. An error of fn ends the
	// listing and is returned as it is.
	List(ctx context.Context, prefix, after string, fn func(key string, size int64) error) error

	// Delete removes an object. Absent is nil.
	Delete(ctx context.Context, key string) error

	// Close gives up what the store holds. Later calls are ErrClosed. Close
	// twice is nil.
	Close() error
}

// Upload is one object on its way in. It belongs to one goroutine. Every
// upload ends with Commit or Abort; after a failed Write or Commit, Abort
// gives back what it held.
type Upload interface {
	// Write adds bytes. After its first error an upload stays broken: Commit
	// fails too.
	io.Writer
	// Commit makes the object visible and durable, or fails: ErrExists if the
	// key is taken. A second Commit is ErrUploadDone.
	Commit(ctx context.Context) error
	// Abort drops what was written. After Commit it does nothing; twice is
	// nil.
	Abort() error
}

// Limits of keys.
const (
	// MaxKeyBytes is the longest key. Object stores take 1,024 bytes, of which
	// 256 are left for a prefix inside the bucket.
	MaxKeyBytes = 768
	// MaxSegmentBytes is the longest file name of common file systems.
	MaxSegmentBytes = 255
	// reservedPrefix begins the names that a store keeps for itself (a local
	// store's temporaries); no segment of a key begins with it.
	reservedPrefix = ".firn-tmp"
)

// CheckKey reports whether key may name an object: 1 to MaxKeyBytes bytes,
// segments of 1 to MaxSegmentBytes bytes between single slashes, none of them
// `.` or `..` or beginning with a store's reserved prefix, no control
// characters, no backslash. The error wraps ErrInvalidKey.
func CheckKey(key string) error {
	bad := func(why string) error { return fmt.Errorf("%w %q: %s", ErrInvalidKey, clip(key), why) }
	if key == "" {
		return bad("empty")
	}
	if len(key) > MaxKeyBytes {
		return bad(fmt.Sprintf("longer than %d bytes", MaxKeyBytes))
	}
	for rest, more := key, true; more; {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		switch {
		case seg == "":
			return bad("empty segment")
		case seg == "." || seg == "..":
			return bad("relative segment")
		case len(seg) > MaxSegmentBytes:
			return bad(fmt.Sprintf("segment longer than %d bytes", MaxSegmentBytes))
		case strings.HasPrefix(seg, reservedPrefix):
			return bad("reserved segment")
		}
	}
	if !utf8.ValidString(key) {
		return bad("not UTF-8")
	}
	for i := range len(key) {
		if c := key[i]; c < 0x20 || c == 0x7f || c == '\\' {
			return bad("control character or backslash")
		}
	}
	return nil
}

// clip shortens a key of hostile length for a message.
func clip(key string) string {
	const most = 200
	if len(key) > most {
		return key[:most] + "…"
	}
	return key
}
