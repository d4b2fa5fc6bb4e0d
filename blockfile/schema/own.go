package schema

import (
	"github.com/firndb/firn/blockfile/jsonscan"
)

// Own tells how a record's own member ("dataset_id", "table", "timestamp") stands to
// ours.
type Own uint8

const (
	// OwnAbsent: the record has no such member.
	OwnAbsent Own = iota
	// OwnSame: the value equals ours as a JSON value; a timestamp must be an integer
	// literal equal to the record's time.
	OwnSame
	// OwnOther: a value that differs from ours and is kept as JSON text in a column of
	// its own: null, a boolean, an array, an object, a number that is no integer of 64
	// bits. Text, since 17.0 kept as a double comes back as 17 and might then be the same
	// as ours.
	OwnOther
	// OwnOtherString, OwnOtherInt53, OwnOtherInt64: a value that differs from ours and is
	// kept typed in that column. The number classes are those of jsonscan. They are told
	// apart because the column's type depends on them, and so does what Tree.Add does.
	OwnOtherString
	OwnOtherInt53
	OwnOtherInt64
)

// other reports whether the value is kept in a column of its own.
func (o Own) other() bool { return o >= OwnOther }

// The own members, in the order in which records give them back.
const (
	ownTime = iota
	ownDataset
	ownTable
	ownCount
)

var ownKeys = [ownCount]string{ownTime: "timestamp", ownDataset: "dataset_id", ownTable: "table"}

// ownNumbers are the numbers under which _firn lists exceptions of the own members: those
// of the two columns, and one before them for the table, which has no column.
var ownNumbers = [ownCount]int32{ownTime: 1, ownDataset: 0, ownTable: -1}

// ownIndex tells which own member a top-level key names, or -1.
func ownIndex(key []byte) int {
	switch string(key) {
	case "timestamp":
		return ownTime
	case "dataset_id":
		return ownDataset
	case "table":
		return ownTable
	}
	return -1
}

// CompareOwn tells how the own members of a scanned record stand to the dataset, table
// and time (milliseconds) under which it is stored. b is the slice that r was scanned
// from.
func CompareOwn(r jsonscan.Record, b []byte, dataset, table string, time int64) (d, t, ts Own) {
	if r.Dataset.End > 0 {
		d = compareText(r.Dataset.Of(b), dataset)
	}
	if r.Table.End > 0 {
		t = compareText(r.Table.Of(b), table)
	}
	if r.Timestamp.End > 0 {
		ts = compareTime(r.Timestamp.Of(b), time)
	}
	return d, t, ts
}

func compareText(raw []byte, ours string) Own {
	if len(raw) > 0 && raw[0] == '"' && jsonscan.EqualString(raw, ours) {
		return OwnSame
	}
	return otherKind(raw)
}

func compareTime(raw []byte, ours int64) Own {
	if n, ok := jsonscan.ParseInt(raw); ok && n == ours {
		return OwnSame
	}
	return otherKind(raw)
}

func otherKind(raw []byte) Own {
	if len(raw) == 0 {
		return OwnOther
	}
	switch c := raw[0]; {
	case c == '"':
		return OwnOtherString
	case c == '-' || '0' <= c && c <= '9':
		switch jsonscan.ClassifyNumber(raw) {
		case jsonscan.Int53:
			return OwnOtherInt53
		case jsonscan.Int64:
			return OwnOtherInt64
		}
	}
	return OwnOther
}

// OwnShape mixes how the three own members stand to ours into the shape of a record.
// After a record was added to a Tree, adding another of the same table and the same
// OwnShape changes nothing (but for two different shapes of equal 64-bit hash).
func OwnShape(shape uint64, dataset, table, time Own) uint64 {
	own := uint64(dataset) | uint64(table)<<8 | uint64(time)<<16
	// The odd factor spreads the few bits over the hash; equal own members leave equal
	// shapes equal and different ones different.
	return shape ^ own*0x9E3779B97F4A7C15
}
