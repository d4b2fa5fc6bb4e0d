package blockfile

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/firndb/firn/blockfile/store"
)

// Object names, all of them. Numbers have a fixed width, so that the order of
// the text is the order of the numbers.
//
//	battle/date=2024-05-01/00000001000000a3-000001.avro   block file
//	battle/date=2024-05-01/00000001000000a3-000001.idx    its sidecar
//	battle/month=2024-05/00000001000000a3-000001.avro     of a table parted by month
//	------ --------------- ---------------- ------
//	table  partition       run id           sequence
//
// The table's name is escaped as one segment (store.EscapeSegment), so it
// never equals `_firn`, the folder of the store's own objects.
const (
	blockSuffix   = ".avro"
	sidecarSuffix = ".idx"
	datePrefix    = "date="
	monthPrefix   = "month="
	monthLayout   = "2006-01"
	// MaxSequence is the last sequence number of a run: six digits.
	MaxSequence = 999_999
)

// RunID names one run of a job in a store. Its text is 16 hex digits.
type RunID uint64

// String is the text form.
func (id RunID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// ParseRunID reads the text form, and nothing but it.
func ParseRunID(s string) (RunID, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || RunID(n).String() != s {
		return 0, fmt.Errorf("%.40q is no run id", s)
	}
	return RunID(n), nil
}

// Partition says which records of a table share a folder.
type Partition uint8

// The partitions. Their texts are those of the table setting.
const (
	ByDay   Partition = iota // `date=2006-01-02`
	ByMonth                  // `month=2006-01`
)

// String is the name of the table setting: `day` or `month`.
func (p Partition) String() string {
	if p == ByMonth {
		return "month"
	}
	return "day"
}

// ParsePartition reads what String gives.
func ParsePartition(s string) (Partition, error) {
	for _, p := range []Partition{ByDay, ByMonth} {
		if s == p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%.40q is no partition: day or month", s)
}

// Start is the first day of the folder that holds day.
func (p Partition) Start(day int32) int32 {
	if p == ByMonth {
		t := time.UnixMilli(DayStart(day)).UTC()
		return day - int32(t.Day()) + 1
	}
	return day
}

// folder is the partition's segment of a key.
func (p Partition) folder(day int32) string {
	if p == ByMonth {
		return monthPrefix + time.UnixMilli(DayStart(day)).UTC().Format(monthLayout)
	}
	return datePrefix + DayName(day)
}

// Kind tells the objects of one Name apart.
type Kind uint8

// The kinds.
const (
	KindBlockFile Kind = iota // `.avro`
	KindSidecar               // `.idx`
)

// Name is what a key says about a block file or sidecar.
type Name struct {
	Table     string
	Partition Partition
	Day       int32 // the day, or the first day of the month
	Run       RunID
	Sequence  uint32 // within the run, at most MaxSequence
}

// BlockKey is the key of the block file.
func (n Name) BlockKey() string { return n.key(blockSuffix) }

// SidecarKey is the key of the sidecar.
func (n Name) SidecarKey() string { return n.key(sidecarSuffix) }

func (n Name) key(suffix string) string {
	return fmt.Sprintf("%s/%s/%s-%06d%s", store.EscapeSegment(n.Table), n.Partition.folder(n.Day), n.Run, n.Sequence, suffix)
}

// Validate reports why no key can be made of the name, or nil.
func (n Name) Validate() error {
	switch {
	case n.Table == "" || len(n.Table) > MaxTableBytes:
		return fmt.Errorf("table name of %d bytes, 1 to %d are allowed", len(n.Table), MaxTableBytes)
	case n.Day < MinDay || n.Day > MaxDay:
		return fmt.Errorf("day %d is out of the years 0001 to 9999", n.Day)
	case n.Partition > ByMonth:
		return fmt.Errorf("unknown partition %d", n.Partition)
	case n.Day != n.Partition.Start(n.Day):
		return fmt.Errorf("%s is not the first day of its %s", DayName(n.Day), n.Partition)
	case n.Sequence > MaxSequence:
		return fmt.Errorf("sequence number %d, at most %d is allowed", n.Sequence, MaxSequence)
	}
	return nil
}

// ParseKey reads the key of a block file or sidecar. It accepts exactly the
// keys that a valid Name gives.
func ParseKey(key string) (Name, Kind, error) {
	bad := func() (Name, Kind, error) {
		return Name{}, 0, fmt.Errorf("%.200q is not the key of a block file or sidecar", key)
	}
	parts := strings.Split(key, "/")
	if len(key) > store.MaxKeyBytes || len(parts) != 3 {
		return bad()
	}
	var n Name
	var err error
	if n.Table, err = store.UnescapeSegment(parts[0]); err != nil {
		return bad()
	}
	if text, ok := strings.CutPrefix(parts[1], datePrefix); ok {
		n.Day, err = ParseDay(text)
	} else if text, ok := strings.CutPrefix(parts[1], monthPrefix); ok {
		n.Partition = ByMonth
		n.Day, err = ParseDay(text + "-01")
	} else {
		return bad()
	}
	if err != nil {
		return bad()
	}
	var kind Kind
	file, ok := strings.CutSuffix(parts[2], blockSuffix)
	if !ok {
		kind = KindSidecar
		if file, ok = strings.CutSuffix(parts[2], sidecarSuffix); !ok {
			return bad()
		}
	}
	run, sequence, _ := strings.Cut(file, "-")
	if n.Run, err = ParseRunID(run); err != nil {
		return bad()
	}
	number, err := strconv.ParseUint(sequence, 10, 32)
	if err != nil {
		return bad()
	}
	n.Sequence = uint32(number)
	want := n.BlockKey()
	if kind == KindSidecar {
		want = n.SidecarKey()
	}
	if n.Validate() != nil || key != want {
		return bad()
	}
	return n, kind, nil
}
