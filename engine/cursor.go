package engine

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// A cursor says where a read goes on: at time t, after n records of that time. It holds no place
// in a file, so it survives archiving, compaction, restarts and restores.
//
//	0  1  version (1)
//	1  1  direction (0 ascending, 1 descending)
//	2  8  hash of the query
//	10 8  t, ms since 1970, signed, little endian
//	18 8  n, how many records of time t were given
//
// as base64url without padding.
type cursor struct {
	time  int64
	given uint64
}

const (
	cursorVersion = 1
	cursorBytes   = 26
)

// hash is what two reads have in common that may share cursors: all but limit and cursor.
func (q *Query) hash() [32]byte {
	var b []byte
	b = appendName(b, q.Table)
	b = appendName(b, q.Dataset)
	b = binary.LittleEndian.AppendUint64(b, uint64(q.From))
	b = binary.LittleEndian.AppendUint64(b, uint64(q.To))
	b = append(b, flag(q.Descending))
	return sha256.Sum256(b)
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func (c cursor) encode(q *Query) string {
	hash := q.hash()
	b := make([]byte, 0, cursorBytes)
	b = append(b, cursorVersion, flag(q.Descending))
	b = append(b, hash[:8]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.time))
	b = binary.LittleEndian.AppendUint64(b, c.given)
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor reads the cursor of a query whose bounds are settled.
func parseCursor(q *Query) (cursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
	if err != nil || len(b) != cursorBytes || b[0] != cursorVersion {
		return cursor{}, &CursorError{"cursor is not one that firn gave"}
	}
	hash := q.hash()
	if b[1] != flag(q.Descending) || string(b[2:10]) != string(hash[:8]) {
		return cursor{}, &CursorError{"cursor belongs to another query"}
	}
	c := cursor{
		time:  int64(binary.LittleEndian.Uint64(b[10:])),
		given: binary.LittleEndian.Uint64(b[18:]),
	}
	if c.time < q.From || c.time > q.To {
		return cursor{}, &CursorError{"cursor lies outside the query"}
	}
	return c, nil
}

// CursorError says that a cursor cannot go on with the query it came with.
type CursorError struct{ Reason string }

func (e *CursorError) Error() string { return e.Reason }

// Unwrap gives ErrInvalid.
func (e *CursorError) Unwrap() error { return ErrInvalid }
