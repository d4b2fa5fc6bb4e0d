package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/blockfile/schema"
	"github.com/firndb/firn/blockfile/store"
	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/hot"
)

// archiveRun writes the records of one generation into block files.
type archiveRun struct {
	db   *DB
	ctx  context.Context
	h    *genHandle
	job  catalog.Job
	meta hot.Meta

	trees    map[string]*schema.Tree
	tables   map[string]*runTable
	counters map[string]catalog.Counters // after the run
	lost     map[string]uint64
	files    []runFile
	logNext  uint64 // position of its log entry
	sequence uint32 // of the next file

	table *runTable // current
	file  *openFile // current, nil between files
	block block
}

// runTable is a table as this run writes it.
type runTable struct {
	name      string
	tree      *schema.Tree
	schema    *schema.Schema
	encoder   *schema.Encoder
	settings  TableSettings
	partition blockfile.Partition
	marker    uint32
	records   uint64
}

// date names the partition of a day.
func (t *runTable) date(day int32) string {
	name := blockfile.DayName(t.partition.Start(day))
	if t.partition == blockfile.ByMonth {
		return name[:len("2006-01")]
	}
	return name
}

// runFile is a finished file.
type runFile struct {
	row catalog.FileRow
}

// block is the block being filled.
type block struct {
	dataset     string
	day         int32
	raw         []byte
	records     uint32
	first, last int64
	jsonBytes   int64
}

// openFile is a block file on its way into the store.
type openFile struct {
	row    catalog.FileRow
	upload store.Upload
	buf    *bufio.Writer
	writer *blockfile.Writer
	refs   []blockfile.Ref

	sidecarKey string
	family     [32]byte
}

// maxFileRefs ends a file of many tiny blocks: its references are held in memory until it is
// closed.
const maxFileRefs = 1 << 18

// write walks the generation once, in the order of block files.
func (a *archiveRun) write() error {
	var err error
	if a.trees, err = treesOf(a.h.gen); err != nil {
		return err
	}
	a.tables = make(map[string]*runTable)
	tx, err := a.h.begin()
	if err != nil {
		return err
	}
	defer tx.Close()
	if err := tx.Walk(a.start, a.add); err != nil {
		return hotDamage(err)
	}
	if err := a.flush(); err != nil {
		return err
	}
	return a.finishFile()
}

// start begins the records of one table, day and dataset.
func (a *archiveRun) start(table string, day int32, dataset string) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	if err := a.flush(); err != nil {
		return err
	}
	if a.table == nil || a.table.name != table {
		if err := a.finishFile(); err != nil {
			return err
		}
		if err := a.openTable(table); err != nil {
			return err
		}
	}
	if a.file != nil && a.file.row.Date != a.table.date(day) {
		if err := a.finishFile(); err != nil {
			return err
		}
	}
	a.block.dataset, a.block.day = dataset, day
	return nil
}

func (a *archiveRun) openTable(name string) error {
	tree := a.trees[name]
	if tree == nil {
		return &CorruptError{File: a.h.path, Offset: -1, Reason: fmt.Sprintf("no tree for table %q", name)}
	}
	t := &runTable{name: name, tree: tree, schema: tree.Schema()}
	t.encoder = t.schema.NewEncoder()
	if state := a.db.tables.get([]byte(name)); state != nil {
		t.settings = *state.settings.Load()
	}
	if t.settings.Codec == "" {
		t.settings.Codec = a.db.opts.Block.Codec
	}
	if t.settings.Partition != "" {
		var err error
		if t.partition, err = blockfile.ParsePartition(t.settings.Partition); err != nil {
			return err
		}
	}
	a.tables[name] = t
	a.table = t
	return nil
}

// add encodes one record.
func (a *archiveRun) add(r hot.Record) error {
	b := &a.block
	raw, err := a.table.encoder.Append(b.raw, b.dataset, r.Time, r.JSON)
	if errors.Is(err, schema.ErrNotCovered) {
		return a.widen(r)
	}
	if err != nil {
		return &CorruptError{File: a.h.path, Offset: -1, Reason: fmt.Sprintf("record %d: %v", r.Seq, err)}
	}
	if b.records > 0 && (len(raw) > a.db.opts.Block.TargetBytes) {
		// The record that would pass the target begins the next block.
		grown := len(raw) - len(b.raw)
		tail := slices.Clone(raw[len(raw)-grown:])
		b.raw = raw[:len(raw)-grown]
		if err := a.flush(); err != nil {
			return err
		}
		raw = append(b.raw, tail...)
	}
	if b.records == 0 {
		b.first = r.Time
	}
	b.raw, b.last = raw, r.Time
	b.records++
	b.jsonBytes += int64(len(r.JSON))
	a.table.records++
	return nil
}

// widen makes the table's tree fit a record that it should have fitted, durably, so that the
// archive can be tried again.
func (a *archiveRun) widen(r hot.Record) error {
	state := a.db.tables.get([]byte(a.table.name))
	state.mu.Lock()
	state.mu.tree.Add(a.block.dataset, r.Time, r.JSON)
	clear(state.mu.known)
	tree := state.mu.tree.AppendTo(nil)
	state.mu.Unlock()
	if err := a.h.gen.PutTree(a.table.name, tree); err != nil {
		return err
	}
	return errWidened
}

// flush writes the current block.
func (a *archiveRun) flush() error {
	b := &a.block
	if b.records == 0 {
		return nil
	}
	for {
		if a.file == nil {
			if err := a.openFile(); err != nil {
				return err
			}
		}
		f := a.file
		ref, err := f.writer.Append(b.dataset, b.day, b.raw, b.records, b.first, b.last)
		if errors.Is(err, blockfile.ErrMarker) {
			// Its bytes contain the sync marker: the next file has another.
			if len(f.refs) == 0 {
				a.abandon()
			} else if err := a.finishFile(); err != nil {
				return err
			}
			a.table.marker++
			continue
		}
		if err != nil {
			return err
		}
		f.row.RawBytes += b.jsonBytes
		f.refs = append(f.refs, ref)
		break
	}
	b.raw, b.records, b.jsonBytes = b.raw[:0], 0, 0
	if a.file.writer.Size() >= a.db.opts.Block.FileBytes || len(a.file.refs) >= maxFileRefs {
		return a.finishFile()
	}
	return nil
}

func (a *archiveRun) openFile() error {
	t := a.table
	name := blockfile.Name{
		Table: t.name, Partition: t.partition, Day: t.partition.Start(a.block.day),
		Run: blockfile.RunID(a.job.Run), Sequence: a.sequence,
	}
	if err := name.Validate(); err != nil {
		return err
	}
	a.sequence++
	key := name.BlockKey()
	upload, err := a.db.store.Create(a.ctx, key)
	if err != nil {
		return away(err)
	}
	fam := newFamily(a.db.info.Salt, t.name, t.schema, t.settings.Codec, t.marker)
	buf := bufio.NewWriterSize(upload, 1<<20)
	writer, err := blockfile.NewWriter(buf, fam.Family)
	if err != nil {
		return errors.Join(err, upload.Abort())
	}
	a.file = &openFile{
		upload: upload, buf: buf, writer: writer, sidecarKey: name.SidecarKey(), family: fam.id,
		row: catalog.FileRow{
			Key: key, Run: a.job.Run, Table: t.name, Date: t.date(a.block.day),
			Schema: t.schema.Fingerprint(), Codec: t.settings.Codec, Marker: t.marker,
			JobStart: a.job.StartedAt, Lineage: []string{a.job.Run.String()},
		},
	}
	return nil
}

// finishFile uploads the current file and its sidecar, reads both back, and stages their rows.
func (a *archiveRun) finishFile() error {
	f := a.file
	if f == nil {
		return nil
	}
	a.file = nil
	defer f.upload.Abort() // after Commit it does nothing
	sum, err := f.writer.Close()
	if err == nil {
		err = f.buf.Flush()
	}
	if err != nil {
		return away(err)
	}
	if err := f.upload.Commit(a.ctx); err != nil {
		return away(err)
	}
	a.db.opts.step("archive 2, without sidecar")
	row := &f.row
	row.Size, row.CRC, row.Records, row.Blocks = sum.Size, sum.CRC, sum.Records, sum.Blocks
	row.First, row.Last = sum.First, sum.Last
	meta, err := a.h.meta()
	if err != nil {
		return err
	}
	row.FirstSeq, row.LastSeq = meta.FirstSeq, meta.Applied

	sidecar, err := a.db.store.Create(a.ctx, f.sidecarKey)
	if err != nil {
		return away(err)
	}
	defer sidecar.Abort()
	buf := bufio.NewWriterSize(sidecar, 256<<10)
	side, err := blockfile.WriteSidecar(buf, sidecarInfo(a.table, row, sum, f.family), slices.Values(f.refs))
	if err == nil {
		err = buf.Flush()
	}
	if err == nil {
		err = sidecar.Commit(a.ctx)
	}
	if err != nil {
		return away(err)
	}
	row.SidecarSize, row.SidecarCRC = side.Size, side.CRC
	if err := a.readBack(row.Key, row.Size, row.CRC); err != nil {
		return err
	}
	if err := a.readBack(f.sidecarKey, row.SidecarSize, row.SidecarCRC); err != nil {
		return err
	}
	a.db.opts.step("archive 2, uploaded")
	if err := a.db.stage(row, f.refs); err != nil {
		return err
	}
	a.files = append(a.files, runFile{*row})
	return nil
}

func sidecarInfo(t *runTable, row *catalog.FileRow, sum blockfile.Summary, id [32]byte) blockfile.SidecarInfo {
	return blockfile.SidecarInfo{
		FamilyID: id, Table: t.name, Schema: t.schema.Text(), Codec: row.Codec, Marker: row.Marker,
		FileSize: sum.Size, FileCRC: sum.CRC, Records: sum.Records, Blocks: sum.Blocks, RawBytes: sum.RawBytes,
		First: sum.First, Last: sum.Last, FirstSeq: row.FirstSeq, LastSeq: row.LastSeq, Lineage: row.Lineage,
	}
}

// readBack checks that the store gives what was written.
func (a *archiveRun) readBack(key string, size int64, want uint32) error {
	size0, err := a.db.store.Size(a.ctx, key)
	if err != nil {
		return away(err)
	}
	if size0 != size {
		return &CorruptError{File: key, Offset: min(size, size0), Reason: fmt.Sprintf("has %d bytes after writing %d", size0, size)}
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	buf := make([]byte, min(size, 1<<20))
	var crc uint32
	for off := int64(0); off < size; {
		n := min(int64(len(buf)), size-off)
		if err := a.db.store.ReadRange(a.ctx, key, off, buf[:n]); err != nil {
			return away(err)
		}
		crc = crc32.Update(crc, table, buf[:n])
		off += n
	}
	if crc != want {
		return &CorruptError{File: key, Offset: 0, Reason: "reads back other bytes than were written"}
	}
	return nil
}

// abandon gives up the file under way.
func (a *archiveRun) abandon() {
	if a.file != nil {
		_ = a.file.upload.Abort()
		a.file = nil
	}
}

// away marks an error of the store, unless the caller gave up.
func away(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStoreAway, err)
}
