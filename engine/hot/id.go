package hot

import (
	"fmt"
	"strings"
)

// ID names a generation; archive runs take theirs from the same counter. Its
// upper 24 bits are the epoch of the writer that made it, the lower 40 a
// counter, so that two writers of one store never make the same one, and
// numeric order is order of creation.
//
//	 63            40 39                                0
//	+----------------+----------------------------------+
//	| writer's epoch | counter within that epoch        |
//	+----------------+----------------------------------+
//
// The text form is 16 lower-case hex digits, so text order is numeric order.
// The zero ID names nothing.
type ID uint64

const (
	idCounterBits = 40

	// MaxEpoch is the highest epoch an ID can carry.
	MaxEpoch = 1<<(64-idCounterBits) - 1
	// MaxCounter is the highest counter an ID can carry.
	MaxCounter = 1<<idCounterBits - 1
)

// MakeID builds the ID of the n-th thing the writer of an epoch has made. It
// panics when epoch or n do not fit (MaxEpoch, MaxCounter): going on would name
// two things alike, and neither limit is reached by honest use.
func MakeID(epoch uint32, n uint64) ID {
	if epoch > MaxEpoch || n > MaxCounter {
		panic(fmt.Sprintf("hot: no ID for epoch %d, counter %d", epoch, n))
	}
	return ID(uint64(epoch)<<idCounterBits | n)
}

// Epoch is the epoch of the writer that made the ID.
func (id ID) Epoch() uint32 { return uint32(id >> idCounterBits) }

// Counter is the ID's number within its epoch.
func (id ID) Counter() uint64 { return uint64(id) & MaxCounter }

// String returns the text form: 16 lower-case hex digits.
func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// ParseID reads the text form, and only that: 16 lower-case hex digits.
func ParseID(s string) (ID, error) {
	if len(s) != 16 {
		return 0, fmt.Errorf("hot: %q is no id: want 16 hex digits", s)
	}
	var v uint64
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, fmt.Errorf("hot: %q is no id: want 16 lower-case hex digits", s)
		}
	}
	return ID(v), nil
}

const fileSuffix = ".hot"

// FileName is the name of a generation's file in its folder.
func FileName(id ID) string { return id.String() + fileSuffix }

// ParseFileName is the inverse of FileName; false for any other name.
func ParseFileName(name string) (ID, bool) {
	text, ok := strings.CutSuffix(name, fileSuffix)
	if !ok {
		return 0, false
	}
	id, err := ParseID(text)
	return id, err == nil
}
