package hot

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/klauspost/compress/s2"
)

// packer turns a frozen memory table into chunks in key order. It works one batch
// ahead of whoever commits them: packing costs processor time, committing mostly
// waits for the disk.
type packer struct {
	m          *Memory
	run        uint64
	chunkBytes int
	batchBytes int

	out  chan *chunkBatch
	quit chan struct{}
	err  error // read after out is closed

	batch   *chunkBatch
	refs    []recordRef // of series within one day, one series at a time
	kept    []recordRef // of series over several days, all of them
	key     []byte
	body    []byte
	json    [][]byte
	stopped bool
}

// chunkBatch is keys and values side by side in data.
type chunkBatch struct {
	data []byte
	ends []chunkEnd
}

type chunkEnd struct{ key, value int }

// each calls put for every chunk in order. Values alias the batch.
func (b *chunkBatch) each(put func(key, value []byte) error) error {
	begin := 0
	for _, e := range b.ends {
		if err := put(b.data[begin:e.key], b.data[e.key:e.value]); err != nil {
			return err
		}
		begin = e.value
	}
	return nil
}

// recordRef is where one record lies in the memory table.
type recordRef struct {
	time int64
	span uint32 // + 1
	i    uint32
}

// segment is what one series has in one day.
type segment struct {
	table, series uint32 // ranks in order of (table, dataset)
	day           int32
	from, to      int // in kept; both 0 for a series that lies within the day
}

func newPacker(m *Memory, run uint64, chunkBytes, batchBytes int) *packer {
	p := &packer{
		m: m, run: run, chunkBytes: chunkBytes,
		// Two batches fill a commit, so that the second can be packed while
		// the first is put into pages.
		batchBytes: max(batchBytes/2, 1),
		out:        make(chan *chunkBatch, 1),
		quit:       make(chan struct{}),
	}
	go func() {
		defer close(p.out)
		p.err = p.pack()
	}()
	return p
}

// next returns the next batch, nil at the end.
func (p *packer) next() (*chunkBatch, error) {
	if b, ok := <-p.out; ok {
		return b, nil
	}
	return nil, p.err
}

// stop ends the goroutine and waits for it.
func (p *packer) stop() {
	close(p.quit)
	for range p.out {
	}
}

func (p *packer) pack() error {
	order := sortedSeries(p.m)
	for _, s := range p.segments(order) {
		refs := p.kept[s.from:s.to]
		sr := &p.m.series[order[s.series]]
		if s.to == 0 {
			p.refs = appendRefs(p.refs[:0], p.m, sr)
			refs = p.refs
		}
		if err := p.segment(sr, s.day, refs); err != nil || p.stopped {
			return err
		}
	}
	if p.batch != nil {
		p.send()
	}
	return nil
}

// segments cuts every series into days and brings them into key order.
func (p *packer) segments(order []uint32) []segment {
	segs := make([]segment, 0, len(order))
	table := uint32(0)
	for rank, i := range order {
		s := &p.m.series[i]
		if rank > 0 && p.m.series[order[rank-1]].table != s.table {
			table++
		}
		seg := segment{table: table, series: uint32(rank), day: DayOf(s.min)}
		if seg.day == DayOf(s.max) {
			segs = append(segs, seg)
			continue
		}
		base := len(p.kept)
		p.kept = appendRefs(p.kept, p.m, s)
		for refs := p.kept[base:]; len(refs) > 0; {
			seg.day = DayOf(refs[0].time)
			n := sort.Search(len(refs), func(i int) bool { return DayOf(refs[i].time) > seg.day })
			seg.from, seg.to = base, base+n
			segs = append(segs, seg)
			base += n
			refs = refs[n:]
		}
	}
	slices.SortFunc(segs, func(a, b segment) int {
		if c := cmp.Compare(a.table, b.table); c != 0 {
			return c
		}
		if c := cmp.Compare(a.day, b.day); c != 0 {
			return c
		}
		return cmp.Compare(a.series, b.series)
	})
	return segs
}

// appendRefs appends the records of a series, sorted by (time, seq).
func appendRefs(dst []recordRef, m *Memory, s *series) []recordRef {
	v := m.viewOf(s)
	base := len(dst)
	pos := base + int(s.records)
	dst = slices.Grow(dst, int(s.records))[:pos]
	ordered, next := true, s.max
	for i := v.tail; i != 0; {
		sp, _ := v.span(i)
		times, _ := v.columns(sp)
		for k := len(times) - 1; k >= 0; k-- {
			pos--
			dst[pos] = recordRef{time: times[k], span: i, i: uint32(k)}
			ordered = ordered && times[k] <= next
			next = times[k]
		}
		i = sp.prev
	}
	if !ordered {
		slices.SortFunc(dst[base:], func(a, b recordRef) int {
			if c := cmp.Compare(a.time, b.time); c != 0 {
				return c
			}
			// Spans are numbered in order of seq.
			if c := cmp.Compare(a.span, b.span); c != 0 {
				return c
			}
			return cmp.Compare(a.i, b.i)
		})
	}
	return dst
}

// segment cuts the records of one series and day into chunks.
func (p *packer) segment(s *series, day int32, refs []recordRef) error {
	v := p.m.viewOf(s)
	p.key = appendChunkGroup(p.key[:0], s.name.table, day, s.name.dataset)
	group := len(p.key)
	for number := uint32(0); len(refs) > 0; number++ {
		p.json = p.json[:0]
		raw := 0
		for _, r := range refs {
			sp, data := v.span(r.span)
			_, ends := v.columns(sp)
			j := record(data, ends, int(r.i))
			if len(p.json) > 0 && (raw+len(j) > p.chunkBytes || len(p.json) == maxChunkRecords) {
				break
			}
			p.json = append(p.json, j)
			raw += len(j)
		}
		if raw > MaxRecordBytes {
			return fmt.Errorf("%w: table %q, dataset %q: %d bytes, at most %d",
				ErrRecordTooLarge, s.name.table, s.name.dataset, raw, MaxRecordBytes)
		}
		n := len(p.json)
		p.key = appendChunkTail(p.key[:group], p.run, number)
		p.chunk(&v, refs[:n], raw)
		if p.stopped {
			return nil
		}
		refs = refs[n:]
	}
	return nil
}

// chunk packs the records in p.json under p.key.
func (p *packer) chunk(v *MemoryView, refs []recordRef, raw int) {
	seqOf := func(r recordRef) uint64 {
		sp, _ := v.span(r.span)
		return sp.first + uint64(r.i)
	}
	h := chunkHeader{
		codec: codecS2, records: uint32(len(refs)), raw: uint32(raw),
		first: refs[0].time, last: refs[len(refs)-1].time, firstSeq: seqOf(refs[0]),
	}
	body, t := p.body[:0], h.first
	for _, r := range refs {
		body = binary.AppendUvarint(body, uint64(r.time)-uint64(t))
		t = r.time
	}
	seq := h.firstSeq
	for _, r := range refs {
		next := seqOf(r)
		body = binary.AppendVarint(body, int64(next-seq))
		seq = next
		h.lastSeq = max(h.lastSeq, seq)
	}
	for _, j := range p.json {
		body = binary.AppendUvarint(body, uint64(len(j)))
	}
	for _, j := range p.json {
		body = append(body, j...)
	}
	p.body = body
	h.body = uint32(len(body))

	// The value is packed into its place; its header follows when the checksum is known.
	need := len(p.key) + chunkHeaderLen + s2.MaxEncodedLen(len(body))
	if p.batch != nil && len(p.batch.data)+need > cap(p.batch.data) {
		p.send()
		if p.stopped {
			return
		}
	}
	if p.batch == nil {
		p.batch = &chunkBatch{data: make([]byte, 0, max(need, p.batchBytes))}
	}
	b := p.batch
	b.data = append(b.data, p.key...)
	keyEnd := len(b.data)
	at := keyEnd + chunkHeaderLen
	stored := s2.Encode(b.data[at:cap(b.data)], body)
	if len(stored) >= len(body) {
		h.codec = codecPlain
		stored = append(b.data[at:at], body...)
	}
	h.storedCRC = crcOf(stored)
	b.data = h.append(b.data, p.key)
	b.data = b.data[:at+len(stored)]
	b.ends = append(b.ends, chunkEnd{keyEnd, len(b.data)})
	if len(b.ends) >= txKeys/2 {
		p.send()
	}
}

func (p *packer) send() {
	select {
	case <-p.quit:
		p.stopped = true
		return
	default:
	}
	select {
	case p.out <- p.batch:
	case <-p.quit:
		p.stopped = true
	}
	p.batch = nil
}
