package catalog

import (
	"encoding/binary"
	"errors"

	"github.com/firndb/firn/engine/hot"
)

// errRow says that the bytes of a row, though their checksum is right, are no
// row of this format. The caller wraps it with the place.
var errRow = errors.New("malformed row")

// rowReader takes a row apart. After the first failure every further value is
// zero and err stays, so a decoder checks once, at its end.
type rowReader struct {
	b   []byte
	err error
}

func (r *rowReader) fail() {
	r.err = errRow
	r.b = nil
}

func (r *rowReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *rowReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// size reads a length or number that must be at most limit. A larger one fails
// before anything is allocated for it.
func (r *rowReader) size(limit int) int {
	v := r.uvarint()
	if v > uint64(limit) {
		r.fail()
		return 0
	}
	return int(v)
}

func (r *rowReader) byte() byte {
	if len(r.b) < 1 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *rowReader) uint32() uint32 {
	if len(r.b) < 4 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

// take gives the next n bytes, aliasing the row.
func (r *rowReader) take(n int) []byte {
	if n > len(r.b) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *rowReader) bytes(limit int) []byte { return r.take(r.size(limit)) }

func (r *rowReader) text(limit int) string { return string(r.bytes(limit)) }

func (r *rowReader) id() hot.ID { return hot.ID(r.uvarint()) }

func (r *rowReader) fingerprint() (fp [32]byte) {
	copy(fp[:], r.take(len(fp)))
	return fp
}

// list reads the number of elements that follow, none of which is shorter than
// a byte.
func (r *rowReader) list() int {
	n := r.size(MaxList)
	if n > len(r.b) {
		r.fail()
		return 0
	}
	return n
}

// end reports the first failure, or that bytes are left over.
func (r *rowReader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = errRow
	}
	return r.err
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func checkText(what, s string, limit int) error {
	if len(s) > limit {
		return limitErrorf("%s of %d bytes, at most %d", what, len(s), limit)
	}
	return nil
}

// ---- rows ----

// state is the one row that every transaction reads first.
type state struct {
	identity Identity
	nextFile FileID
	counts   [bucketCount]uint64 // rows; of counted buckets
}

func (s *state) append(dst []byte) ([]byte, error) {
	id := s.identity
	if err := id.check(); err != nil {
		return nil, err
	}
	dst = appendText(dst, id.StoreID)
	dst = appendText(dst, id.WriterID)
	for _, n := range []uint64{uint64(id.Epoch), id.NextID, id.LogNext, id.ArchivedSeq, uint64(s.nextFile)} {
		dst = binary.AppendUvarint(dst, n)
	}
	for b, n := range s.counts {
		if bucketID(b).counted() {
			dst = binary.AppendUvarint(dst, n)
		}
	}
	return dst, nil
}

func decodeState(b []byte) (s state, err error) {
	r := rowReader{b: b}
	s.identity = Identity{StoreID: r.text(MaxNameBytes), WriterID: r.text(MaxNameBytes), Epoch: uint32(r.size(hot.MaxEpoch)),
		NextID: r.uvarint(), LogNext: r.uvarint(), ArchivedSeq: r.uvarint()}
	s.nextFile = FileID(r.uvarint())
	for b := range s.counts {
		if bucketID(b).counted() {
			s.counts[b] = r.uvarint()
		}
	}
	if s.identity.NextID > hot.MaxCounter || s.nextFile > maxFileID {
		r.fail()
	}
	return s, r.end()
}

func (id Identity) check() error {
	if id.Epoch > hot.MaxEpoch || id.NextID > hot.MaxCounter {
		return limitErrorf("no ids for epoch %d, counter %d", id.Epoch, id.NextID)
	}
	return errors.Join(checkText("store id", id.StoreID, MaxNameBytes), checkText("writer id", id.WriterID, MaxNameBytes))
}

func (g GenerationRow) append(dst []byte) ([]byte, error) {
	if g.State != GenerationOpen && g.State != GenerationSealed {
		return nil, limitErrorf("generation %v in %v", g.ID, g.State)
	}
	dst = append(dst, byte(g.State))
	return binary.AppendVarint(dst, g.CreatedAt), nil
}

func decodeGeneration(id hot.ID, b []byte) (GenerationRow, error) {
	r := rowReader{b: b}
	g := GenerationRow{ID: id, State: GenerationState(r.byte()), CreatedAt: r.varint()}
	if g.State != GenerationOpen && g.State != GenerationSealed {
		r.fail()
	}
	return g, r.end()
}

func (j Job) append(dst []byte) ([]byte, error) {
	if err := checkText("job kind", j.Kind, MaxNameBytes); err != nil {
		return nil, err
	}
	if len(j.Generations) > MaxList {
		return nil, limitErrorf("job of %d generations", len(j.Generations))
	}
	dst = appendText(dst, j.Kind)
	dst = binary.AppendVarint(dst, j.StartedAt)
	dst = binary.AppendUvarint(dst, uint64(len(j.Generations)))
	for _, g := range j.Generations {
		dst = binary.AppendUvarint(dst, uint64(g))
	}
	return dst, nil
}

func decodeJob(run hot.ID, b []byte) (Job, error) {
	r := rowReader{b: b}
	j := Job{Run: run, Kind: r.text(MaxNameBytes), StartedAt: r.varint()}
	if n := r.list(); n > 0 {
		j.Generations = make([]hot.ID, n)
		for i := range j.Generations {
			j.Generations[i] = r.id()
		}
	}
	return j, r.end()
}

// append writes a table's row; its versions have rows of their own.
func (t TableRow) append(dst []byte) ([]byte, error) {
	s := t.Settings
	if err := errors.Join(checkText("codec", s.Codec, MaxNameBytes), checkText("partition", s.Partition, MaxNameBytes),
		checkText("time field", s.TimeField, MaxNameBytes)); err != nil {
		return nil, err
	}
	for _, text := range []string{s.Codec, s.Partition, s.TimeField} {
		dst = appendText(dst, text)
	}
	c := t.Counters
	for _, n := range []uint64{c.Accepted, c.Cold, c.Erased, c.Expired, c.Lost} {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst, nil
}

func decodeTable(name string, b []byte) (TableRow, error) {
	r := rowReader{b: b}
	t := TableRow{Name: name}
	t.Settings = Settings{Codec: r.text(MaxNameBytes), Partition: r.text(MaxNameBytes), TimeField: r.text(MaxNameBytes)}
	t.Counters = Counters{Accepted: r.uvarint(), Cold: r.uvarint(), Erased: r.uvarint(), Expired: r.uvarint(), Lost: r.uvarint()}
	return t, r.end()
}

func (v SchemaVersion) append(dst []byte) []byte {
	dst = append(dst, v.Fingerprint[:]...)
	return binary.AppendVarint(dst, v.Created)
}

func decodeVersion(version uint64, b []byte) (SchemaVersion, error) {
	r := rowReader{b: b}
	v := SchemaVersion{Version: version, Fingerprint: r.fingerprint(), Created: r.varint()}
	return v, r.end()
}

func (s SchemaRow) append(dst []byte) ([]byte, error) {
	if len(s.Text) > MaxSchemaBytes || len(s.Tree) > MaxSchemaBytes {
		return nil, limitErrorf("schema of %d bytes with a tree of %d, at most %d each", len(s.Text), len(s.Tree), MaxSchemaBytes)
	}
	dst = appendText(dst, s.Table)
	dst = binary.AppendUvarint(dst, s.Version)
	dst = binary.AppendVarint(dst, s.Created)
	dst = appendBytes(dst, s.Text)
	return appendBytes(dst, s.Tree), nil
}

// decodeSchema's slices alias b.
func decodeSchema(fp [32]byte, b []byte) (SchemaRow, error) {
	r := rowReader{b: b}
	s := SchemaRow{Table: r.text(MaxTableBytes)}
	s.SchemaVersion = SchemaVersion{Version: r.uvarint(), Created: r.varint(), Fingerprint: fp}
	s.Text, s.Tree = r.bytes(MaxSchemaBytes), r.bytes(MaxSchemaBytes)
	return s, r.end()
}

func (f *FileRow) append(dst []byte) ([]byte, error) {
	if err := errors.Join(checkText("object key", f.Key, MaxKeyBytes), checkText("table", f.Table, MaxTableBytes),
		checkText("date", f.Date, MaxNameBytes), checkText("codec", f.Codec, MaxNameBytes)); err != nil {
		return nil, err
	}
	switch {
	case f.Key == "" || f.Table == "":
		return nil, limitErrorf("a file without key or table")
	case f.State < FileStaged || f.State > FileDead:
		return nil, limitErrorf("file %s in %v", f.Key, f.State)
	case f.Size < 0 || f.RawBytes < 0 || f.SidecarSize < 0:
		return nil, limitErrorf("file %s with a negative size", f.Key)
	case len(f.Lineage) > MaxList:
		return nil, limitErrorf("file %s with a lineage of %d runs", f.Key, len(f.Lineage))
	}
	dst = append(dst, byte(f.State))
	dst = appendText(dst, f.Key)
	dst = appendText(dst, f.Table)
	dst = appendText(dst, f.Date)
	dst = appendText(dst, f.Codec)
	for _, n := range []uint64{uint64(f.Run), f.LiveFrom, f.DeadFrom, uint64(f.Size), uint64(f.RawBytes), f.Records, f.Blocks,
		uint64(f.SidecarSize), f.FirstSeq, f.LastSeq, f.RefBlocks, f.RefRecords, uint64(f.Marker)} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, n := range []int64{f.First, f.Last, f.JobStart} {
		dst = binary.AppendVarint(dst, n)
	}
	dst = binary.LittleEndian.AppendUint32(dst, f.CRC)
	dst = binary.LittleEndian.AppendUint32(dst, f.SidecarCRC)
	dst = append(dst, f.Schema[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(f.Lineage)))
	for _, run := range f.Lineage {
		if err := checkText("lineage", run, MaxNameBytes); err != nil {
			return nil, err
		}
		dst = appendText(dst, run)
	}
	return dst, nil
}

func decodeFile(id FileID, b []byte) (FileRow, error) {
	const maxInt64, maxUint32 = 1<<63 - 1, 1<<32 - 1
	r := rowReader{b: b}
	f := FileRow{ID: id, State: FileState(r.byte()), Key: r.text(MaxKeyBytes), Table: r.text(MaxTableBytes),
		Date: r.text(MaxNameBytes), Codec: r.text(MaxNameBytes)}
	f.Run, f.LiveFrom, f.DeadFrom = r.id(), r.uvarint(), r.uvarint()
	size, raw := r.uvarint(), r.uvarint()
	f.Records, f.Blocks = r.uvarint(), r.uvarint()
	sidecar := r.uvarint()
	f.FirstSeq, f.LastSeq, f.RefBlocks, f.RefRecords = r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()
	marker := r.uvarint()
	f.First, f.Last, f.JobStart = r.varint(), r.varint(), r.varint()
	f.CRC, f.SidecarCRC, f.Schema = r.uint32(), r.uint32(), r.fingerprint()
	if f.State < FileStaged || f.State > FileDead || size > maxInt64 || raw > maxInt64 || sidecar > maxInt64 || marker > maxUint32 {
		r.fail()
	}
	f.Marker = uint32(marker)
	f.Size, f.RawBytes, f.SidecarSize = int64(size), int64(raw), int64(sidecar)
	if n := r.list(); n > 0 {
		f.Lineage = make([]string, n)
		for i := range f.Lineage {
			f.Lineage[i] = r.text(MaxNameBytes)
		}
	}
	return f, r.end()
}
