package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/engine"
)

// fake is a database in memory. What a test does not set behaves as an empty engine does; names
// and records are checked as the engine checks them.
type fake struct {
	mu       sync.Mutex
	requests []engine.Request // deep copies
	queries  []engine.Query

	onIngest  func(engine.Request) (engine.Ack, error)
	onQuery   func(engine.Query) (*fakeRows, error)
	onExplain func(engine.Query) (engine.Plan, error)
	onArchive func(context.Context) (engine.ArchiveReport, error)
	onSet     func(string, engine.TableSettings) (engine.TableInfo, error)
	tables    []engine.TableInfo
	schemas   []engine.SchemaVersion
	datasets  []engine.DatasetInfo
	listErr   error // after the rows of a list
	files     []engine.FileInfo
	content   map[string][]byte
	fileErr   func(off int64) error
	stale     []engine.StaleRow
	staleAsk  time.Duration
	ready     engine.Readiness
}

func checkFakeName(what, s string, most int) error {
	if s == "" || len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%w: %s must have 1 to %d bytes without control characters", engine.ErrInvalid, what, most)
	}
	return nil
}

func (f *fake) IngestAll(_ context.Context, r engine.Request) (engine.Ack, error) {
	if f.onIngest != nil {
		return f.onIngest(r)
	}
	scan := jsonscan.NewScanner(jsonscan.Options{})
	n := 0
	kept := engine.Request{IdempotencyKey: r.IdempotencyKey, Hash: r.Hash}
	for bi, b := range r.Batches {
		if b.DatasetField == "" {
			if err := checkFakeName("dataset_id", b.Dataset, 512); err != nil {
				return engine.Ack{}, err
			}
		}
		if b.TableField == "" {
			if err := checkFakeName("table", b.Table, 80); err != nil {
				return engine.Ack{}, err
			}
		}
		copied := b
		copied.Records = nil
		for i, rec := range b.Records {
			no := func(err error, reason string) (engine.Ack, error) {
				return engine.Ack{}, &engine.RecordError{Batch: bi, Index: i, Reason: reason, Err: err}
			}
			if len(rec) > 8<<20 {
				return no(engine.ErrTooLarge, "larger than 8388608 bytes")
			}
			info, err := scan.Record(rec)
			if err != nil {
				return no(engine.ErrInvalid, err.Error())
			}
			if ts := info.Timestamp; ts.Present() {
				if _, err := jsonscan.ParseTime(ts.Of(rec)); err != nil {
					return no(engine.ErrInvalid, "timestamp: "+err.Error())
				}
			}
			copied.Records = append(copied.Records, bytes.Clone(rec))
			n++
		}
		kept.Batches = append(kept.Batches, copied)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, kept)
	return engine.Ack{Accepted: n}, nil
}

func (f *fake) last(t *testing.T) engine.Request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.requests) == 0 {
		t.Fatal("no request got to the engine")
	}
	return f.requests[len(f.requests)-1]
}

func (f *fake) Query(ctx context.Context, q engine.Query) (rows, error) {
	f.mu.Lock()
	f.queries = append(f.queries, q)
	f.mu.Unlock()
	if err := checkFakeName("dataset_id", q.Dataset, 512); err != nil {
		return nil, err
	}
	if err := checkFakeName("table", q.Table, 80); err != nil {
		return nil, err
	}
	if f.onQuery == nil {
		return &fakeRows{}, nil
	}
	r, err := f.onQuery(q)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (f *fake) Explain(_ context.Context, q engine.Query) (engine.Plan, error) { return f.onExplain(q) }

func (f *fake) Archive(ctx context.Context) (engine.ArchiveReport, error) { return f.onArchive(ctx) }

func (f *fake) Tables(context.Context) ([]engine.TableInfo, error) { return f.tables, nil }

func (f *fake) Table(_ context.Context, name string) (engine.TableInfo, error) {
	for _, t := range f.tables {
		if t.Name == name {
			return t, nil
		}
	}
	return engine.TableInfo{}, fmt.Errorf("%w: table %q", engine.ErrNotFound, name)
}

func (f *fake) SetTable(_ context.Context, name string, s engine.TableSettings) (engine.TableInfo, error) {
	return f.onSet(name, s)
}

func (f *fake) Schemas(ctx context.Context, table string) ([]engine.SchemaVersion, error) {
	if _, err := f.Table(ctx, table); err != nil {
		return nil, err
	}
	return f.schemas, nil
}

func (f *fake) Datasets(_ context.Context, table string) iter.Seq2[engine.DatasetInfo, error] {
	return seq(f.datasets, f.listErr)
}

func (f *fake) HotCold(context.Context) iter.Seq2[engine.DatasetInfo, error] {
	return seq(f.datasets, f.listErr)
}

func (f *fake) Files(context.Context) iter.Seq2[engine.FileInfo, error] {
	return seq(f.files, f.listErr)
}

func (f *fake) FilesByRatio(context.Context) ([]engine.FileInfo, error) { return f.files, nil }

func seq[T any](list []T, end error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range list {
			if !yield(v, nil) {
				return
			}
		}
		if end != nil {
			var zero T
			yield(zero, end)
		}
	}
}

func (f *fake) Stale(_ context.Context, olderThan time.Duration) (uint64, []engine.StaleRow, error) {
	f.staleAsk = olderThan
	var n uint64
	for _, r := range f.stale {
		n += r.Records
	}
	return n, f.stale, nil
}

func (f *fake) File(_ context.Context, path string) (engine.FileInfo, error) {
	for _, i := range f.files {
		if i.Path == path {
			return i, nil
		}
	}
	return engine.FileInfo{}, fmt.Errorf("%w: file %q", engine.ErrNotFound, path)
}

func (f *fake) ReadFile(_ context.Context, path string, off int64, p []byte) error {
	if f.fileErr != nil {
		if err := f.fileErr(off); err != nil {
			return err
		}
	}
	b := f.content[path]
	if off+int64(len(p)) > int64(len(b)) {
		return io.ErrUnexpectedEOF
	}
	copy(p, b[off:])
	return nil
}

func (f *fake) Ready() engine.Readiness { return f.ready }

// fakeRows gives records until n of them were given, then err.
type fakeRows struct {
	n       int
	make    func(i int) string // of record i; default {"i":i}
	err     error
	hot     uint64
	cursor  string
	etag    string
	missing []engine.Missing
	ocf     func(ctx context.Context, w io.Writer) error
	onNext  func(i int)
	closed  chan struct{} // closed by Close when set

	given  int
	record []byte
	shut   bool
}

func (r *fakeRows) Next() bool {
	if r.given >= r.n {
		return false
	}
	if r.onNext != nil {
		r.onNext(r.given)
	}
	if r.make != nil {
		r.record = append(r.record[:0], r.make(r.given)...)
	} else {
		r.record = fmt.Appendf(r.record[:0], `{"i":%d}`, r.given)
	}
	r.given++
	return true
}

func (r *fakeRows) Record() engine.Record { return engine.Record{JSON: r.record} }

func (r *fakeRows) Err() error {
	if r.given >= r.n {
		return r.err
	}
	return nil
}

func (r *fakeRows) Close() error {
	if r.shut {
		return errors.New("closed twice")
	}
	r.shut = true
	if r.closed != nil {
		close(r.closed)
	}
	return nil
}

func (r *fakeRows) ETag() string { return r.etag }

func (r *fakeRows) Planned() (int, int64) { return 3, 4096 }

func (r *fakeRows) Spent() (int, int64) { return 2, 2048 }

func (r *fakeRows) Counts() (uint64, uint64) { return r.hot, uint64(r.given) - r.hot }

func (r *fakeRows) NextCursor() string { return r.cursor }

func (r *fakeRows) Missing() []engine.Missing { return r.missing }

func (r *fakeRows) WriteOCF(ctx context.Context, w io.Writer) error { return r.ocf(ctx, w) }
