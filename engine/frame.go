package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/firndb/firn/engine/hot"
)

// The payload of a WAL frame. The log knows bytes; what they mean is decided here.
//
//	batch frame
//	 0  1  version (1)
//	 1  1  kind (1 batch, 2 state, 3 reserved for erasure)
//	 2  8  sequence number of the first record, little endian
//	10  4  number of records n (at least 1: every batch takes a sequence number)
//	14  8  time of acceptance, ms since 1970, signed
//	22  -  totals: uvarint count, then per table touched:
//	         uvarint length, table name, uvarint records accepted up to and with this frame
//	 -  -  idempotency key: uvarint length (0: none); then, if any, the key and 32 bytes of hash
//	 -  -  groups: uvarint count, then each:
//	         uvarint length, table name | uvarint length, dataset
//	         uvarint records m | m times (zigzag varint: time less the time before; uvarint: length)
//	         uvarint length, the records' JSON one after the other
//
//	state frame (written when the log falls idle and when it is closed)
//	 0  1  version (1)
//	 1  1  kind (2)
//	 2  8  last sequence number given
//	10  -  totals, as above, of the tables touched since the last state frame
//
// Records follow each other in order of acceptance: group by group, within a group as given. The
// CRC over all of it is the log's. The totals are what lets a damaged range be counted: the first
// frame behind it says how many records there must have been.
const (
	frameVersion = 1

	frameBatch = 1
	frameState = 2

	frameBatchHeader = 22 // bytes before the totals
	frameStateHeader = 10
)

var errFrame = errors.New("log frame does not parse")

// tableTotal is the running count of records accepted by a table.
type tableTotal struct {
	table string
	total uint64
}

// batchFrame is a batch on its way into the log, or out of it at replay.
type batchFrame struct {
	firstSeq   uint64
	records    int
	acceptedAt int64
	totals     []tableTotal
	key        string
	hash       [32]byte
	groups     []hot.Group
}

// sizeBound returns a bound on the payload's length, given how many totals it will carry.
func (f *batchFrame) sizeBound() int {
	n := frameBatchHeader + 10 + 10 + len(f.key) + 32 + 10
	for i := range f.groups {
		g := &f.groups[i]
		n += 2*(10+len(g.Table)) + 10 + len(g.Dataset) + 10 + 10 + len(g.Data) + 15*len(g.Times) + 20
	}
	return n
}

func appendName(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendTotals(dst []byte, totals []tableTotal) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(totals)))
	for _, t := range totals {
		dst = appendName(dst, t.table)
		dst = binary.AppendUvarint(dst, t.total)
	}
	return dst
}

func (f *batchFrame) appendTo(dst []byte) []byte {
	dst = append(dst, frameVersion, frameBatch)
	dst = binary.LittleEndian.AppendUint64(dst, f.firstSeq)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(f.records))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.acceptedAt))
	dst = appendTotals(dst, f.totals)
	dst = appendName(dst, f.key)
	if f.key != "" {
		dst = append(dst, f.hash[:]...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.groups)))
	for i := range f.groups {
		g := &f.groups[i]
		dst = appendName(dst, g.Table)
		dst = appendName(dst, g.Dataset)
		dst = binary.AppendUvarint(dst, uint64(len(g.Times)))
		var before int64
		var start uint32
		for j, t := range g.Times {
			dst = binary.AppendVarint(dst, t-before)
			dst = binary.AppendUvarint(dst, uint64(g.Ends[j]-start))
			before, start = t, g.Ends[j]
		}
		dst = binary.AppendUvarint(dst, uint64(len(g.Data)))
		dst = append(dst, g.Data...)
	}
	return dst
}

// stateFrame is the payload of the frames an idle or closing log writes.
type stateFrame struct {
	lastSeq uint64
	totals  []tableTotal
}

func (f *stateFrame) appendTo(dst []byte) []byte {
	dst = append(dst, frameVersion, frameState)
	dst = binary.LittleEndian.AppendUint64(dst, f.lastSeq)
	return appendTotals(dst, f.totals)
}

// parser walks a payload; after its first misstep it stays failed and returns zeros.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) fail() { p.bad, p.b = true, nil }

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 {
		p.fail()
		return 0
	}
	p.b = p.b[n:]
	return v
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.b)
	if n <= 0 {
		p.fail()
		return 0
	}
	p.b = p.b[n:]
	return v
}

func (p *parser) bytes(n uint64) []byte {
	if n > uint64(len(p.b)) {
		p.fail()
		return nil
	}
	v := p.b[:n:n]
	p.b = p.b[n:]
	return v
}

func (p *parser) name() []byte { return p.bytes(p.uvarint()) }

// count reads a number of things of which each takes at least min bytes of what is left.
func (p *parser) count(min int) int {
	n := p.uvarint()
	if n > uint64(len(p.b)/min) {
		p.fail()
		return 0
	}
	return int(n)
}

func (p *parser) totals() []tableTotal {
	n := p.count(2)
	totals := make([]tableTotal, 0, n)
	for range n {
		table := string(p.name())
		totals = append(totals, tableTotal{table, p.uvarint()})
	}
	return totals
}

// parseFrame reads the payload of a frame that the log found intact. The result owns its bytes.
// Exactly one of the results is set.
func parseFrame(b []byte) (*batchFrame, *stateFrame, error) {
	if len(b) < 2 || b[0] != frameVersion {
		return nil, nil, fmt.Errorf("%w: unknown version", errFrame)
	}
	switch b[1] {
	case frameState:
		if len(b) < frameStateHeader {
			return nil, nil, errFrame
		}
		p := parser{b: b[frameStateHeader:]}
		f := &stateFrame{lastSeq: binary.LittleEndian.Uint64(b[2:])}
		f.totals = p.totals()
		if p.bad || len(p.b) != 0 {
			return nil, nil, errFrame
		}
		return nil, f, nil
	case frameBatch:
		f, err := parseBatch(b)
		return f, nil, err
	}
	return nil, nil, fmt.Errorf("%w: unknown kind %d", errFrame, b[1])
}

func parseBatch(b []byte) (*batchFrame, error) {
	if len(b) < frameBatchHeader {
		return nil, errFrame
	}
	f := &batchFrame{
		firstSeq:   binary.LittleEndian.Uint64(b[2:]),
		records:    int(binary.LittleEndian.Uint32(b[10:])),
		acceptedAt: int64(binary.LittleEndian.Uint64(b[14:])),
	}
	p := parser{b: b[frameBatchHeader:]}
	f.totals = p.totals()
	if key := p.name(); len(key) > 0 {
		f.key = string(key)
		copy(f.hash[:], p.bytes(32))
	}
	seen := 0
	for range p.count(5) {
		var g hot.Group
		g.Table = string(p.name())
		g.Dataset = string(p.name())
		n := p.count(2)
		g.Times = make([]int64, n)
		g.Ends = make([]uint32, n)
		var t int64
		var end uint64
		for j := range n {
			t += p.varint()
			end += p.uvarint()
			if end > math.MaxUint32 {
				p.fail()
				break
			}
			g.Times[j], g.Ends[j] = t, uint32(end)
		}
		data := p.name()
		if p.bad || uint64(len(data)) != end {
			return nil, errFrame
		}
		g.Data = append([]byte(nil), data...)
		f.groups = append(f.groups, g)
		seen += n
	}
	if p.bad || len(p.b) != 0 || seen != f.records || f.records == 0 {
		return nil, errFrame
	}
	return f, nil
}
