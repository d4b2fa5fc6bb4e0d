package storelog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"github.com/firndb/firn/blockfile/store"
)

// A checkpoint is lines of JSON. The first says of how many lines of each kind
// it is made; they follow in this order, each sorted, so that one state gives
// one sequence of bytes:
//
//	{"format":1,"next":256,"writer_id":"…","epoch":1,"archived_seq":…,"tables":1,"schemas":2,"retired":1,"files":3}
//	{"table":{"name":"…","settings":{…},"counters":{…}}}      by name
//	{"schema":{…}}                                            by table, version
//	{"retired":["…","…"]}                                     by id, up to 1,000 a line
//	{"file":{…}}                                              by key
//	{"crc32c":"8 hex digits"}
//
// It is written and read a line at a time.

// CheckpointEvery is how many entries lie between two checkpoints.
const CheckpointEvery = 256

const (
	retiredPerLine = 1000
	readBytes      = 1 << 20 // of one range request
)

type checkpointHead struct {
	Format      int    `json:"format"`
	Next        uint64 `json:"next"`
	WriterID    string `json:"writer_id"`
	Epoch       uint32 `json:"epoch"`
	ArchivedSeq uint64 `json:"archived_seq"`
	Tables      int    `json:"tables"`  // lines
	Schemas     int    `json:"schemas"` // lines
	Retired     int    `json:"retired"` // lines
	Files       int    `json:"files"`   // lines
}

// checkpointLine is any line behind the head: exactly one member is set.
type checkpointLine struct {
	Table   *tableLine `json:"table,omitempty"`
	Schema  *SchemaDef `json:"schema,omitempty"`
	Retired []string   `json:"retired,omitempty"`
	File    *LiveFile  `json:"file,omitempty"`
}

type tableLine struct {
	Name     string    `json:"name"`
	Settings *Settings `json:"settings,omitempty"`
	Counters *Counters `json:"counters,omitempty"`
}

// WriteCheckpoint puts the checkpoint of the state, unless one is there. Any
// multiple of CheckpointEvery is a good Next to do it at.
func (s *State) WriteCheckpoint(ctx context.Context, st store.Store) (err error) {
	up, err := st.Create(ctx, CheckpointKey(s.Next))
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("storelog: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("storelog: checkpoint %d: %w", s.Next, err), up.Abort())
		}
	}()
	w := &lineWriter{w: bufio.NewWriterSize(up, 256<<10), crc: crc32.New(castagnoli)}
	s.writeLines(w)
	if err := w.close(); err != nil {
		return err
	}
	if err := up.Commit(ctx); err != nil && !errors.Is(err, store.ErrExists) {
		return err
	}
	return nil
}

func (s *State) writeLines(w *lineWriter) {
	names := map[string]struct{}{}
	for name := range s.Tables {
		names[name] = struct{}{}
	}
	for name := range s.Counters {
		names[name] = struct{}{}
	}
	schemas := 0
	for _, versions := range s.Schemas {
		schemas += len(versions)
	}
	retired := slices.Sorted(maps.Keys(s.Retired))
	w.line(checkpointHead{Format: formatVersion, Next: s.Next, WriterID: s.WriterID, Epoch: s.Epoch, ArchivedSeq: s.ArchivedSeq,
		Tables: len(names), Schemas: schemas, Retired: (len(retired) + retiredPerLine - 1) / retiredPerLine, Files: len(s.Files)})
	for _, name := range slices.Sorted(maps.Keys(names)) {
		line := tableLine{Name: name}
		if settings, ok := s.Tables[name]; ok {
			line.Settings = &settings
		}
		if counters, ok := s.Counters[name]; ok {
			line.Counters = &counters
		}
		w.line(checkpointLine{Table: &line})
	}
	for _, table := range slices.Sorted(maps.Keys(s.Schemas)) {
		for i := range s.Schemas[table] {
			w.line(checkpointLine{Schema: &s.Schemas[table][i]})
		}
	}
	for ids := range slices.Chunk(retired, retiredPerLine) {
		w.line(checkpointLine{Retired: ids})
	}
	for _, key := range slices.Sorted(maps.Keys(s.Files)) {
		f := s.Files[key]
		w.line(checkpointLine{File: &f})
	}
}

// lineWriter writes lines and their checksum; it keeps its first error.
type lineWriter struct {
	w   *bufio.Writer
	crc hash.Hash32
	buf []byte
	err error
}

func (w *lineWriter) line(v any) {
	if w.err != nil {
		return
	}
	if w.buf, w.err = appendLine(w.buf[:0], v); w.err != nil {
		return
	}
	if len(w.buf) > MaxEntryBytes {
		w.err = fmt.Errorf("a line of %d bytes, at most %d", len(w.buf), MaxEntryBytes)
		return
	}
	w.crc.Write(w.buf)
	_, w.err = w.w.Write(w.buf)
}

func (w *lineWriter) close() error {
	if w.err == nil {
		_, w.err = w.w.Write(appendTrailer(nil, w.crc.Sum32()))
	}
	if w.err == nil {
		w.err = w.w.Flush()
	}
	return w.err
}

// LoadNewestCheckpoint reads the newest checkpoint that is whole. Damaged ones
// are passed over and named in damaged; without any, the state is the empty
// one. Entries from State.Next on remain to be applied.
func LoadNewestCheckpoint(ctx context.Context, st store.Store) (s *State, damaged []error, err error) {
	numbers, err := listCheckpoints(ctx, st)
	if err != nil {
		return nil, nil, err
	}
	for _, next := range slices.Backward(numbers) {
		s, err := readCheckpoint(ctx, st, next)
		if err == nil {
			return s, damaged, nil
		}
		// A format this program does not know may be a flipped digit: the head is
		// read before the checksum is known. If it is none, the log will say so.
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
			return nil, damaged, err
		}
		damaged = append(damaged, err)
	}
	return NewState(), damaged, nil
}

// listCheckpoints gives the Next of every checkpoint, ascending.
func listCheckpoints(ctx context.Context, st store.Store) ([]uint64, error) {
	var numbers []uint64
	err := st.List(ctx, checkpointPrefix, "", func(key string, _ int64) error {
		if next, ok := parseCheckpointKey(key); ok {
			numbers = append(numbers, next)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("storelog: listing checkpoints: %w", err)
	}
	return numbers, nil
}

// Checkpoint writes the newest checkpoint that is due when the log reaches up to
// next, if it is not there yet: it reads the one before it and the entries in
// between.
func Checkpoint(ctx context.Context, st store.Store, next uint64) (wrote bool, err error) {
	due := next - next%CheckpointEvery
	if due == 0 {
		return false, nil
	}
	numbers, err := listCheckpoints(ctx, st)
	if err != nil || slices.ContainsFunc(numbers, func(n uint64) bool { return n >= due }) {
		return false, err
	}
	s, _, err := LoadNewestCheckpoint(ctx, st)
	if err != nil {
		return false, err
	}
	for s.Next < due {
		e, err := Get(ctx, st, s.Next)
		if err != nil {
			return false, err
		}
		if err := s.Apply(e); err != nil {
			return false, err
		}
	}
	return true, s.WriteCheckpoint(ctx, st)
}

func readCheckpoint(ctx context.Context, st store.Store, next uint64) (*State, error) {
	key := CheckpointKey(next)
	size, err := st.Size(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("storelog: %w", err)
	}
	r := &lineReader{key: key, crc: crc32.New(castagnoli),
		r: bufio.NewReaderSize(&objectReader{ctx: ctx, st: st, key: key, size: size}, int(min(size, readBytes)))}
	s, err := r.state()
	if err == nil && s.Next != next {
		return nil, corrupt(key, fmt.Errorf("it says that it is checkpoint %d", s.Next))
	}
	if err == nil || errors.Is(err, ErrCorrupt) {
		return s, err
	}
	return nil, fmt.Errorf("storelog: %s: %w", key, err)
}

// objectReader reads an object from its start by ranges.
type objectReader struct {
	ctx       context.Context
	st        store.Store
	key       string
	off, size int64
}

func (r *objectReader) Read(p []byte) (int, error) {
	if r.off >= r.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.size-r.off)]
	if err := r.st.ReadRange(r.ctx, r.key, r.off, p); err != nil {
		return 0, err
	}
	r.off += int64(len(p))
	return len(p), nil
}

// lineReader reads lines and checks their checksum at the end.
type lineReader struct {
	key string
	r   *bufio.Reader
	crc hash.Hash32
	off int64 // of the line read last
	end int64 // behind it
	buf []byte
}

func (r *lineReader) damage(reason error) error {
	return &CorruptError{Key: r.key, Offset: r.off, Reason: reason.Error()}
}

// next gives the next line, its line feed included, valid until the next call.
func (r *lineReader) next() ([]byte, error) {
	r.buf, r.off = r.buf[:0], r.end
	for {
		part, err := r.r.ReadSlice('\n')
		if len(r.buf)+len(part) > MaxEntryBytes {
			return nil, r.damage(fmt.Errorf("a line of more than %d bytes", MaxEntryBytes))
		}
		r.buf = append(r.buf, part...)
		switch {
		case err == nil:
			r.end += int64(len(r.buf))
			return r.buf, nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, r.damage(errors.New("the object ends within its lines"))
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// content gives the next line that the checksum covers.
func (r *lineReader) content(v any) error {
	line, err := r.next()
	if err != nil {
		return err
	}
	r.crc.Write(line)
	if err := decodeLine(line, v); err != nil {
		return r.damage(err)
	}
	return nil
}

func (r *lineReader) state() (*State, error) {
	first, err := r.next()
	if err != nil {
		return nil, err
	}
	r.crc.Write(first)
	if err := checkFormat(first); errors.Is(err, ErrFormat) {
		return nil, err
	} else if err != nil {
		return nil, r.damage(err)
	}
	var head checkpointHead
	if err := decodeLine(first, &head); err != nil {
		return nil, r.damage(err)
	}
	s := NewState()
	s.Next, s.WriterID, s.Epoch, s.ArchivedSeq = head.Next, head.WriterID, head.Epoch, head.ArchivedSeq
	// Sections: how many lines, and what one of them must hold.
	for _, section := range []struct {
		lines int
		take  func(*checkpointLine) error
	}{{head.Tables, s.takeTable}, {head.Schemas, s.takeSchema}, {head.Retired, s.takeRetired}, {head.Files, s.takeFile}} {
		for range section.lines {
			var line checkpointLine
			if err := r.content(&line); err != nil {
				return nil, err
			}
			if err := section.take(&line); err != nil {
				return nil, r.damage(err)
			}
		}
	}
	want := appendTrailer(nil, r.crc.Sum32())
	last, err := r.next()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(last, want) {
		return nil, r.damage(fmt.Errorf("the checksum line should be %s, it is %.40q", bytes.TrimSpace(want), last))
	}
	if _, err := r.r.ReadByte(); err != io.EOF {
		if err == nil {
			err = r.damage(errors.New("bytes behind the checksum"))
		}
		return nil, err
	}
	return s, nil
}

var errOtherLine = errors.New("a line of another kind than the head says")

func (s *State) takeTable(l *checkpointLine) error {
	t := l.Table
	if t == nil {
		return errOtherLine
	}
	if t.Settings != nil {
		s.Tables[t.Name] = *t.Settings
	}
	if t.Counters != nil {
		s.Counters[t.Name] = *t.Counters
	}
	return checkTable(t.Name, Settings{})
}

func (s *State) takeSchema(l *checkpointLine) error {
	if l.Schema == nil {
		return errOtherLine
	}
	s.putSchema(*l.Schema)
	return l.Schema.check()
}

func (s *State) takeRetired(l *checkpointLine) error {
	if len(l.Retired) == 0 {
		return errOtherLine
	}
	for _, id := range l.Retired {
		s.Retired[id] = struct{}{}
	}
	return nil
}

func (s *State) takeFile(l *checkpointLine) error {
	if l.File == nil {
		return errOtherLine
	}
	s.Files[l.File.Key] = *l.File
	return l.File.check()
}
