package blockfile

import (
	"fmt"
	"time"
)

const msPerDay = 86_400_000

// MinDay and MaxDay are the first and the last day that a record can have:
// 0001-01-01 and 9999-12-31, in days since 1970-01-01.
const (
	MinDay = -719_162
	MaxDay = 2_932_896
)

// Ref is a block reference: where one block lies, and what it holds.
type Ref struct {
	Dataset   string
	Day       int32  // UTC, in days since 1970-01-01
	Offset    int64  // of the block in its file, in bytes
	Length    uint32 // bytes of the whole block as stored: count, size, data, sync marker
	RawLength uint32 // bytes of the data, decompressed
	Records   uint32
	First     int64  // time of the first record, ms since 1970
	Last      int64  // time of the last record, ms since 1970
	CRC       uint32 // CRC-32C of the Length bytes
}

// End is the offset behind the block.
func (r Ref) End() int64 { return r.Offset + int64(r.Length) }

// Validate reports why no block can have this reference, or nil. Lengths and
// offsets that pass are safe to add and, up to MaxBlockBytes and MaxRawBytes,
// to make memory for.
func (r Ref) Validate() error {
	switch {
	case len(r.Dataset) > MaxDatasetBytes:
		return fmt.Errorf("block reference: dataset name of %d bytes, at most %d are allowed", len(r.Dataset), MaxDatasetBytes)
	case r.Offset < 0 || r.Offset > MaxFileBytes:
		return fmt.Errorf("block reference: offset %d", r.Offset)
	case r.Length == 0 || r.Length > MaxBlockBytes:
		return fmt.Errorf("block reference: block of %d bytes, 1 to %d are allowed", r.Length, MaxBlockBytes)
	case r.RawLength == 0 || r.RawLength > MaxRawBytes:
		return fmt.Errorf("block reference: block of %d raw bytes, 1 to %d are allowed", r.RawLength, MaxRawBytes)
	case r.Records == 0 || r.Records > r.RawLength:
		return fmt.Errorf("block reference: %d records in %d raw bytes", r.Records, r.RawLength)
	case r.Day < MinDay || r.Day > MaxDay:
		return fmt.Errorf("block reference: day %d", r.Day)
	case r.First > r.Last:
		return fmt.Errorf("block reference: first time %d after last time %d", r.First, r.Last)
	case dayOf(r.First) != r.Day || dayOf(r.Last) != r.Day:
		return fmt.Errorf("block reference: times %d to %d leave %s", r.First, r.Last, DayName(r.Day))
	}
	return nil
}

// DayOf is the UTC day of a time in ms since 1970, in days since 1970-01-01.
// Times before 1970 have negative days. The time must be within the years that
// records have, 0001 to 9999.
func DayOf(ms int64) int32 {
	day := ms / msPerDay
	if ms%msPerDay < 0 {
		day--
	}
	return int32(day)
}

// dayOf is DayOf for a time that may be of no possible day.
func dayOf(ms int64) int32 {
	if ms < DayStart(MinDay) || ms >= DayStart(MaxDay+1) {
		return MaxDay + 1 // no valid reference has it
	}
	return DayOf(ms)
}

// DayStart is the first ms of a day.
func DayStart(day int32) int64 { return int64(day) * msPerDay }

// DayName is the day as text, `2006-01-02`.
func DayName(day int32) string {
	return string(time.UnixMilli(DayStart(day)).UTC().AppendFormat(nil, time.DateOnly))
}

// ParseDay is the day that DayName gives the text for.
func ParseDay(s string) (int32, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%.40q is no day", s)
	}
	day := DayOf(t.UnixMilli())
	if day < MinDay || day > MaxDay || DayName(day) != s {
		return 0, fmt.Errorf("%.40q is no day", s)
	}
	return day, nil
}
