package hot

import (
	"encoding/binary"
)

// A row is a small value: its fields, then the CRC-32C of its key and fields,
// all little endian.

// state is the one row that says what a generation has reached. It changes only
// in the last commit of an Apply; what earlier commits wrote carries a run above
// state.run and is invisible until then.
//
//	 0    8         16    24          32                40    44
//	+----+---------+-----+-----------+-----------------+-----+
//	| id | applied | run | first seq | oldest accepted | CRC |
//	+----+---------+-----+-----------+-----------------+-----+
type state struct {
	id             ID
	applied        uint64 // highest seq applied
	run            uint64 // last run published
	firstSeq       uint64 // lowest seq of a record held, 0 when there is none
	oldestAccepted int64  // milliseconds, 0 when there is no record
}

const stateLen = 44

func appendCRC(row, key []byte) []byte {
	return binary.LittleEndian.AppendUint32(row, keyedCRC(key, row))
}

func checkCRC(key, row []byte) ([]byte, error) {
	if len(row) < 4 {
		return nil, errRowShort
	}
	fields := row[:len(row)-4]
	if keyedCRC(key, fields) != binary.LittleEndian.Uint32(row[len(row)-4:]) {
		return nil, errRowChecksum
	}
	return fields, nil
}

func (s *state) row(key []byte) []byte {
	row := make([]byte, 0, stateLen)
	for _, v := range [...]uint64{uint64(s.id), s.applied, s.run, s.firstSeq, uint64(s.oldestAccepted)} {
		row = binary.LittleEndian.AppendUint64(row, v)
	}
	return appendCRC(row, key)
}

func parseState(key, row []byte) (s state, err error) {
	f, err := checkCRC(key, row)
	if err != nil {
		return s, err
	}
	if len(row) != stateLen {
		return s, errRowShort
	}
	return state{
		id:             ID(binary.LittleEndian.Uint64(f)),
		applied:        binary.LittleEndian.Uint64(f[8:]),
		run:            binary.LittleEndian.Uint64(f[16:]),
		firstSeq:       binary.LittleEndian.Uint64(f[24:]),
		oldestAccepted: int64(binary.LittleEndian.Uint64(f[32:])),
	}, nil
}

// tableRow is what a generation knows of one table.
//
//	 0          8         16           24    28
//	+----------+---------+------------+-----+
//	| accepted | records | JSON bytes | CRC |
//	+----------+---------+------------+-----+
type tableRow struct {
	accepted uint64 // the running total given with the last memory table that had one
	records  uint64 // held in this file
	bytes    uint64
}

const tableRowLen = 28

func (t *tableRow) row(key []byte) []byte {
	row := make([]byte, 0, tableRowLen)
	for _, v := range [...]uint64{t.accepted, t.records, t.bytes} {
		row = binary.LittleEndian.AppendUint64(row, v)
	}
	return appendCRC(row, key)
}

func parseTableRow(key, row []byte) (t tableRow, err error) {
	f, err := checkCRC(key, row)
	if err != nil {
		return t, err
	}
	if len(row) != tableRowLen {
		return t, errRowShort
	}
	return tableRow{
		accepted: binary.LittleEndian.Uint64(f),
		records:  binary.LittleEndian.Uint64(f[8:]),
		bytes:    binary.LittleEndian.Uint64(f[16:]),
	}, nil
}

// A series row sums up one dataset of one table. It is written in place, yet in
// commits before the one that publishes a run, so it keeps two sums: the one of
// the run published last that touched the series, and the one of the run after.
// Whoever reads takes the highest run it may see.
//
//	sum, sum, CRC    4 bytes
//
//	sum: run         uvarint; 0 = none, and then nothing follows
//	     records     uvarint
//	     JSON bytes  uvarint
//	     min time    varint
//	     max - min   uvarint
//	     last seq    uvarint
type seriesRow [2]seriesSum

type seriesSum struct {
	run     uint64
	records uint64
	bytes   uint64
	min     int64
	max     int64
	lastSeq uint64
}

// at returns the sum of the highest run that is not above run; one with run 0
// when there is none.
func (r *seriesRow) at(run uint64) seriesSum {
	var best seriesSum
	for _, s := range r {
		if s.run <= run && s.run > best.run {
			best = s
		}
	}
	return best
}

// add replaces the sum that no reader of published (a run) needs.
func (r *seriesRow) add(published, run uint64, s *series) {
	base := r.at(published)
	next := seriesSum{
		run: run, records: base.records + s.records, bytes: base.bytes + s.bytes,
		min: s.min, max: s.max, lastSeq: s.lastSeq,
	}
	if base.run != 0 {
		next.min, next.max = min(s.min, base.min), max(s.max, base.max)
	}
	r[0], r[1] = base, next
}

// forget drops the sums of runs that were never published. It reports whether
// there were any, and whether any are left.
func (r *seriesRow) forget(published uint64) (changed, left bool) {
	for i := range r {
		if r[i].run > published {
			r[i] = seriesSum{}
			changed = true
		}
		left = left || r[i].run != 0
	}
	return changed, left
}

func (r *seriesRow) append(dst, key []byte) []byte {
	at := len(dst)
	for _, s := range r {
		dst = binary.AppendUvarint(dst, s.run)
		if s.run == 0 {
			continue
		}
		dst = binary.AppendUvarint(dst, s.records)
		dst = binary.AppendUvarint(dst, s.bytes)
		dst = binary.AppendVarint(dst, s.min)
		dst = binary.AppendUvarint(dst, uint64(s.max)-uint64(s.min))
		dst = binary.AppendUvarint(dst, s.lastSeq)
	}
	return binary.LittleEndian.AppendUint32(dst, keyedCRC(key, dst[at:]))
}

func parseSeriesRow(key, row []byte) (r seriesRow, err error) {
	f, err := checkCRC(key, row)
	if err != nil {
		return r, err
	}
	next := func() (v uint64) {
		v, w := binary.Uvarint(f)
		if w <= 0 {
			err = errRowShort
			return 0
		}
		f = f[w:]
		return v
	}
	for i := range r {
		s := &r[i]
		if s.run = next(); s.run == 0 {
			continue
		}
		s.records, s.bytes = next(), next()
		zigzag := next()
		s.min = int64(zigzag>>1) ^ -int64(zigzag&1)
		s.max = int64(uint64(s.min) + next())
		s.lastSeq = next()
	}
	if err == nil && len(f) != 0 {
		err = errRowShort
	}
	return r, err
}

func appendSeriesKey(dst []byte, table, dataset string) []byte {
	return AppendKeyName(AppendKeyName(dst, table), dataset)
}
